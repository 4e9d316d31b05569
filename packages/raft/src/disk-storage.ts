import { assert, type Clock, type Logger, type Random, silentLogger, systemClock, systemRandom } from '@dcache/base';
import { entrySize } from './core/entry-size.js';
import type { InitialState } from './core/log-reader.js';
import type { ConfState, Entry, HardState, NodeId, Snapshot, SnapshotMetadata } from './core/message.js';
import { noBytes } from './core/message.js';
import { EntryPlaces } from './entry-places.js';
import { RaftError } from './errors.js';
import { type FileSystem, nodeFileSystem } from './file-system.js';
import { claimDirectory, foreignCluster, type Identity, writeIdentity } from './identity.js';
import { type LogRecord, readEntryRecord, readRecords } from './log-record.js';
import { LogWriter } from './log-writer.js';
import { type Segment, SegmentStore } from './segment-store.js';
import { createSnapshotFile, openSnapshotFile, parseSnapshotName, snapshotName } from './snapshot-file.js';
import {
  EntryLog,
  emptyConfState,
  emptyHardState,
  entryWeight,
  type LogStorage,
  type SnapshotFile,
  type StoredSnapshot,
} from './storage.js';

export interface DiskStorageOptions {
  /** A folder of this node alone; made if it is not there. */
  readonly directory: string;
  /** The id of a new log. One that is there must have it, if it is given. Default random below 2^52. */
  readonly nodeId?: NodeId;
  /** The cluster that the log belongs to. One that is there must have it, if both are known. Default unknown. */
  readonly clusterId?: string;
  /** Size of a file of the log, from 64 KiB to 1 GiB. Two of them are always taken. Default 16 MiB. */
  readonly segmentBytes?: number;
  /** Newest entries kept in memory; older ones are read from the disk, which blocks. Default 32 MiB. */
  readonly cacheBytes?: number;
  /** Default the machine's files. */
  readonly fileSystem?: FileSystem;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
}

/** Bytes of the log that are read at once for entries that are not in memory. */
const maxReadBytes = 2 * 1024 * 1024;

/**
 * The log on disk.
 *
 * Whatever is appended while one write is under way goes into the next together (group commit). The first error of a
 * write or a sync is the last word of this storage: what a failed sync left behind is unknown, and a second that
 * succeeds proves nothing. (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020)
 *
 * In the folder: `identity.json`, `lock`, `log-….wal` (see `segment.ts`), `snapshot-….snap` (see `snapshot-file.ts`).
 */
export class DiskStorage implements LogStorage {
  readonly isDurable = true;
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #cacheBytes: number;
  readonly #segments: SegmentStore;
  readonly #writer: LogWriter;
  readonly #unlock: () => Promise<void>;
  readonly #places = new EntryPlaces();
  /** The newest entries. Invariant: what is in no frame yet is here. */
  readonly #cache = new EntryLog();
  #identity: Identity;
  #hardState: HardState = emptyHardState;
  #snapshot: SnapshotMetadata | undefined;
  #confState: ConfState = emptyConfState;
  #temporaryCount = 0;

  private constructor(
    options: DiskStorageOptions & { readonly fileSystem: FileSystem },
    identity: Identity,
    segments: SegmentStore,
    unlock: () => Promise<void>,
  ) {
    this.#fileSystem = options.fileSystem;
    this.#directory = options.directory;
    this.#cacheBytes = options.cacheBytes ?? 32 * 1024 * 1024;
    this.#identity = identity;
    this.#segments = segments;
    this.#unlock = unlock;
    this.#writer = new LogWriter(segments, (written, segment, position) => {
      // An entry may have been replaced while it was written.
      for (const { entry, offset, length } of written)
        if (this.#cache.at(entry.index) === entry)
          this.#places.place(entry.index, segment.sequence, position + offset, length);
      this.#evict();
    });
  }

  /**
   * Opens the log of a folder, or makes one. Rejects with a `RaftError`: `foreign` where another process has it, or it
   * belongs to another node or cluster or version; `corrupt` where it is damaged otherwise than by a torn last write,
   * with the file and the offset; `disk-full` where a new one has no room.
   */
  static async open(options: DiskStorageOptions): Promise<DiskStorage> {
    const { directory, segmentBytes = 16 * 1024 * 1024, fileSystem = nodeFileSystem } = options;
    const { clock = systemClock, random = systemRandom, logger = silentLogger } = options;
    if (!Number.isSafeInteger(segmentBytes) || segmentBytes < 65_536 || segmentBytes > 2 ** 30)
      throw new TypeError(`segmentBytes takes an integer from 65536 to ${2 ** 30}, got ${String(segmentBytes)}`);
    await fileSystem.makeDirectory(directory);
    const unlock = await fileSystem.lock(directory);
    const segments = new SegmentStore({ fileSystem, directory, segmentBytes, random, clock, logger });
    try {
      const wanted = { nodeId: options.nodeId, clusterId: options.clusterId };
      const identity = await claimDirectory(fileSystem, directory, wanted, random);
      const storage = new DiskStorage({ ...options, fileSystem }, identity, segments, unlock);
      await storage.#recover();
      return storage;
    } catch (error) {
      segments.stopWaiting();
      await segments.close();
      await unlock();
      const { code } = error as { code?: string };
      if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
      throw new RaftError('disk-full', `${directory}: there is no room for a log`, { cause: error });
    }
  }

  get nodeId(): NodeId {
    return this.#identity.nodeId;
  }

  /** Undefined until `adoptCluster`, or the options, said it. */
  get clusterId(): string | undefined {
    return this.#identity.clusterId;
  }

  /** Notes which cluster the log belongs to, durably. Rejects with `foreign` if it belongs to another. */
  async adoptCluster(clusterId: string): Promise<void> {
    const known = this.#identity.clusterId;
    if (known === clusterId) return;
    if (known !== undefined) throw foreignCluster(this.#directory, known, clusterId);
    const identity = { nodeId: this.nodeId, clusterId };
    await writeIdentity(this.#fileSystem, this.#directory, identity);
    this.#identity = identity;
  }

  get isFull(): boolean {
    return this.#segments.isFull;
  }

  get sizeBytes(): number {
    return this.#places.sizeBytes;
  }

  initialState(): InitialState {
    return { hardState: this.#hardState, confState: this.#confState };
  }

  firstIndex(): number {
    return this.#places.firstIndex;
  }

  lastIndex(): number {
    return this.#places.lastIndex;
  }

  term(index: number): number | undefined {
    return this.#places.term(index);
  }

  /** Reads what is not among the newest entries from the disk, which blocks. */
  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | undefined {
    if (lo < this.#places.firstIndex) return undefined;
    const cached = this.#cache.firstIndex;
    if (lo >= cached) return this.#cache.slice(lo, hi, maxBytes);
    const entries = this.#readEntries(lo, Math.min(hi, cached), maxBytes);
    if (hi <= cached || entries.length < cached - lo) return entries;
    const left = maxBytes - entries.reduce((size, entry) => size + entrySize(entry), 0);
    if (entrySize(this.#cache.at(cached)!) > left) return entries;
    return entries.concat(this.#cache.slice(cached, hi, left)!);
  }

  /** What the log begins with; its state comes from `openSnapshot`. */
  snapshot(): Snapshot | undefined {
    return this.#snapshot === undefined ? undefined : { metadata: this.#snapshot, data: noBytes };
  }

  firstIndexWithin(maxBytes: number): number {
    return this.#places.firstIndexWithin(maxBytes);
  }

  append(entries: readonly Entry[], hardState: HardState | undefined): Promise<void> {
    const { term, vote } = this.#hardState;
    if (hardState !== undefined) this.#hardState = hardState;
    if (entries.length === 0 && hardState?.term === term && hardState.vote === vote)
      return this.#writer.writeLazily(hardState);
    for (const entry of entries) {
      if (entry.index < this.firstIndex() || entry.index > this.lastIndex() + 1)
        assert(false, `entry ${entry.index} does not fit a log from ${this.firstIndex()} to ${this.lastIndex()}`);
      this.#places.append(entry.index, entry.term, entryWeight(entry));
    }
    this.#keep(entries);
    return this.#writer.write({ entries, hardState });
  }

  async applySnapshot(metadata: SnapshotMetadata, hardState: HardState | undefined): Promise<void> {
    if (this.#snapshot === undefined || this.#snapshot.index < metadata.index)
      throw new RaftError('refused', `the log cannot begin after ${metadata.index}: no such state is on disk`);
    if (hardState !== undefined) this.#hardState = hardState;
    await this.#reset(metadata, hardState);
  }

  /** Gives up only what the snapshot on disk covers. */
  compact(index: number): void {
    const last = Math.min(index, this.#snapshot?.index ?? 0, this.lastIndex());
    if (last < this.firstIndex()) return;
    this.#places.compact(last);
    this.#cache.compact(last);
    this.#segments.removeUpTo(last);
  }

  writeSnapshot(metadata: SnapshotMetadata): Promise<SnapshotFile> {
    const temporary = `snapshot-${++this.#temporaryCount}.tmp`;
    return createSnapshotFile(this.#fileSystem, this.#directory, temporary, metadata, (path) =>
      this.#adoptSnapshot(path, metadata),
    );
  }

  async openSnapshot(): Promise<StoredSnapshot | undefined> {
    if (this.#snapshot === undefined) return undefined;
    return openSnapshotFile(this.#fileSystem, this.#pathOf(this.#snapshot));
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#segments.close();
    await this.#unlock();
  }

  // -------------------------------------------------------------------------------------------------------- reading

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
  #evict(): void {
    if (this.#cache.sizeBytes <= this.#cacheBytes) return;
    const last = Math.min(this.#cache.firstIndexWithin(this.#cacheBytes), this.#writer.firstWaiting) - 1;
    this.#cache.compact(last);
  }

  // ------------------------------------------------------------------------------------------------------ snapshots

  #pathOf(metadata: SnapshotMetadata): string {
    return `${this.#directory}/${snapshotName(metadata)}`;
  }

  /** The file at `temporary` is whole and synced: it becomes the snapshot, unless a newer one came meanwhile. */
  async #adoptSnapshot(temporary: string, metadata: SnapshotMetadata): Promise<void> {
    const old = this.#snapshot;
    if (old !== undefined && old.index >= metadata.index) return this.#fileSystem.remove(temporary);
    await this.#fileSystem.rename(temporary, this.#pathOf(metadata));
    await this.#fileSystem.syncDirectory(this.#directory);
    this.#snapshot = metadata;
    if (old !== undefined) await this.#fileSystem.remove(this.#pathOf(old));
  }

  #reset(metadata: SnapshotMetadata, hardState: HardState | undefined): Promise<void> {
    this.#places.reset(metadata.index, metadata.term);
    this.#cache.reset(metadata.index, metadata.term);
    this.#confState = metadata.confState;
    const { index, term } = metadata;
    return this.#writer.write({ reset: { index, term }, entries: [], hardState });
  }

  // ------------------------------------------------------------------------------------------------------- recovery

  async #recover(): Promise<void> {
    await this.#segments.recover((segment, payload, position) => {
      readRecords(payload, `${segment.path} at offset ${position}`, (record) => {
        this.#replay(record, segment, position);
      });
      this.#cache.compact(this.#cache.firstIndexWithin(this.#cacheBytes) - 1);
    });
    const last = this.lastIndex();
    this.#writer.recovered({ index: last, term: this.term(last)! }, this.#hardState);
    await this.#recoverSnapshot();
    if (this.#hardState.commit > this.lastIndex()) {
      const { commit } = this.#hardState;
      throw new RaftError(
        'corrupt',
        `${this.#directory}: committed to ${commit}, but the log ends at ${this.lastIndex()}`,
      );
    }
  }

  #replay(record: LogRecord, segment: Segment, position: number): void {
    const where = `${segment.path} at offset ${position}`;
    switch (record.type) {
      case 'hardState':
        this.#hardState = record.hardState;
        return;
      case 'reset':
        this.#places.reset(record.index, record.term);
        this.#cache.reset(record.index, record.term);
        return;
      case 'base':
        if (this.#segments.isOldest(segment)) {
          this.#places.reset(record.index, record.term);
          this.#cache.reset(record.index, record.term);
        } else if (record.index !== this.lastIndex() || record.term !== this.term(record.index)) {
          throw new RaftError(
            'corrupt',
            `${where}: follows entry ${record.index}, but the log ends at ${this.lastIndex()}`,
          );
        }
        return;
      case 'entry':
        segment.maxIndex = Math.max(segment.maxIndex, record.entry.index);
        this.#replayEntry(record.entry, where);
        if (record.entry.index >= this.firstIndex())
          this.#places.place(record.entry.index, segment.sequence, position + record.offset, record.length);
        return;
    }
  }

  #replayEntry(entry: Entry, where: string): void {
    const { index, term } = entry;
    if (index > this.lastIndex() + 1)
      throw new RaftError('corrupt', `${where}: entry ${index} after ${this.lastIndex()}`);
    if (index < this.firstIndex()) {
      // It replaced entries of segments that are gone; of what precedes it nothing is known but that it is not needed.
      this.#places.reset(index, term);
      this.#cache.reset(index, term);
      return;
    }
    this.#places.append(index, term, entryWeight(entry));
    // A view would keep the whole segment in memory.
    this.#keep([{ ...entry, data: new Uint8Array(entry.data) }]);
  }

  /** Finds the newest snapshot, removes what was left behind, and makes the log follow it. */
  async #recoverSnapshot(): Promise<void> {
    const names = await this.#fileSystem.list(this.#directory);
    const snapshots = names.filter((name) => parseSnapshotName(name) !== undefined).sort();
    const newest = snapshots.at(-1);
    for (const name of names)
      if (/^snapshot-\d+\.tmp$/.test(name) || (snapshots.includes(name) && name !== newest))
        await this.#fileSystem.remove(`${this.#directory}/${name}`);
    if (newest === undefined) {
      if (this.firstIndex() === 1) return;
      throw new RaftError(
        'corrupt',
        `${this.#directory}: the log begins at ${this.firstIndex()}, and there is no snapshot`,
      );
    }
    const { metadata } = await openSnapshotFile(this.#fileSystem, `${this.#directory}/${newest}`);
    if (metadata.index < this.firstIndex() - 1) {
      const why = `the log begins at ${this.firstIndex()}, after the snapshot of ${metadata.index}`;
      throw new RaftError('corrupt', `${this.#directory}: ${why}`);
    }
    this.#snapshot = metadata;
    this.#confState = metadata.confState;
    const { term, vote, commit } = this.#hardState;
    // The snapshot proves a commit, and a term in which this node has not voted if it did not know of it.
    this.#hardState = {
      term: Math.max(term, metadata.term),
      vote: term >= metadata.term ? vote : 0,
      commit: Math.max(commit, metadata.index),
    };
    // A leader's snapshot became durable, and the log did not yet say so: what it has from before is another's, or less.
    if (this.term(metadata.index) !== metadata.term) await this.#reset(metadata, this.#hardState);
  }
}
