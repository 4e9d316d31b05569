import type { Random } from '@dcache/base';
import { type Change, ChangeKind, noBytes, noTags } from './core/change.js';
import { Replicator } from './core/replicator.js';
import { CacheError } from './errors.js';
import type { RemoveReason } from './local/entry.js';
import type { EvictionName } from './local/eviction/policies.js';
import type { Space } from './local/space.js';
import { LocalStore } from './local/store.js';
import { type Copier, type CopyMode, createCopier } from './value/copy.js';

export interface ReplicaOptions {
  readonly node: string;
  /** Tells this start from all others of this node: 1 to 2^52. */
  readonly incarnation: number;
  readonly random: Random;
  readonly maxKeys: number;
  readonly maxBytes: number;
  readonly eviction: EvictionName;
  readonly copy: CopyMode;
  readonly deletionDelayMs: number;
  readonly maxClockSkewMs?: number;
  readonly exchangeMs?: number;
  readonly logBytes?: number;
  /** False: nobody will ever be told; nothing is kept for peers. */
  readonly isShared: boolean;
  /** Monotonic milliseconds for reads between two calls of `advance`. Default: the time of the last `advance`. */
  readonly now?: () => number;
  readonly onSet?: (space: string, key: string, change: Change | undefined) => void;
  readonly onRemove?: (space: string, key: string, reason: RemoveReason) => void;
}

/** How a value is written. */
export interface WriteOptions {
  /** Infinity for never. */
  readonly ttlMs: number;
  readonly graceMs?: number;
  readonly tags?: readonly string[];
}

/** Largest encoded value that travels. */
const maxValueBytes = 32 * 1024 * 1024;

/**
 * One node's whole state without clock, sockets or timers: the values, and what spreads them. The driver (`cache.ts`,
 * or a simulation) tells the time and carries what `replicator.take()` gives.
 */
export class Replica {
  readonly store: LocalStore;
  readonly replicator: Replicator;
  readonly copier: Copier;
  readonly #isShared: boolean;
  readonly #maxBytes: number;
  #monotonicMs = 0;

  constructor(options: ReplicaOptions) {
    this.copier = createCopier(options.copy);
    this.#isShared = options.isShared;
    this.#maxBytes = Math.min(options.maxBytes, maxValueBytes);
    this.store = new LocalStore({
      maxKeys: options.maxKeys,
      maxBytes: options.maxBytes,
      eviction: options.eviction,
      deletionDelayMs: options.deletionDelayMs,
      hashSeed: options.random.below(2 ** 32),
      codec: this.copier,
      now: options.now ?? (() => this.#monotonicMs),
      clusterOffset: () => this.replicator.nowMs - this.#monotonicMs,
      onSet: options.onSet,
      onRemove: options.onRemove,
    });
    this.replicator = new Replicator({ ...options, holdings: this.store });
  }

  /** Tells the time; call it before anything else that happens at that time. */
  advance(wallMs: number, monotonicMs: number): void {
    this.#monotonicMs = monotonicMs;
    this.replicator.advance(wallMs, monotonicMs);
  }

  tick(): void {
    this.store.tick();
    this.replicator.tick();
  }

  /** Throws a `CacheError` for a value that cannot be encoded or is too large; then nothing has changed. */
  set(space: Space, key: string, value: unknown, options: WriteOptions): void {
    const bytes = this.copier.encode(value);
    this.#checkSize(key, bytes);
    const stamp = this.replicator.stamp();
    this.#put(space, key, value, bytes, options, stamp, stamp, 0);
  }

  /**
   * Stores what a filler returned that started at the stamp `startedAt`. False where the key was written, deleted or
   * invalidated since: then that stands, here and on every node.
   */
  fill(space: Space, key: string, value: unknown, options: WriteOptions, startedAt: number, fillMs: number): boolean {
    const bytes = this.copier.encode(value);
    this.#checkSize(key, bytes);
    const version = { stamp: startedAt, origin: this.replicator.origin };
    if (!this.store.wins(space, key, version, options.tags ?? noTags)) return false;
    this.#put(space, key, value, bytes, options, startedAt, this.replicator.stamp(), fillMs);
    return true;
  }

  /** Deletes a key everywhere, held here or not. True where a fresh value was held here. */
  delete(space: Space, key: string): boolean {
    const wasHeld = this.store.entries.findFresh(space, key) >= 0;
    this.#kill(ChangeKind.delete, space, key);
    return wasHeld;
  }

  clear(space: Space): void {
    this.#kill(ChangeKind.clear, space, '');
  }

  invalidate(space: Space, tag: string): void {
    this.#kill(ChangeKind.invalidate, space, tag);
  }

  #put(
    space: Space,
    key: string,
    value: unknown,
    bytes: Uint8Array,
    options: WriteOptions,
    stamp: number,
    dot: number,
    fillMs: number,
  ): void {
    const { ttlMs, graceMs = 0, tags = noTags } = options;
    const origin = this.replicator.origin;
    const { value: held, cloneOnGet } = this.copier.store(value, bytes);
    const deadlineMs = this.#monotonicMs + ttlMs;
    const size = bytes.length + key.length;
    const entry = { stamp, dot, origin, deadlineMs, graceMs, tags, fillMs, bytes: size, value: held, cloneOnGet };
    this.store.put(space, key, entry);
    if (!this.#isShared) return;
    // Where values stay, a write tells the others to drop theirs; a fill loads what is already true.
    const isTravelling = space.mode === 'replicate';
    if (!isTravelling && dot !== stamp) return;
    const expiresAtMs = ttlMs === Infinity ? 0 : Math.max(1, this.replicator.nowMs + ttlMs);
    this.replicator.publish({
      kind: isTravelling ? ChangeKind.set : ChangeKind.delete,
      space: space.name,
      key,
      stamp,
      dot,
      origin,
      expiresAtMs: isTravelling ? expiresAtMs : 0,
      graceMs: isTravelling ? graceMs : 0,
      tags: isTravelling ? tags : noTags,
      value: isTravelling ? bytes : noBytes,
    });
  }

  #kill(kind: ChangeKind, space: Space, key: string): void {
    const stamp = this.replicator.stamp();
    const origin = this.replicator.origin;
    const rest = { expiresAtMs: 0, graceMs: 0, tags: noTags, value: noBytes };
    const change: Change = { kind, space: space.name, key, stamp, dot: stamp, origin, ...rest };
    this.store.apply(change);
    if (this.#isShared) this.replicator.publish(change);
  }

  #checkSize(key: string, bytes: Uint8Array): void {
    if (bytes.length + key.length > this.#maxBytes)
      throw new CacheError(
        'too-large',
        `the value of '${key.slice(0, 100)}' has ${bytes.length} bytes; at most ${this.#maxBytes} are allowed`,
      );
  }
}
