import { assert } from '@dcache/base';
import { countWithin } from '../core/entry-size.js';
import type { InitialState, LogReader } from '../core/log-reader.js';
import { type Entry, type HardState, noBytes, type Snapshot } from '../core/message.js';

/** A log in memory for scripts and tests: as plain as can be, and strict about what it is asked. */
export class MemoryLog implements LogReader {
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  /** What the log begins with: `#entries[0]` has the index after it. */
  #base: Snapshot = {
    metadata: {
      index: 0,
      term: 0,
      confState: { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
    },
    data: noBytes,
  };
  #offset = 0;
  #offsetTerm = 0;
  #entries: Entry[] = [];
  /** What `snapshot()` answers; by default the one the log begins with. */
  snapshotSource: () => Snapshot | undefined = () => (this.#base.metadata.index === 0 ? undefined : this.#base);

  initialState(): InitialState {
    return { hardState: this.hardState, confState: this.#base.metadata.confState };
  }

  firstIndex(): number {
    return this.#offset + 1;
  }

  lastIndex(): number {
    return this.#offset + this.#entries.length;
  }

  term(index: number): number | undefined {
    return index === this.#offset ? this.#offsetTerm : this.#entries[index - this.#offset - 1]?.term;
  }

  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | undefined {
    if (lo <= this.#offset) return undefined;
    assert(hi <= this.lastIndex() + 1, `entries to ${hi} were asked of a log that ends at ${this.lastIndex()}`);
    const start = lo - this.#offset - 1;
    const count = countWithin(this.#entries, start, hi - this.#offset - 1, maxBytes);
    return this.#entries.slice(start, start + count);
  }

  snapshot(): Snapshot | undefined {
    return this.snapshotSource();
  }

  /** Adds entries, replacing what has their indexes or higher. */
  append(entries: readonly Entry[]): void {
    const fresh = entries.filter((entry) => entry.index > this.#offset);
    const first = fresh[0];
    if (first === undefined) return;
    assert(first.index <= this.lastIndex() + 1, `entry ${first.index} leaves a gap after ${this.lastIndex()}`);
    this.#entries = [...this.#entries.slice(0, first.index - this.#offset - 1), ...fresh];
  }

  /** Begins anew after a snapshot. */
  applySnapshot(snapshot: Snapshot): void {
    const { index, term } = snapshot.metadata;
    if (this.#base.metadata.index >= index) throw new Error('requested index is older than the existing snapshot');
    this.#base = snapshot;
    this.#offset = index;
    this.#offsetTerm = term;
    this.#entries = [];
  }

  /** The snapshot that the log begins with. */
  get base(): Snapshot {
    return this.#base;
  }

  /** Begins with a snapshot of this node's own instead of the entries that it stands for. */
  compactTo(snapshot: Snapshot): void {
    this.compact(snapshot.metadata.index);
    this.#base = snapshot;
  }

  /** Drops the entries up to `index`. */
  compact(index: number): void {
    if (index <= this.#offset) throw new Error('requested index is unavailable due to compaction');
    assert(index <= this.lastIndex(), `compact ${index} is past the log's end ${this.lastIndex()}`);
    this.#offsetTerm = this.term(index)!;
    this.#entries = this.#entries.slice(index - this.#offset);
    this.#offset = index;
  }
}
