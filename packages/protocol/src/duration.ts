import { DcacheError } from './errors.js';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of `1500`, `250ms`, `5s`, `10m`, `1h` or `7d`; a bare number counts milliseconds. Else `bad-argument`. */
export function parseDuration(text: string, name: string): number {
  const parts = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h|d)?$/.exec(text);
  const value = parts ? Math.round(Number(parts[1]) * (unitMs[parts[2] ?? 'ms'] ?? 1)) : Number.NaN;
  if (!Number.isSafeInteger(value) || value > maxDurationMs)
    throw new DcacheError(
      'bad-argument',
      `${name} is ${JSON.stringify(text.slice(0, 40))}; it takes milliseconds or a number with ms, s, m, h or d, such as 30s, up to ${maxDurationMs / unitMs['d']!}d`,
    );
  return value;
}

/** A hundred years: beyond it, leave the time to live out. */
export const maxDurationMs: number = 36_500 * 86_400_000;
