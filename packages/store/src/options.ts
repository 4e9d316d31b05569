import { randomInt } from 'node:crypto';
import { type KeyHash, seededHash } from './hash.js';

/**
 * Who goes when the store is full.
 * - `sieve`: one queue, one bit an entry, a hand that spares what was touched (Zhang et al., NSDI 2024).
 * - `s3fifo`: a small queue in front of the main one, and a memory of keys that left (Yang et al., SOSP 2023).
 * - `fifo`: the oldest.
 * - `none`: nobody; a write that does not fit is refused with `'full'`.
 */
export type EvictionPolicy = 'sieve' | 's3fifo' | 'fifo' | 'none';

export interface StoreOptions {
  /**
   * Logical bytes the entries may take together: key + value + `ENTRY_OVERHEAD_BYTES` each. Replicated state: replicas
   * start with the same value and change it by `setMaxBytes` at the same position. Default 1 GiB.
   */
  readonly maxBytes?: number;
  /** Replicated state, like `maxBytes`. Default `'sieve'`. */
  readonly eviction?: EvictionPolicy;
  /** Longest key, 0 to 65,536 bytes. Must be equal on all replicas. Default 65,536. */
  readonly maxKeyBytes?: number;
  /** Longest value, 0 to 2^31-1 bytes. Must be equal on all replicas. Default 512 MiB. */
  readonly maxValueBytes?: number;
  /** Seed of this node's key hash, against chosen collisions; never leaves the node. Default random. */
  readonly seed?: number;
  /** Replaces the seeded hash of keys, for tests of collisions. Must give an integer from 0 to 2^32-1. */
  readonly hash?: KeyHash;
  /** Size of a memory segment, 4 KiB to 64 MiB; a record above a quarter of it has its own. Local. Default 1 MiB. */
  readonly segmentBytes?: number;
}

export interface ResolvedOptions {
  readonly maxBytes: number;
  readonly eviction: EvictionPolicy;
  readonly maxKeyBytes: number;
  readonly maxValueBytes: number;
  readonly seed: number;
  readonly hash: KeyHash;
  readonly segmentBytes: number;
}

/**
 * Logical bytes of an entry beyond its key and its value: about what the table, the queue and the record's head take,
 * so that `maxBytes` stays near the truth for small values too.
 */
export const ENTRY_OVERHEAD_BYTES = 40;

export const MOST_KEY_BYTES = 65_536;
export const MOST_VALUE_BYTES: number = 2 ** 31 - 1;

const policies: readonly EvictionPolicy[] = ['sieve', 's3fifo', 'fifo', 'none'];

/** A full copy of the options. Throws a `TypeError` that names the option, what it got and what it takes. */
export function resolveOptions(options: StoreOptions): ResolvedOptions {
  const eviction = options.eviction ?? 'sieve';
  if (!policies.includes(eviction))
    throw new TypeError(`eviction is one of ${policies.join(', ')}, got ${String(eviction)}`);
  const seed = integer(
    'seed',
    options.seed ?? randomInt(2 ** 48 - 1),
    Number.MIN_SAFE_INTEGER,
    Number.MAX_SAFE_INTEGER,
  );
  return {
    maxBytes: integer('maxBytes', options.maxBytes ?? 2 ** 30, 0, Number.MAX_SAFE_INTEGER),
    eviction,
    maxKeyBytes: integer('maxKeyBytes', options.maxKeyBytes ?? MOST_KEY_BYTES, 0, MOST_KEY_BYTES),
    maxValueBytes: integer('maxValueBytes', options.maxValueBytes ?? 512 * 2 ** 20, 0, MOST_VALUE_BYTES),
    seed,
    hash: options.hash ?? seededHash(seed),
    segmentBytes: integer('segmentBytes', options.segmentBytes ?? 2 ** 20, 4096, 64 * 2 ** 20),
  };
}

/** `value` if it is an integer of the range; otherwise a `TypeError` that says so. */
export function integer(name: string, value: number, least: number, most: number): number {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new TypeError(`${name} is an integer from ${least} to ${most}, got ${String(value)}`);
  return value;
}
