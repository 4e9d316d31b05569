import { ArgumentError, show } from '@dcache/base';

/** Milliseconds, or a number with a unit: `'250ms'`, `'30s'`, `'5m'`, `'2h'`, `'1d'`, `'1w'`. */
export type Duration = number | string;

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

/** Longest time that a timer of Node waits; a longer one fires at once. */
const longestTimerMs = 2 ** 31 - 1;
/** Times travel as integers below 2^53, added to the time of day; this is 31 700 years. */
const longestMs = 1e15;

/** Milliseconds of a duration; an `ArgumentError` names the option, what it got and what it takes. */
function toMs(duration: Duration, option: string): number {
  if (typeof duration === 'number' && !Number.isNaN(duration)) return duration;
  const parts = typeof duration === 'string' ? /^\s*(-?\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*$/.exec(duration) : null;
  if (parts === null)
    throw new ArgumentError(
      `${option} takes milliseconds or a text such as '30s', '5m' or '1d', got ${show(duration)}`,
    );
  return Number(parts[1]) * unitMs[parts[2] ?? 'ms']!;
}

/** How long something is fresh: of any sign, Infinity for ever. */
export function toTtlMs(duration: Duration, option: string): number {
  const ms = toMs(duration, option);
  return ms > longestMs ? Number.POSITIVE_INFINITY : ms;
}

/** A span of `leastMs` or more; one of thousands of years is cut. */
export function toSpanMs(duration: Duration, option: string, leastMs = 0): number {
  const ms = toMs(duration, option);
  if (ms < leastMs) throw new ArgumentError(`${option} takes ${leastMs} ms or more, got ${show(duration)}`);
  return Math.min(ms, longestMs);
}

/** What a timer waits: `leastMs` to 24.8 days, or Infinity where that is allowed. */
export function toTimerMs(duration: Duration, option: string, leastMs: number, mayBeInfinite: boolean): number {
  const ms = toMs(duration, option);
  if ((ms >= leastMs && ms <= longestTimerMs) || (mayBeInfinite && ms === Number.POSITIVE_INFINITY)) return ms;
  const end = `${longestTimerMs} ms (24 days)${mayBeInfinite ? ', or Infinity' : ''}`;
  throw new ArgumentError(`${option} takes ${leastMs} to ${end}, got ${show(duration)}`);
}

const unitBytes: Readonly<Record<string, number>> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };

/** Bytes of a size such as `65536`, `'64mb'` or `'1.5gb'` (units of 1024); an `ArgumentError` otherwise. */
export function toBytes(size: number | string, option: string): number {
  const parts = typeof size === 'string' ? /^\s*(\d+(?:\.\d+)?)\s*(b|kb|mb|gb)?\s*$/i.exec(size) : null;
  const exact = parts === null ? size : Number(parts[1]) * unitBytes[(parts[2] ?? 'b').toLowerCase()]!;
  const bytes = typeof exact === 'number' ? Math.floor(exact) : 0;
  if (!Number.isSafeInteger(bytes) || bytes < 1)
    throw new ArgumentError(`${option} takes bytes from 1, or a text such as '64mb', got ${show(size)}`);
  return bytes;
}
