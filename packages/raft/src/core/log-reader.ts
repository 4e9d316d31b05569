import type { ConfState, Entry, HardState, Snapshot } from './message.js';

/** What a node finds when it starts. */
export interface InitialState {
  /** All zero for a new node. */
  readonly hardState: HardState;
  /** The members at the snapshot that the log begins with; nobody for a new node. */
  readonly confState: ConfState;
}

/**
 * The durable part of the log as the core reads it: synchronous and without side effects. What a `Ready` hands out is
 * seen here as soon as it is written, and must be by the time `advance()` (or the storage response) is called.
 *
 * Invariant: a log always knows the term at `firstIndex() - 1`, the place of the snapshot it begins with (0 when none).
 */
export interface LogReader {
  initialState(): InitialState;
  /** Index of the oldest entry kept; 1 for a new log. */
  firstIndex(): number;
  /** Index of the newest entry; `firstIndex() - 1` when there is none. */
  lastIndex(): number;
  /** Term at `index`, from `firstIndex() - 1` to `lastIndex()`; undefined where it is compacted away or not there yet. */
  term(index: number): number | undefined;
  /**
   * Entries with `lo <= index < hi`, cut so that their `entrySize`s add up to at most `maxBytes`, but never fewer than
   * one. Undefined when `lo` is compacted away. `hi` is at most `lastIndex() + 1`.
   */
  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | undefined;
  /** The newest snapshot for a follower that needs one; undefined while none can be had, and the core asks again. */
  snapshot(): Snapshot | undefined;
}
