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

/** What became of a tag; times in milliseconds since 1970. */
interface TagState {
  /** Entries from before are served once more, and rendered anew meanwhile. */
  readonly staleMs: number;
  /** Entries from before are not served from then on; 0 for never. */
  readonly expiredMs: number;
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
  // Each read of an entry is followed by one of its tags: with `lru` a tag does not leave before its entries.
  const tagStates = cache.namespace<TagState>('tags');
  const pending = new Map<string, Promise<void>>();
  const statesOf = (tags: readonly string[]): TagState[] => [...tagStates.getMany(tags).values()];

  return {
    async get(cacheKey, softTags) {
      await pending.get(cacheKey);
      const kept = entries.get(cacheKey);
      if (kept === undefined) return undefined;
      const now = Date.now();
      if (now > kept.timestamp + kept.revalidate * 1000) return undefined;
      const states = statesOf([...kept.tags, ...softTags]);
      // At the very millisecond it may have been before or after: rendered once too often is right.
      if (states.some(({ expiredMs }) => expiredMs <= now && expiredMs >= kept.timestamp)) return undefined;
      const isStale = states.some(({ staleMs }) => staleMs >= kept.timestamp);
      const { bytes, ...rest } = kept;
      const revalidate = isStale ? -1 : kept.revalidate;
      return { ...rest, revalidate, tags: [...kept.tags], value: streamOf(bytes) };
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
      return statesOf(tags).reduce((last, { expiredMs }) => Math.max(last, expiredMs), 0);
    },

    async updateTags(tags, durations) {
      const now = Date.now();
      for (const tag of tags) {
        const { staleMs, expiredMs } = tagStates.get(tag) ?? { staleMs: 0, expiredMs: 0 };
        if (durations === undefined) tagStates.set(tag, { staleMs, expiredMs: now });
        else {
          const { expire } = durations;
          tagStates.set(tag, { staleMs: now, expiredMs: expire === undefined ? expiredMs : now + expire * 1000 });
        }
      }
    },
  };
}

/** Reads a stream to its end; where it fails, what was kept before stays. */
async function keep(entries: Namespace<Kept>, cacheKey: string, pendingEntry: Promise<NextCacheEntry>): Promise<void> {
  try {
    const { value, ...rest } = await pendingEntry;
    const bytes = new Uint8Array(await new Response(value).arrayBuffer());
    const ttl = Math.min(rest.expire, longestSeconds) * 1000;
    entries.set(cacheKey, { ...rest, tags: [...rest.tags], bytes }, { ttl });
  } catch {
    // Next.js renders it again when it is wanted.
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
