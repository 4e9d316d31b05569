import type { Version } from '../core/change.js';

/** How values become bytes and bytes values. */
export interface ValueCodec {
  encode(value: unknown): Uint8Array;
  /** Throws where the bytes are no value. */
  decode(bytes: Uint8Array): Stored;
  /** A copy of a value that was stored with `cloneOnGet`. */
  clone(value: unknown): unknown;
}

/** A value as it is held. */
export interface Stored {
  readonly value: unknown;
  /** The value, or a part of it, cannot be frozen: each `get` gives a copy. */
  readonly cloneOnGet: boolean;
}

/** What only some entries have. */
export interface Extra {
  readonly dot: number;
  readonly graceMs: number;
  readonly tags: readonly string[];
  /** How long the filler took; 0 where the value was set. */
  readonly fillMs: number;
}

/** A living value to be put. */
export interface Put extends Version, Stored, Extra {
  readonly bytes: number;
  /** Monotonic milliseconds, Infinity for never. */
  readonly deadlineMs: number;
}

export type RemoveReason = 'delete' | 'evict' | 'expire';
