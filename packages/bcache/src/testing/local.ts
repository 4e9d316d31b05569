import { HandClock } from '@dcache/testing';
import { type Cache, createCache } from '../cache.js';
import type { CacheOptions } from '../options.js';

/** A cache of this process alone, and its time. */
export async function local<V>(options: CacheOptions = {}): Promise<{ cache: Cache<V>; clock: HandClock }> {
  const clock = new HandClock();
  return { cache: await createCache<V>({ ...options, clock }), clock };
}
