import { ByteWriter } from '@dcache/base';
import type { Entry, HardState } from '../core/message.js';
import { RaftError } from '../errors.js';
import { entryRecordOverhead, writeEntryRecord, writeHardStateRecord, writePlaceRecord } from './log-record.js';
import type { Segment, SegmentStore } from './segment-store.js';

/** A place in the log. */
export interface LogPlace {
  readonly index: number;
  readonly term: number;
}

/** What becomes durable together. */
export interface LogWrite {
  /** The log begins anew after this place. */
  readonly reset?: LogPlace;
  readonly entries: readonly Entry[];
  readonly hardState: HardState | undefined;
}

/** An entry in a frame: its record begins at `offset` of the payload. */
export interface WrittenEntry {
  readonly entry: Entry;
  readonly offset: number;
  readonly length: number;
}

interface Waiting extends LogWrite {
  /** Bytes that its records take, at most. */
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: RaftError) => void;
}

const hardStateBytes = 25;
const placeBytes = 17;
/** A buffer that grew larger for one frame is not kept. */
const maxKeptBytes = 4 * 1024 * 1024;
/** What a frame may hold beside entries: base, hard state, reset, hard state. */
const overheadBytes = 2 * (hardStateBytes + placeBytes);

/**
 * Puts what is to be written into frames. While one frame is on its way to the disk, everything that comes waits and
 * goes into the next together: one write and one sync for all of it. A frame holds whole writes only: one that does not
 * fit into the rest of a segment goes into the next, which is made as large as it takes.
 *
 * The first failure is final: everything that waits, and everything later, is rejected with it.
 */
export class LogWriter {
  readonly #segments: SegmentStore;
  readonly #onWritten: (entries: readonly WrittenEntry[], segment: Segment, payloadPosition: number) => void;
  #payload = new ByteWriter(64 * 1024);
  /** Where the log ends with all that is in frames. */
  #end: LogPlace = { index: 0, term: 0 };
  #hardState: HardState | undefined;
  #lazyHardState: HardState | undefined;
  #queue: Waiting[] = [];
  #running: Promise<void> | undefined;
  #failure: RaftError | undefined;

  constructor(
    segments: SegmentStore,
    onWritten: (entries: readonly WrittenEntry[], segment: Segment, payloadPosition: number) => void,
  ) {
    this.#segments = segments;
    this.#onWritten = onWritten;
  }

  /** Says what the files hold already. */
  recovered(end: LogPlace, hardState: HardState): void {
    this.#end = end;
    this.#hardState = hardState;
  }

  /** The error that ended the log. */
  get failure(): RaftError | undefined {
    return this.#failure;
  }

  /** Entries from here on are in no frame yet; Infinity when all are. */
  get firstWaiting(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { entries } of this.#queue) if (entries.length > 0) first = Math.min(first, entries[0]!.index);
    return first;
  }

  /** Resolves when it, and all before it, is durable. One of nothing costs no sync of its own. */
  write(write: LogWrite): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    let { hardState } = write;
    if (!isEmpty(write)) {
      hardState ??= this.#lazyHardState;
      this.#lazyHardState = undefined;
    } else if (this.#queue.length === 0) {
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...write, hardState, bytes: recordBytes(write), resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /**
   * A hard state of which only the commit index is new: it is found again if it is lost, and so is not worth a sync of its
   * own. It goes with the next write, so that no entry is ever on disk without the commit indexes that came before it: a
   * node that lost one would go by members of long ago. Resolves when all before it is durable.
   */
  async writeLazily(hardState: HardState): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#queue.length > 0) await this.write({ entries: [], hardState });
    else this.#lazyHardState = hardState;
  }

  /** Writes what waits, and refuses what comes later. Waits for space no longer. */
  async close(): Promise<void> {
    this.#segments.stopWaiting();
    const hardState = this.#lazyHardState;
    if (hardState !== undefined && this.#failure === undefined)
      await this.write({ entries: [], hardState }).catch(() => undefined);
    await this.#running;
    this.#failure ??= new RaftError('stopped', 'the log is closed');
  }

  async #run(): Promise<void> {
    // What else is written in this turn of the event loop shares the first frame.
    await Promise.resolve();
    try {
      for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
        if (!isEmpty(first)) await this.#writeFrame();
        else this.#queue.shift()!.resolve();
      }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      const path = this.#segments.current?.path ?? 'the log';
      const error = new RaftError('io', `cannot write ${path}: ${why}; this log has ended`, { cause });
      this.#failure = error;
      for (const waiting of this.#queue) waiting.reject(error);
      this.#queue = [];
    } finally {
      this.#running = undefined;
    }
  }

  async #writeFrame(): Promise<void> {
    const neededBytes = overheadBytes + this.#queue[0]!.bytes;
    if (this.#segments.room < neededBytes) await this.#segments.roll(neededBytes);
    const { written, finished } = this.#fillPayload(this.#segments.room);
    let maxIndex = 0;
    for (const { entry } of written) maxIndex = Math.max(maxIndex, entry.index);
    const { segment, position } = await this.#segments.write(this.#payload.finish(), maxIndex);
    for (const waiting of this.#queue.splice(0, finished)) waiting.resolve();
    this.#onWritten(written, segment, position);
    if (this.#payload.length > maxKeptBytes) this.#payload = new ByteWriter(64 * 1024);
  }

  /** Fills the payload with at most `room` bytes of the queue, and says how much of it is whole then. */
  #fillPayload(room: number): { readonly written: readonly WrittenEntry[]; readonly finished: number } {
    const payload = this.#payload;
    payload.reset();
    if (this.#segments.current?.hasFrame === false) {
      // So that the segment can stand without those before it.
      writePlaceRecord(payload, 'base', this.#end.index, this.#end.term);
      if (this.#hardState !== undefined) writeHardStateRecord(payload, this.#hardState);
    }
    const written: WrittenEntry[] = [];
    let finished = 0;
    let hardState: HardState | undefined;
    for (const waiting of this.#queue) {
      if (payload.length + waiting.bytes + hardStateBytes > room) break;
      if (waiting.reset !== undefined) this.#writeReset(waiting.reset);
      this.#writeEntries(waiting.entries, written);
      if (waiting.hardState !== undefined) hardState = waiting.hardState;
      finished++;
    }
    if (hardState !== undefined) {
      writeHardStateRecord(payload, hardState);
      this.#hardState = hardState;
    }
    return { written, finished };
  }

  #writeReset(place: LogPlace): void {
    writePlaceRecord(this.#payload, 'reset', place.index, place.term);
    this.#end = { index: place.index, term: place.term };
  }

  #writeEntries(entries: readonly Entry[], written: WrittenEntry[]): void {
    for (const entry of entries) {
      const offset = this.#payload.length;
      writeEntryRecord(this.#payload, entry);
      written.push({ entry, offset, length: this.#payload.length - offset });
      this.#end = { index: entry.index, term: entry.term };
    }
  }
}

function isEmpty({ reset, entries, hardState }: LogWrite): boolean {
  return reset === undefined && entries.length === 0 && hardState === undefined;
}

function recordBytes({ reset, entries }: LogWrite): number {
  let bytes = reset === undefined ? 0 : placeBytes;
  for (const entry of entries) bytes += entryRecordOverhead + entry.data.length;
  return bytes;
}
