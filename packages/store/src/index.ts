/**
 * The cache's memory: entries of bytes with a revision, an expiry and flags, bounded in size, equal on every replica
 * that applies the same operations. It has no clock: time is what `advance` was told last.
 *
 * ```ts
 * import { Store } from '@dcache/store';
 *
 * const store = new Store({ maxBytes: 64 * 2 ** 20 });
 * const key = new TextEncoder().encode('greeting');
 * store.set(key, new TextEncoder().encode('hello'), { revision: 1, expiresAtMs: 5_000 });
 * store.get(key)?.revision; // 1
 * store.advance(5_000); // 1: the greeting is gone
 * ```
 *
 * Read next: `types.ts`, `options.ts`, `engine.ts` (how the parts make a store), then each part:
 * `arena.ts`, `table.ts`, `entries.ts`, `eviction.ts`, `expiry-tree.ts`, `compactor.ts`, `snapshot-format.ts`.
 */
export { StoreError, type StoreErrorCode } from './errors.js';
export type { KeyHash } from './hash.js';
export { ENTRY_OVERHEAD_BYTES, type EvictionPolicy, type StoreOptions } from './options.js';
export { Store } from './store.js';
export type {
  Entry,
  EntryMeta,
  ScanEntry,
  ScanOptions,
  ScanPage,
  SetMeta,
  SetResult,
  StoreRestorer,
  StoreSnapshot,
  StoreStats,
} from './types.js';
