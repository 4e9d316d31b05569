import type { Slots } from '../slots.js';
import { LruPolicy } from './lru.js';
import type { Policy } from './policy.js';
import { S3FifoPolicy } from './s3fifo.js';
import { SievePolicy } from './sieve.js';
import { TinyLfuPolicy } from './tinylfu.js';

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
