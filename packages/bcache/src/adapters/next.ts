import type { Namespace } from '../cache.js';

/** An entry as Next.js hands it over (`next/dist/server/lib/cache-handlers/types`); times in seconds but `timestamp`. */
export interface NextCacheEntry {
  value: ReadableStream<Uint8Array>;
  tags: string[];
  stale: number;
  /** Milliseconds since 1970. */
  timestamp: number;
  expire: number;
  revalidate: number;
}

/** The methods that Next.js 16 calls of a `cacheHandlers` entry. */
export interface NextCacheHandler {
  get(cacheKey: string, softTags: string[]): Promise<NextCacheEntry | undefined>;
  set(cacheKey: string, pendingEntry: Promise<NextCacheEntry>): Promise<void>;
  refreshTags(): Promise<void>;
  getExpiration(tags: string[]): Promise<number>;
  updateTags(tags: string[], durations?: { expire?: number }): Promise<void>;
}

interface Kept extends Omit<NextCacheEntry, 'value'> {
  readonly bytes: Uint8Array;
}

/** Longer than any timer takes. */
const longestSeconds = 10 * 365 * 86_400;

/**
 * A handler for `cacheHandlers` in next.config.js: what one server rendered, all have; a tag revalidated on one is
 * revalidated on all.
 *
 * ```ts
 * // cache-handler.mjs
 * const cache = await createCache({ listen: '0.0.0.0:12345', peers: ['10.0.0.2:12345'], maxBytes: '256mb' });
 * export default nextCacheHandler(cache.namespace('next'));
 * ```
 */
export function nextCacheHandler(cache: Namespace<unknown>): NextCacheHandler {
  const entries = cache.namespace<Kept>('entries');
  /** When a tag was last revalidated, in milliseconds since 1970. */
  const revalidated = cache.namespace<number>('tags');
  const pending = new Map<string, Promise<void>>();
  const lastOf = (tags: readonly string[]): number =>
    tags.reduce((last, tag) => Math.max(last, revalidated.get(tag) ?? 0), 0);

  return {
    async get(cacheKey, softTags) {
      await pending.get(cacheKey);
      const kept = entries.get(cacheKey);
      if (kept === undefined) return undefined;
      // Rendered before one of its tags was revalidated, or due to be rendered again.
      if (lastOf([...kept.tags, ...softTags]) >= kept.timestamp) return undefined;
      if (Date.now() > kept.timestamp + kept.revalidate * 1000) return undefined;
      const { bytes, ...rest } = kept;
      return { ...rest, tags: [...kept.tags], value: streamOf(bytes) };
    },

    async set(cacheKey, pendingEntry) {
      const write = keep(entries, cacheKey, pendingEntry);
      pending.set(cacheKey, write);
      try {
        await write;
      } finally {
        if (pending.get(cacheKey) === write) pending.delete(cacheKey);
      }
    },

    /** Nothing to ask for: what others revalidated has come by itself. */
    async refreshTags() {},

    async getExpiration(tags) {
      return lastOf(tags);
    },

    async updateTags(tags) {
      const now = Date.now();
      for (const tag of tags) revalidated.set(tag, now);
    },
  };
}

/** Reads a stream to its end; one that fails is not kept. */
async function keep(entries: Namespace<Kept>, cacheKey: string, pendingEntry: Promise<NextCacheEntry>): Promise<void> {
  try {
    const { value, ...rest } = await pendingEntry;
    const bytes = new Uint8Array(await new Response(value).arrayBuffer());
    const ttl = Math.min(rest.expire, longestSeconds) * 1000;
    entries.set(cacheKey, { ...rest, tags: [...rest.tags], bytes }, { ttl });
  } catch {
    entries.delete(cacheKey);
  }
}

function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}
