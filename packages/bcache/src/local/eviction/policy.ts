import type { Slots } from '../slots.js';
import { LruPolicy } from './lru.js';
import { S3FifoPolicy } from './s3fifo.js';
import { SievePolicy } from './sieve.js';
import { TinyLfuPolicy } from './tinylfu.js';

/** Decides who leaves when the cache is full. It sees slots, never values. */
export interface Policy {
  /** A new key came into `slot`. */
  inserted(slot: number): void;
  /** The entry was read, or written again. */
  touched(slot: number): void;
  /** The entry leaves, for whatever reason. */
  removed(slot: number): void;
  /** Who leaves next; it stays until `removed` is called. There is at least one entry. */
  victim(): number;
}

/** Names as they stand in the options. */
export type EvictionName = 'lru' | 'sieve' | 's3fifo' | 'w-tinylfu';
export const evictionNames: readonly EvictionName[] = ['lru', 'sieve', 's3fifo', 'w-tinylfu'];

/** `capacity` is the greatest number of entries, or a guess of it where bytes are the limit. */
export function createPolicy(name: EvictionName, slots: Slots, capacity: number): Policy {
  switch (name) {
    case 'lru':
      return new LruPolicy(slots);
    case 'sieve':
      return new SievePolicy(slots);
    case 's3fifo':
      return new S3FifoPolicy(slots, capacity);
    case 'w-tinylfu':
      return new TinyLfuPolicy(slots, capacity);
  }
}
