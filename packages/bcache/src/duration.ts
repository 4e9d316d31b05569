/** Milliseconds, or a number with a unit: `'250ms'`, `'30s'`, `'5m'`, `'2h'`, `'1d'`, `'1w'`. */
export type Duration = number | string;

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

/** Milliseconds of a duration; a `TypeError` names the option, what it got and what it takes. */
export function toMs(duration: Duration, option: string): number {
  if (typeof duration === 'number' && !Number.isNaN(duration)) return duration;
  const parts = typeof duration === 'string' ? /^\s*(-?\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*$/.exec(duration) : null;
  if (parts === null)
    throw new TypeError(`${option} takes milliseconds or a text such as '30s', '5m' or '1d', got ${show(duration)}`);
  return Number(parts[1]) * unitMs[parts[2] ?? 'ms']!;
}

const unitBytes: Readonly<Record<string, number>> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };

/** Bytes of a size such as `65536`, `'64mb'` or `'1.5gb'` (units of 1024); a `TypeError` otherwise. */
export function toBytes(size: number | string, option: string): number {
  if (typeof size === 'number' && size > 0) return size;
  const parts = typeof size === 'string' ? /^\s*(\d+(?:\.\d+)?)\s*(b|kb|mb|gb)?\s*$/i.exec(size) : null;
  const bytes = parts === null ? 0 : Math.floor(Number(parts[1]) * unitBytes[(parts[2] ?? 'b').toLowerCase()]!);
  if (bytes <= 0) throw new TypeError(`${option} takes bytes or a text such as '64mb', got ${show(size)}`);
  return bytes;
}

/** A value as an error message shows it. */
export function show(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value);
}
