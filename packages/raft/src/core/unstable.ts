import type { Entry, Snapshot } from './message.js';
import { noEntries } from './message.js';
import type { Trace } from './trace.js';

/**
 * The tail of the log that is not known to be on disk, and a snapshot on its way there.
 *
 * ```
 *        offset          inProgress            offset + entries.length
 *          |  being written  |  not handed out yet  |
 * ```
 *
 * Invariant: offset <= inProgress <= offset + entries.length. `entries[i]` has index offset + i. A snapshot is at
 * offset - 1 when it comes, and everything before it is gone.
 */
export class Unstable {
  offset: number;
  inProgress: number;
  snapshot: Snapshot | undefined = undefined;
  snapshotInProgress = false;
  #entries: Entry[] = [];
  readonly #trace: Trace | undefined;

  constructor(offset: number, trace: Trace | undefined) {
    this.offset = offset;
    this.inProgress = offset;
    this.#trace = trace;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** Whether entries or their end are here, and not only in storage. */
  get lastIndex(): number | undefined {
    if (this.#entries.length > 0) return this.offset + this.#entries.length - 1;
    return this.snapshot?.metadata.index;
  }

  /** Term at `index` if this part of the log knows it. */
  term(index: number): number | undefined {
    if (index >= this.offset) return this.#entries[index - this.offset]?.term;
    return this.snapshot?.metadata.index === index ? this.snapshot.metadata.term : undefined;
  }

  /** A copy of the entries with `lo <= index < hi`. */
  slice(lo: number, hi: number): readonly Entry[] {
    return this.#entries.slice(lo - this.offset, hi - this.offset);
  }

  /** The array behind, for loops that only look: `at(i)` is entry `offset + i`. */
  peek(): readonly Entry[] {
    return this.#entries;
  }

  get hasNext(): boolean {
    return this.inProgress < this.offset + this.#entries.length;
  }

  /** Entries to be written and not handed out yet. */
  next(): readonly Entry[] {
    return this.hasNext ? this.#entries.slice(this.inProgress - this.offset) : noEntries;
  }

  get nextSnapshot(): Snapshot | undefined {
    return this.snapshotInProgress ? undefined : this.snapshot;
  }

  /** All that `next` and `nextSnapshot` give is being written. */
  accept(): void {
    this.inProgress = this.offset + this.#entries.length;
    if (this.snapshot !== undefined) this.snapshotInProgress = true;
  }

  /**
   * Entries up to (`index`, `term`) are on disk. Ignored where this part of the log says otherwise: it was replaced
   * while the write was under way, and the replacement is still to come.
   */
  stableTo(index: number, term: number): void {
    const ownTerm = this.term(index);
    if (ownTerm === undefined || index < this.offset || ownTerm !== term) {
      const reason = ownTerm === undefined ? 'missing' : index < this.offset ? 'snapshot' : 'mismatch';
      this.#trace?.({ kind: 'stable-ignored', reason, index, term, ownTerm: ownTerm ?? 0 });
      return;
    }
    this.#entries =
      index + 1 - this.offset === this.#entries.length ? [] : this.#entries.slice(index + 1 - this.offset);
    this.offset = index + 1;
    this.inProgress = Math.max(this.inProgress, this.offset);
  }

  stableSnapshotTo(index: number): void {
    if (this.snapshot?.metadata.index !== index) return;
    this.snapshot = undefined;
    this.snapshotInProgress = false;
  }

  /** Everything is replaced by a snapshot. */
  restore(snapshot: Snapshot): void {
    this.offset = snapshot.metadata.index + 1;
    this.inProgress = this.offset;
    this.#entries = [];
    this.snapshot = snapshot;
    this.snapshotInProgress = false;
  }

  /** Takes entries that follow the log or replace its end from their first index on. */
  replaceFrom(entries: readonly Entry[]): void {
    const from = entries[0]!.index;
    if (from === this.offset + this.#entries.length) {
      for (let i = 0; i < entries.length; i++) this.#entries.push(entries[i]!);
    } else if (from <= this.offset) {
      this.#trace?.({ kind: 'unstable-replaced', index: from });
      this.#entries = entries.slice();
      this.offset = from;
      this.inProgress = from;
    } else {
      this.#trace?.({ kind: 'unstable-truncated', index: from });
      this.#entries = this.#entries.slice(0, from - this.offset).concat(entries);
      this.inProgress = Math.min(this.inProgress, from);
    }
  }
}
