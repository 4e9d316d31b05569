import { assert } from '@dcache/base';
import { entriesSize, entrySize } from '../core/entry-size.js';
import type { Entry } from '../core/message.js';
import { RaftError } from '../errors.js';
import { EntryLog, entryWeight } from '../storage.js';
import { EntryPlaces } from './entry-places.js';
import { type LogRecord, readEntryRecord } from './log-record.js';
import type { WrittenEntry } from './log-writer.js';
import type { Segment, SegmentStore } from './segment-store.js';

/** Bytes of the log that are read at once for entries that are not in memory. */
const maxReadBytes = 2 * 1024 * 1024;

/**
 * The entries of a log on disk: the newest in memory, of the others where they are in the segments. It follows what is
 * written and what recovery finds; it writes nothing itself.
 */
export class StoredEntries {
  readonly #segments: SegmentStore;
  readonly #cacheBytes: number;
  readonly #places = new EntryPlaces();
  /** The newest entries. Invariant: what is in no frame yet is here. */
  readonly #cache = new EntryLog();

  /** At most `cacheBytes` of what is on disk stay in memory. */
  constructor(segments: SegmentStore, cacheBytes: number) {
    this.#segments = segments;
    this.#cacheBytes = cacheBytes;
  }

  get firstIndex(): number {
    return this.#places.firstIndex;
  }

  get lastIndex(): number {
    return this.#places.lastIndex;
  }

  /** Weight of all entries. */
  get sizeBytes(): number {
    return this.#places.sizeBytes;
  }

  term(index: number): number | undefined {
    return this.#places.term(index);
  }

  /** As `LogStorage.firstIndexWithin`. */
  firstIndexWithin(maxBytes: number): number {
    return this.#places.firstIndexWithin(maxBytes);
  }

  /** Adds entries that are about to be written. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index < this.firstIndex || entry.index > this.lastIndex + 1)
        assert(false, `entry ${entry.index} does not fit a log from ${this.firstIndex} to ${this.lastIndex}`);
      this.#places.append(entry.index, entry.term, entryWeight(entry));
    }
    this.#keep(entries);
  }

  /** Entries are on disk, in a frame whose payload is at `position`; those from `firstWaiting` on are in none yet. */
  written(written: readonly WrittenEntry[], segment: Segment, position: number, firstWaiting: number): void {
    // An entry may have been replaced while it was written.
    for (const { entry, offset, length } of written)
      if (this.#cache.at(entry.index) === entry)
        this.#places.place(entry.index, segment.sequence, position + offset, length);
    this.#evict(firstWaiting);
  }

  /** Empty, beginning after `index`. */
  reset(index: number, term: number): void {
    this.#places.reset(index, term);
    this.#cache.reset(index, term);
  }

  /** Gives up entries up to `index`. */
  compact(index: number): void {
    this.#places.compact(index);
    this.#cache.compact(index);
  }

  /** As `LogReader.entries`. Reads what is not among the newest entries from the disk, which blocks. */
  read(lo: number, hi: number, maxBytes: number): readonly Entry[] | undefined {
    if (lo < this.#places.firstIndex) return undefined;
    const cached = this.#cache.firstIndex;
    if (lo >= cached) return this.#cache.slice(lo, hi, maxBytes);
    const entries = this.#readEntries(lo, Math.min(hi, cached), maxBytes);
    if (hi <= cached || entries.length < cached - lo) return entries;
    const left = maxBytes - entriesSize(entries);
    if (entrySize(this.#cache.at(cached)!) > left) return entries;
    return entries.concat(this.#cache.slice(cached, hi, left)!);
  }

  /** What recovery finds in a frame whose payload is at `position`. Throws a `RaftError` `corrupt` where it cannot follow. */
  replay(record: Exclude<LogRecord, { readonly type: 'hardState' }>, segment: Segment, position: number): void {
    const where = `${segment.path} at offset ${position}`;
    switch (record.type) {
      case 'reset':
        this.reset(record.index, record.term);
        return;
      case 'base':
        if (this.#segments.isOldest(segment)) {
          this.reset(record.index, record.term);
        } else if (record.index !== this.lastIndex || record.term !== this.term(record.index)) {
          throw new RaftError(
            'corrupt',
            `${where}: follows entry ${record.index}, but the log ends at ${this.lastIndex}`,
          );
        }
        return;
      case 'entry':
        segment.maxIndex = Math.max(segment.maxIndex, record.entry.index);
        this.#replayEntry(record.entry, where);
        if (record.entry.index >= this.firstIndex)
          this.#places.place(record.entry.index, segment.sequence, position + record.offset, record.length);
        return;
    }
  }

  /** Lets go of what is more than the memory is for, while nothing is being written. */
  shrink(): void {
    this.#evict(Number.POSITIVE_INFINITY);
  }

  #replayEntry(entry: Entry, where: string): void {
    const { index, term } = entry;
    if (index > this.lastIndex + 1) throw new RaftError('corrupt', `${where}: entry ${index} after ${this.lastIndex}`);
    if (index < this.firstIndex) {
      // It replaced entries of segments that are gone; of what precedes it nothing is known but that it is not needed.
      this.reset(index, term);
      return;
    }
    this.#places.append(index, term, entryWeight(entry));
    // A view would keep the whole segment in memory.
    this.#keep([{ ...entry, data: new Uint8Array(entry.data) }]);
  }

  /** At least one entry, from the disk. */
  #readEntries(lo: number, hi: number, maxBytes: number): Entry[] {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let index = lo; index < hi; ) {
      for (const entry of this.#readRun(index, hi, maxBytes - bytes)) {
        bytes += entrySize(entry);
        if (bytes > maxBytes && entries.length > 0) return entries;
        entries.push(entry);
        index++;
      }
    }
    return entries;
  }

  /** Entries from `lo` on whose records lie one after the other, with one read. */
  #readRun(lo: number, hi: number, maxBytes: number): Entry[] {
    const first = this.#places.get(lo);
    const limit = first.position + Math.min(maxReadBytes, Math.max(maxBytes, 0) + 64 * 1024);
    let end = first.position + first.length;
    let last = lo;
    while (last + 1 < hi) {
      const next = this.#places.get(last + 1);
      if (next.segment !== first.segment || next.position < end || next.position + next.length > limit) break;
      end = next.position + next.length;
      last++;
    }
    const { file, path } = this.#segments.get(first.segment);
    const bytes = new Uint8Array(end - first.position);
    file.readSync(bytes, first.position);
    const entries: Entry[] = [];
    for (let index = lo; index <= last; index++) {
      const { term, position, length } = this.#places.get(index);
      const from = position - first.position;
      entries.push(readEntryRecord(bytes.subarray(from, from + length), index, term, `${path} at offset ${position}`));
    }
    return entries;
  }

  #keep(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    // They may replace entries that are on disk only: then nothing that is in memory stays.
    if (first.index < this.#cache.firstIndex) this.#cache.reset(first.index - 1, this.#places.term(first.index - 1)!);
    this.#cache.append(entries);
  }

  /** Lets go of what is on disk and more than the memory is for. */
  #evict(firstWaiting: number): void {
    if (this.#cache.sizeBytes <= this.#cacheBytes) return;
    this.#cache.compact(Math.min(this.#cache.firstIndexWithin(this.#cacheBytes), firstWaiting) - 1);
  }
}
