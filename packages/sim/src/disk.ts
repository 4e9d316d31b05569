import { assert } from '@dcache/base';
import {
  type ConfState,
  type Entry,
  EntryType,
  entrySize,
  type HardState,
  type InitialState,
  type LogReader,
  type Snapshot,
} from '@dcache/raft';

/** One write: its parts reach the disk together or not at all. */
export interface Frame {
  readonly hardState?: HardState | undefined;
  /** Replace what has their indexes or higher. */
  readonly entries?: readonly Entry[];
  /** Replaces the whole log, as a snapshot from a leader does. */
  readonly snapshot?: Snapshot | undefined;
  /** A snapshot of the node's own state. */
  readonly ownSnapshot?: Snapshot;
  /** Entries up to this index are given up. */
  readonly compactTo?: number;
}

const noMembers: ConfState = { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
const emptySnapshot: Snapshot = { metadata: { index: 0, term: 0, confState: noMembers }, data: new Uint8Array() };

/** What a log holds at one moment. */
class LogImage {
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  snapshot: Snapshot = emptySnapshot;
  /** The place before the first entry. */
  baseIndex = 0;
  baseTerm = 0;
  entries: Entry[] = [];

  get lastIndex(): number {
    return this.baseIndex + this.entries.length;
  }

  term(index: number): number | undefined {
    return index === this.baseIndex ? this.baseTerm : this.entries[index - this.baseIndex - 1]?.term;
  }

  has(index: number, term: number): boolean {
    return index < this.baseIndex || (index <= this.lastIndex && this.term(index) === term);
  }

  write(frame: Frame): void {
    if (frame.snapshot !== undefined) {
      const { index, term } = frame.snapshot.metadata;
      this.snapshot = frame.snapshot;
      this.baseIndex = index;
      this.baseTerm = term;
      this.entries = [];
    }
    for (const entry of frame.entries ?? []) {
      assert(entry.index <= this.lastIndex + 1, `entry ${entry.index} would leave a gap after ${this.lastIndex}`);
      if (entry.index <= this.baseIndex) continue;
      this.entries.length = entry.index - this.baseIndex - 1;
      this.entries.push(entry);
    }
    if (frame.hardState !== undefined) this.hardState = frame.hardState;
    if (frame.ownSnapshot !== undefined && frame.ownSnapshot.metadata.index > this.snapshot.metadata.index) {
      this.snapshot = frame.ownSnapshot;
      // What was applied is committed, though the commit index itself may not have been written yet.
      const commit = Math.max(this.hardState.commit, frame.ownSnapshot.metadata.index);
      this.hardState = { ...this.hardState, commit };
    }
    if (frame.compactTo !== undefined && frame.compactTo > this.baseIndex) {
      const term = this.term(frame.compactTo);
      assert(term !== undefined, `compaction to ${frame.compactTo}, which is not in the log`);
      this.entries.splice(0, frame.compactTo - this.baseIndex);
      this.baseIndex = frame.compactTo;
      this.baseTerm = term;
    }
  }

  clone(): LogImage {
    const copy = new LogImage();
    Object.assign(copy, this);
    copy.entries = [...this.entries];
    return copy;
  }
}

/**
 * A log on a simulated disk. What is written is read back at once, but only what was synced is certain to survive a
 * crash. Of the frames written since, a crash keeps a random number of whole ones from the front: the first frame that
 * did not make it is torn, and recovery cuts it and everything behind it, as a log with checksums does.
 */
export class LogDisk implements LogReader {
  #view = new LogImage();
  #durable = new LogImage();
  #beforeWipe: LogImage | undefined;
  #unsynced: Frame[] = [];
  /** Frames lost in crashes so far. */
  lostFrames = 0;
  /** Takes a snapshot of what the node has applied: one on the disk may be too old for a member that joined since. */
  freshSnapshot: () => Snapshot | undefined = () => this.storedSnapshot();

  initialState(): InitialState {
    return { hardState: this.#view.hardState, confState: this.#view.snapshot.metadata.confState };
  }

  firstIndex(): number {
    return this.#view.baseIndex + 1;
  }

  lastIndex(): number {
    return this.#view.lastIndex;
  }

  term(index: number): number | undefined {
    return this.#view.term(index);
  }

  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | undefined {
    const { baseIndex, entries, lastIndex } = this.#view;
    if (lo <= baseIndex) return undefined;
    assert(hi <= lastIndex + 1, `entries up to ${hi} were asked for; the last is ${lastIndex}`);
    const found: Entry[] = [];
    let bytes = 0;
    for (const entry of entries.slice(lo - baseIndex - 1, hi - baseIndex - 1)) {
      bytes += entrySize(entry);
      if (bytes > maxBytes && found.length > 0) break;
      found.push(entry);
    }
    return found;
  }

  snapshot(): Snapshot | undefined {
    return this.freshSnapshot();
  }

  /** What a restart begins with. */
  storedSnapshot(): Snapshot | undefined {
    return this.#view.snapshot.metadata.index === 0 ? undefined : this.#view.snapshot;
  }

  write(frame: Frame): void {
    this.#view.write(frame);
    this.#unsynced.push(frame);
  }

  /** Frames that are not synced. */
  get unsyncedFrames(): number {
    return this.#unsynced.length;
  }

  /** Makes the first `count` unsynced frames durable. */
  sync(count: number = this.#unsynced.length): void {
    for (const frame of this.#unsynced.splice(0, count)) this.#durable.write(frame);
  }

  /** The machine stops; `keep` says how many of `count` unsynced frames had reached the disk by chance. */
  crash(keep: (count: number) => number): void {
    this.sync(keep(this.#unsynced.length));
    this.lostFrames += this.#unsynced.length;
    this.#unsynced = [];
    this.#view = this.#durable.clone();
  }

  /** Everything is gone, as with a log in memory. */
  wipe(): void {
    this.#beforeWipe = this.#durable;
    this.#view = new LogImage();
    this.#durable = new LogImage();
    this.#unsynced = [];
  }

  /** What a crash would certainly leave. */
  get durableHardState(): HardState {
    return this.#durable.hardState;
  }

  /** Whether a change of the members is in the log behind `index`. */
  hasChangeAfter(index: number): boolean {
    const { entries, baseIndex } = this.#view;
    return entries.slice(Math.max(0, index - baseIndex)).some(({ type }) => type !== EntryType.normal);
  }

  /**
   * Whether a crash would certainly leave the entry, or a snapshot that holds it; of a log in memory, whether it was
   * there before the crash, for a leader may count on what was acknowledged by a node that is one of a minority lost.
   */
  hasDurable(index: number, term: number): boolean {
    return this.#durable.has(index, term) || this.#beforeWipe?.has(index, term) === true;
  }

  get durableLastIndex(): number {
    return this.#durable.lastIndex;
  }

  /** Breaks the disk for a mutation test: the last hard state written is as if it never was. */
  forgetHardState(): void {
    const { commit } = this.#durable.hardState;
    this.#durable.hardState = { term: 0, vote: 0, commit };
    this.#view = this.#durable.clone();
    this.#unsynced = [];
  }
}
