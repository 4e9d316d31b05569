import { ArgumentError } from '@dcache/base';
import { type Cache, createCache } from '../cache.js';
import type { CacheOptions } from '../options.js';

/** The part of a Fastify instance that the plugin uses. */
interface Instance {
  decorate(name: string, value: unknown): unknown;
  addHook(name: 'onClose', hook: () => Promise<void>): unknown;
}

export interface FastifyBcacheOptions extends CacheOptions {
  /** A cache that is there already; it is not closed with the server. */
  readonly cache?: Cache<unknown>;
  /** The property of the server that holds the cache. Default `'cache'`. */
  readonly decorator?: string;
  /** What Fastify takes for itself in `register`. */
  readonly prefix?: string;
  readonly logLevel?: string;
  readonly logSerializers?: object;
}

/**
 * A Fastify plugin: opens a cache with the server, as `server.cache`, and closes it with the server.
 *
 * ```ts
 * await server.register(fastifyBcache, { listen: '0.0.0.0:12345', peers: ['10.0.0.2:12345'] });
 * server.get('/user/:id', (request) => server.cache.getOrSet(request.params.id, loadUser, { ttl: '1m' }));
 * ```
 */
export async function fastifyBcache(server: Instance, options: FastifyBcacheOptions): Promise<void> {
  const { cache: given, decorator = 'cache', prefix, logLevel, logSerializers, ...rest } = options;
  const [unused] = given === undefined ? [] : Object.keys(rest);
  if (unused !== undefined)
    throw new ArgumentError(`fastifyBcache has cache and ${unused}: the options are those of a cache that it makes`);
  const cache = given ?? (await createCache(rest));
  server.decorate(decorator, cache);
  if (given === undefined) server.addHook('onClose', () => cache.close({ timeout: '1s' }));
}

/** Fastify's mark of a plugin whose decorations are for all routes, not for those of its own scope alone. */
Object.assign(fastifyBcache, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'bcache',
});
