/**
 * A distributed cache inside the application: every node holds all data, reads never leave the process, writes reach
 * every node, and one filler runs however many ask.
 *
 * ```ts
 * import { createCache } from 'bcache';
 *
 * const cache = await createCache<string>({ listen: '127.0.0.1:0', maxKeys: 1000 });
 * cache.set('greeting', 'hello', { ttl: '1d' });
 * cache.get('greeting'); // 'hello'
 * await cache.getOrSet('answer', async (key) => `the ${key} is 42`, { ttl: '1h' });
 * await cache.close();
 * ```
 *
 * Read next: `cache.ts` (the surface), `driver.ts` (what turns the parts), `replica.ts` and `core/replicator.ts` (how
 * writes spread and are repaired), `local/store.ts` (where values are merged and evicted), `fill/loader.ts`.
 */
export { ArgumentError } from '@dcache/base';
export type { Bus, BusHandlers, BusMember, BusStats } from './bus.js';
export { Cache, type CacheStats, createCache, Namespace, type NamespaceOptions } from './cache.js';
export type { Duration } from './duration.js';
export { CacheError, type CacheErrorCode } from './errors.js';
export type { CacheEvents, KeyEvent } from './events.js';
export type { FillContext, Filler, FillOptions, SetOptions } from './fill/options.js';
export type { EvictionName } from './local/eviction/policies.js';
export type { SpaceMode } from './local/space.js';
export { MemoryHub } from './memory-bus.js';
export type { TlsMaterial } from './net/listener.js';
export type { CacheOptions } from './options.js';
export { Replica, type ReplicaOptions } from './replica.js';
export type { CopyMode } from './value/copy.js';
