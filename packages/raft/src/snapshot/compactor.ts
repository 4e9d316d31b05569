import type { Clock, Logger } from '@dcache/base';
import { Role, type SnapshotMetadata } from '../core/message.js';
import type { Status } from '../core/ready.js';
import type { StateMachine } from '../state-machine.js';
import type { LogStorage } from '../storage.js';

export interface CompactorOptions {
  readonly storage: LogStorage;
  readonly stateMachine: StateMachine<unknown>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly trailingEntries: number;
  readonly trailingBytes: number;
  readonly snapshotLogBytes: number;
  readonly snapshotEntries: number;
  readonly maxChunkBytes: number;
  /** What the state machine stands for now. */
  readonly state: () => SnapshotMetadata;
  /** Whether the state machine's one snapshot is free. */
  readonly canSnapshot: () => boolean;
  /** The index that a follower who is being healed stands at: what follows it is kept while the bytes allow. */
  readonly floor: () => number | undefined;
}

/** A snapshot that could not be written, as on a full disk, is tried again after this time, in milliseconds. */
const retryMs = 5000;

/**
 * Keeps the log short. What is given up must be in a snapshot: in memory the state machine itself is that snapshot, on
 * disk a file is written first.
 *
 * `trailingEntries` stay behind for followers that lag, and whatever a follower under repair will need next; but never
 * more than `trailingBytes`, so that a follower that does not get well cannot fill the memory. (Thesis §5.1.3)
 */
export class Compactor {
  readonly #options: CompactorOptions;
  #appliedBytes = 0;
  #snapshotIndex = 0;
  #running: Promise<void> | undefined;
  #retryAtMs = Number.NEGATIVE_INFINITY;
  #isCancelled = false;
  #snapshots = 0;

  constructor(options: CompactorOptions) {
    this.#options = options;
  }

  /** Whether a snapshot is being written to the disk. */
  get isWriting(): boolean {
    return this.#running !== undefined;
  }

  /** Snapshots written to the disk so far. */
  get snapshots(): number {
    return this.#snapshots;
  }

  /** The disk has a snapshot of `index` from elsewhere: from the start, or from a leader. */
  onSnapshot(index: number): void {
    this.#snapshotIndex = Math.max(this.#snapshotIndex, index);
    this.#appliedBytes = 0;
  }

  /** Entries of `bytes` were applied since the last call. */
  afterApply(bytes: number): void {
    const { storage, snapshotLogBytes, snapshotEntries, state } = this.#options;
    if (!storage.isDurable) {
      this.#compact(state().index);
      return;
    }
    this.#appliedBytes += bytes;
    const isDue = this.#appliedBytes >= snapshotLogBytes || state().index - this.#snapshotIndex >= snapshotEntries;
    if (isDue) this.#startSnapshot();
    this.#compact(this.#snapshotIndex);
  }

  /** Gives up a snapshot that is being written, and resolves when the state machine's view is closed. */
  async cancel(): Promise<void> {
    this.#isCancelled = true;
    await this.#running;
    this.#isCancelled = false;
  }

  #startSnapshot(): void {
    if (this.#running !== undefined || this.#isCancelled || !this.#options.canSnapshot()) return;
    if (this.#options.clock.monotonicMs() < this.#retryAtMs) return;
    this.#running = this.#writeSnapshot()
      .catch((error: unknown) => {
        this.#retryAtMs = this.#options.clock.monotonicMs() + retryMs;
        this.#options.logger.warn({ err: error }, 'a snapshot could not be written; the log grows until one can');
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #writeSnapshot(): Promise<void> {
    const { storage, stateMachine, state, maxChunkBytes } = this.#options;
    const metadata = state();
    const bytesBefore = this.#appliedBytes;
    const snapshot = stateMachine.snapshot();
    try {
      const file = await storage.writeSnapshot(metadata);
      if (file === undefined) return;
      try {
        for (const chunk of snapshot.chunks())
          for (let at = 0; at < chunk.length; at += maxChunkBytes) {
            if (this.#isCancelled) {
              await file.abort();
              return;
            }
            await file.write(chunk.subarray(at, at + maxChunkBytes));
          }
        await file.finish();
      } catch (error) {
        await file.abort();
        throw error;
      }
    } finally {
      snapshot.close();
    }
    this.#snapshots++;
    this.#snapshotIndex = Math.max(this.#snapshotIndex, metadata.index);
    this.#appliedBytes = Math.max(0, this.#appliedBytes - bytesBefore);
  }

  /** Gives up what may go, once it is a quarter more than what should stay. */
  #compact(upTo: number): void {
    const { storage, trailingEntries, trailingBytes, floor } = this.#options;
    const kept = upTo - storage.firstIndex() + 1;
    if (kept <= trailingEntries * 1.25 && storage.sizeBytes <= trailingBytes * 1.25) return;
    const byCount = Math.min(upTo - trailingEntries, floor() ?? upTo);
    const byBytes = storage.sizeBytes <= trailingBytes ? 0 : storage.firstIndexWithin(trailingBytes) - 1;
    const index = Math.min(upTo, Math.max(byCount, byBytes));
    if (index >= storage.firstIndex()) storage.compact(index);
  }
}

/**
 * The lowest index that a member that answers stands at, or will when its snapshot has arrived; undefined where this
 * node does not lead, or nobody holds it back.
 */
export function compactionFloor({ id, role, peers }: Status, lowestSending: number | undefined): number | undefined {
  if (role !== Role.leader) return undefined;
  let floor = lowestSending;
  for (const peer of peers) {
    if (peer.id === id || !peer.recentActive) continue;
    const index = peer.state === 'snapshot' ? peer.pendingSnapshot : peer.matchIndex;
    if (floor === undefined || index < floor) floor = index;
  }
  return floor;
}
