import { DcacheError } from './errors.js';

/** What a request may carry; the server's options set it. */
export interface Limits {
  /** Bytes of a key. Default 65,536. */
  readonly maxKeyBytes: number;
  /** Bytes of a value. Default 1 MiB. */
  readonly maxValueBytes: number;
}

export const defaultLimits: Limits = { maxKeyBytes: 65_536, maxValueBytes: 1_048_576 };

/** Throws `bad-argument` for an empty key and `too-large` for one beyond the limit. */
export function checkKey(key: Uint8Array, limits: Limits): void {
  if (key.length === 0)
    throw new DcacheError('bad-argument', `the key is empty; a key has 1 to ${limits.maxKeyBytes} bytes`);
  if (key.length > limits.maxKeyBytes)
    throw new DcacheError('too-large', `the key has ${key.length} bytes; at most ${limits.maxKeyBytes} are allowed`);
}

/** Throws `too-large` for a value beyond the limit. */
export function checkValueBytes(bytes: number, limits: Limits): void {
  if (bytes > limits.maxValueBytes)
    throw new DcacheError(
      'too-large',
      `the value has ${bytes} bytes; at most ${limits.maxValueBytes} are allowed (--max-value-bytes)`,
    );
}
