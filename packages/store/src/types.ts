/** What `set` is told about an entry besides key and value. */
export interface SetMeta {
  /** The write's number in the replicated order, an integer from 0 to 2^53-1. No two live entries share one. */
  readonly revision: number;
  /** Log time at which the entry is gone, in milliseconds; 0 or undefined for never. */
  readonly expiresAtMs?: number;
  /** An unsigned 32-bit number that the store only keeps. Default 0. */
  readonly flags?: number;
}

/**
 * - `stored`: kept. (An entry whose `expiresAtMs` has passed already counts as stored and is gone at once.)
 * - `full`: it does not fit and the policy is `none`; nothing changed.
 * - `too-large`: key, value or entry is beyond its limit; nothing changed.
 */
export type SetResult = 'stored' | 'full' | 'too-large';

/** An entry without its value. */
export interface EntryMeta {
  readonly revision: number;
  /** Log time at which it is gone, in milliseconds; 0 for never. */
  readonly expiresAtMs: number;
  readonly flags: number;
  readonly valueBytes: number;
}

export interface Entry extends EntryMeta {
  /** A copy; the caller's to keep. */
  readonly value: Uint8Array;
}

export interface ScanOptions {
  /** Only keys that start with these bytes. */
  readonly prefix?: Uint8Array;
  /** Where the last page ended; none for the first. */
  readonly cursor?: string | undefined;
  /** Most entries of a page, at least 1. */
  readonly limit: number;
}

export interface ScanEntry extends EntryMeta {
  /** A copy; the caller's to keep. */
  readonly key: Uint8Array;
}

export interface ScanPage {
  /** At most `limit`, in no order that means anything; may be empty before the end when few keys match. */
  readonly entries: readonly ScanEntry[];
  /** Where to go on, or undefined at the end. Good for this store object only, whatever is written meanwhile. */
  readonly cursor: string | undefined;
}

/** The state as of the call of `snapshot()`, whatever is written later. */
export interface StoreSnapshot {
  /** The bytes, in chunks of at most about 256 KiB. Once only. Ending the iteration early closes the snapshot. */
  chunks(): Generator<Uint8Array, void, undefined>;
  /** Lets go of the memory that the snapshot holds; needed unless `chunks()` ran to its end. May be called twice. */
  close(): void;
}

/** Takes a snapshot's bytes, cut anywhere, and replaces the store's state by them at `finish()`, or not at all. */
export interface StoreRestorer {
  /** Throws a `StoreError` for bytes that no snapshot holds; the store keeps what it had. */
  write(chunk: Uint8Array): void;
  /** Throws a `StoreError` when the snapshot is not whole; the store keeps what it had. */
  finish(): void;
  /** Forgets what was written; the store keeps what it had. */
  abort(): void;
}

export interface StoreStats {
  readonly entries: number;
  /** Entries that will expire. */
  readonly expiringEntries: number;
  /** Logical bytes, the ones that `maxBytes` bounds. */
  readonly liveBytes: number;
  readonly maxBytes: number;
  /** Bytes of all buffers that the store holds now, used or not. */
  readonly allocatedBytes: number;
  /** Entries evicted since this object was made; local, not replicated. */
  readonly evictions: number;
  /** Entries expired since this object was made; local, not replicated. */
  readonly expirations: number;
}
