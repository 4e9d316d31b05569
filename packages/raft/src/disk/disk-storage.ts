import { type Clock, type Logger, type Random, silentLogger, systemClock, systemRandom } from '@dcache/base';
import type { InitialState } from '../core/log-reader.js';
import type { ConfState, Entry, HardState, NodeId, Snapshot, SnapshotMetadata } from '../core/message.js';
import { noBytes } from '../core/message.js';
import { RaftError } from '../errors.js';
import { emptyConfState, emptyHardState, type LogStorage, type SnapshotFile, type StoredSnapshot } from '../storage.js';
import { type FileSystem, nodeFileSystem } from './file-system.js';
import { claimDirectory, foreignCluster, type Identity, writeIdentity } from './identity.js';
import { readRecords } from './log-record.js';
import { LogWriter } from './log-writer.js';
import { SegmentStore } from './segment-store.js';
import { createSnapshotFile, openSnapshotFile, parseSnapshotName, snapshotName } from './snapshot-file.js';
import { StoredEntries } from './stored-entries.js';

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
  readonly #segments: SegmentStore;
  readonly #writer: LogWriter;
  readonly #unlock: () => Promise<void>;
  readonly #entries: StoredEntries;
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
    this.#identity = identity;
    this.#segments = segments;
    this.#unlock = unlock;
    this.#entries = new StoredEntries(segments, options.cacheBytes ?? 32 * 1024 * 1024);
    this.#writer = new LogWriter(segments, (written, segment, position) =>
      this.#entries.written(written, segment, position, this.#writer.firstWaiting),
    );
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
    return this.#entries.sizeBytes;
  }

  initialState(): InitialState {
    return { hardState: this.#hardState, confState: this.#confState };
  }

  firstIndex(): number {
    return this.#entries.firstIndex;
  }

  lastIndex(): number {
    return this.#entries.lastIndex;
  }

  term(index: number): number | undefined {
    return this.#entries.term(index);
  }

  /** Reads what is not among the newest entries from the disk, which blocks. */
  entries(lo: number, hi: number, maxBytes: number): readonly Entry[] | undefined {
    return this.#entries.read(lo, hi, maxBytes);
  }

  /** What the log begins with; its state comes from `openSnapshot`. */
  snapshot(): Snapshot | undefined {
    return this.#snapshot === undefined ? undefined : { metadata: this.#snapshot, data: noBytes };
  }

  firstIndexWithin(maxBytes: number): number {
    return this.#entries.firstIndexWithin(maxBytes);
  }

  append(entries: readonly Entry[], hardState: HardState | undefined): Promise<void> {
    const { term, vote } = this.#hardState;
    if (hardState !== undefined) this.#hardState = hardState;
    if (entries.length === 0 && hardState?.term === term && hardState.vote === vote)
      return this.#writer.writeLazily(hardState);
    this.#entries.append(entries);
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
    this.#entries.compact(last);
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
    this.#entries.reset(metadata.index, metadata.term);
    this.#confState = metadata.confState;
    const { index, term } = metadata;
    return this.#writer.write({ reset: { index, term }, entries: [], hardState });
  }

  // ------------------------------------------------------------------------------------------------------- recovery

  async #recover(): Promise<void> {
    await this.#segments.recover((segment, payload, position) => {
      readRecords(payload, `${segment.path} at offset ${position}`, (record) => {
        if (record.type === 'hardState') this.#hardState = record.hardState;
        else this.#entries.replay(record, segment, position);
      });
      this.#entries.shrink();
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
