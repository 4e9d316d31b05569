import { EventEmitter } from 'node:events';
import type { Namespace } from '../cache.js';

/** What Keyv 5 hands back from a store. */
type Stored<T> = T | undefined;

/**
 * A store for Keyv, and so for cache-manager, NestJS and cacheable. Keyv's namespace is a prefix of the keys; `clear` of
 * a Keyv with a namespace deletes the keys with that prefix, as Keyv's own stores do.
 *
 * ```ts
 * const keyv = new Keyv({ store: new KeyvBcache(cache), namespace: 'users' });
 * ```
 */
export class KeyvBcache extends EventEmitter {
  /** Keyv looks here for the kind of store; it iterates over a few it knows by name, of which this is none. */
  readonly opts: { readonly dialect: string; readonly url: string } = { dialect: 'bcache', url: 'bcache:' };
  /** Set by Keyv. */
  namespace: string | undefined;
  readonly #cache: Namespace<unknown>;

  constructor(cache: Namespace<unknown>) {
    super();
    this.#cache = cache;
  }

  async get<T>(key: string): Promise<Stored<T>> {
    return this.#cache.get(key) as Stored<T>;
  }

  async getMany<T>(keys: readonly string[]): Promise<Stored<T>[]> {
    return keys.map((key) => this.#cache.get(key) as Stored<T>);
  }

  /** `ttl` in milliseconds; none is for ever. */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    this.#cache.set(key, value, ttl === undefined ? {} : { ttl });
    return true;
  }

  async setMany(entries: readonly { key: string; value: unknown; ttl?: number }[]): Promise<void> {
    for (const { key, value, ttl } of entries) await this.set(key, value, ttl);
  }

  async has(key: string): Promise<boolean> {
    return this.#cache.has(key);
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    return keys.map((key) => this.#cache.has(key));
  }

  async delete(key: string): Promise<boolean> {
    return this.#cache.delete(key);
  }

  async deleteMany(keys: readonly string[]): Promise<boolean> {
    return this.#cache.deleteMany(keys) > 0;
  }

  async clear(): Promise<void> {
    if (this.namespace === undefined) this.#cache.clear();
    else this.#cache.deleteMany([...this.#cache.keys()].filter((key) => key.startsWith(`${this.namespace}:`)));
  }

  /** The cache is its owner's to close. */
  async disconnect(): Promise<void> {}
}
