import { assert } from '@dcache/base';
import { entrySize } from './core/entry-size.js';
import type { InitialState, LogReader } from './core/log-reader.js';
import type { ConfState, Entry, HardState, Snapshot, SnapshotMetadata } from './core/message.js';

/**
 * The log of one node. The core reads it synchronously through the `LogReader` part; the driver writes it through the
 * rest, one call after the other without waiting, and the calls take effect in that order. What was given to `append`
 * is read back at once; the promise says when it is durable.
 *
 * The state that a snapshot stands for is not in here: it is in the state machine, and in a durable storage also in a
 * file that `writeSnapshot` makes and `openSnapshot` reads.
 *
 * Every implementation passes `testLogStorage`.
 */
export interface LogStorage extends LogReader {
  /** Whether what was written is there again after a restart. */
  readonly isDurable: boolean;
  /** True while there is no room for more log: proposals are refused, reads go on. It may become false by itself. */
  readonly isFull: boolean;
  /** Bytes of the entries kept. */
  readonly sizeBytes: number;
  /** Entries whose index is at least this weigh at most `maxBytes`; at most `lastIndex() + 1`. */
  firstIndexWithin(maxBytes: number): number;
  /**
   * Writes entries after what precedes the first of them, replacing what has their indexes or higher, and the hard state
   * if there is one. Resolves when both are durable: entries of one call are all there after a crash or none is, and
   * never those of a later call without those of an earlier. A hard state in which only the commit index is new may
   * become durable later, but never after entries of a later call. A rejection is final: the storage has ended. A storage
   * that is never durable has nothing to wait for, and returns undefined: then what rests on the write goes on at once.
   */
  append(entries: readonly Entry[], hardState: HardState | undefined): Promise<void> | undefined;
  /** Makes the log an empty one that begins after `metadata.index`. Resolves when that and the hard state are durable. */
  applySnapshot(metadata: SnapshotMetadata, hardState: HardState | undefined): Promise<void>;
  /** Gives up entries up to `index`, which keeps its term. Those that are not there are no error. */
  compact(index: number): void;
  /**
   * A place to put the state that `metadata` stands for, or undefined where the storage keeps no state. A snapshot that
   * is not finished leaves nothing behind.
   */
  writeSnapshot(metadata: SnapshotMetadata): Promise<SnapshotFile> | undefined;
  /** The state to start from, or undefined where there is none. */
  openSnapshot(): Promise<StoredSnapshot | undefined>;
  /** Waits for what is being written, then lets go of files and locks. */
  close(): Promise<void>;
}

/** A snapshot that is being written. */
export interface SnapshotFile {
  /** At most 1 MiB at a time; resolves when more may come. */
  write(chunk: Uint8Array): Promise<void>;
  /** Resolves when the snapshot is durable and is the one that `openSnapshot` gives. */
  finish(): Promise<void>;
  /** Forgets it. */
  abort(): Promise<void>;
}

/** A snapshot that was finished. */
export interface StoredSnapshot {
  readonly metadata: SnapshotMetadata;
  /** Rejects with `corrupt` where a checksum is wrong. */
  chunks(): AsyncIterable<Uint8Array>;
}

export const emptyHardState: HardState = { term: 0, vote: 0, commit: 0 };
export const emptyConfState: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

/** Bytes that an entry costs beside its data, roughly: for bounds. */
const entryOverheadBytes = 64;

/** What an entry counts towards the bounds of a log. */
export function entryWeight(entry: Entry): number {
  return entry.data.length + entryOverheadBytes;
}

/**
 * A log in memory, for nodes that are new at each start. Appending and reading are O(1) an entry; compaction moves the
 * head and now and then copies the rest, O(1) an entry amortised.
 */
export class MemoryStorage implements LogStorage {
  readonly isDurable = false;
  readonly isFull = false;
  #hardState: HardState = emptyHardState;
  #confState: ConfState = emptyConfState;
  readonly #log = new EntryLog();

  get sizeBytes(): number {
    return this.#log.sizeBytes;
  }

  initialState(): InitialState {
    return { hardState: this.#hardState, confState: this.#confState };
  }

  firstIndex(): number {
    return this.#log.firstIndex;
  }

  lastIndex(): number {
    return this.#log.lastIndex;
  }

  term(index: number): number | undefined {
    return this.#log.term(index);
  }

  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | undefined {
    return this.#log.slice(lo, hi, maxBytes);
  }

  /** Always undefined: no state is kept here. The driver takes it from the state machine. */
  snapshot(): Snapshot | undefined {
    return undefined;
  }

  firstIndexWithin(maxBytes: number): number {
    return this.#log.firstIndexWithin(maxBytes);
  }

  append(entries: readonly Entry[], hardState: HardState | undefined): undefined {
    this.#log.append(entries);
    if (hardState !== undefined) this.#hardState = hardState;
  }

  async applySnapshot(metadata: SnapshotMetadata, hardState: HardState | undefined): Promise<void> {
    this.#log.reset(metadata.index, metadata.term);
    this.#confState = metadata.confState;
    if (hardState !== undefined) this.#hardState = hardState;
  }

  compact(index: number): void {
    this.#log.compact(index);
  }

  writeSnapshot(): undefined {
    return undefined;
  }

  async openSnapshot(): Promise<undefined> {
    return undefined;
  }

  async close(): Promise<void> {}
}

/**
 * Entries in a row, and the place before them. An array with a moving head.
 *
 * Invariant: `#entries[#head + i].index === firstIndex + i`.
 */
export class EntryLog {
  #entries: (Entry | undefined)[] = [];
  #head = 0;
  #beforeIndex = 0;
  #beforeTerm = 0;
  #sizeBytes = 0;

  get firstIndex(): number {
    return this.#beforeIndex + 1;
  }

  get lastIndex(): number {
    return this.#beforeIndex + this.#entries.length - this.#head;
  }

  /** Weight of all entries. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  term(index: number): number | undefined {
    if (index === this.#beforeIndex) return this.#beforeTerm;
    return this.at(index)?.term;
  }

  /** The entry at `index`, or undefined where it is not here. */
  at(index: number): Entry | undefined {
    return index <= this.#beforeIndex ? undefined : this.#entries[this.#head + index - this.#beforeIndex - 1];
  }

  /** As `LogReader.entries`. */
  slice(lo: number, hi: number, maxBytes: number): readonly Entry[] | undefined {
    if (lo <= this.#beforeIndex) return undefined;
    if (hi > this.lastIndex + 1) assert(false, `entries up to ${hi} were asked for; the last is ${this.lastIndex}`);
    const from = this.#head + lo - this.#beforeIndex - 1;
    let to = from;
    let bytes = 0;
    for (const end = from + hi - lo; to < end; to++) {
      bytes += entrySize(this.#entries[to]!);
      if (bytes > maxBytes && to > from) break;
    }
    return this.#entries.slice(from, to) as Entry[];
  }

  /** Adds entries, replacing what has their indexes or higher. The first leaves no gap and is not compacted away. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index <= this.#beforeIndex || entry.index > this.lastIndex + 1)
        assert(false, `entry ${entry.index} does not fit a log from ${this.firstIndex} to ${this.lastIndex}`);
      if (entry.index <= this.lastIndex) this.#truncateFrom(entry.index);
      this.#entries.push(entry);
      this.#sizeBytes += entryWeight(entry);
    }
  }

  /** Empty, beginning after `index`. */
  reset(index: number, term: number): void {
    this.#entries = [];
    this.#head = 0;
    this.#beforeIndex = index;
    this.#beforeTerm = term;
    this.#sizeBytes = 0;
  }

  /** Gives up entries up to `index`. */
  compact(index: number): void {
    const last = Math.min(index, this.lastIndex);
    if (last <= this.#beforeIndex) return;
    this.#beforeTerm = this.term(last)!;
    while (this.#beforeIndex < last) {
      this.#sizeBytes -= entryWeight(this.#entries[this.#head]!);
      this.#entries[this.#head++] = undefined;
      this.#beforeIndex++;
    }
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }

  /** As `LogStorage.firstIndexWithin`; costs a step for each entry that does not fit. */
  firstIndexWithin(maxBytes: number): number {
    let bytes = this.#sizeBytes;
    let at = this.#head;
    while (bytes > maxBytes && at < this.#entries.length) bytes -= entryWeight(this.#entries[at++]!);
    return this.#beforeIndex + 1 + at - this.#head;
  }

  #truncateFrom(index: number): void {
    const length = this.#head + index - this.#beforeIndex - 1;
    for (let at = length; at < this.#entries.length; at++) this.#sizeBytes -= entryWeight(this.#entries[at]!);
    this.#entries.length = length;
  }
}
