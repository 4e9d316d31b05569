import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock } from '@dcache/base';
import { until } from '@dcache/testing';
import fastify from 'fastify';
import { fastifyBcache } from './adapters/fastify.js';
import { ArgumentError, type CacheOptions, createCache, type Namespace } from './index.js';
import { MemoryHub } from './memory-bus.js';
import { local } from './testing/local.js';

/** That it is the caller's mistake, and that the message has all of these words. */
const refuses =
  (...words: readonly (string | number)[]) =>
  (error: Error): boolean => {
    assert.ok(error instanceof ArgumentError && error instanceof TypeError, `${error.stack}`);
    assert.equal(error.code, 'bad-argument');
    for (const word of words) assert.ok(error.message.includes(`${word}`), `${error.message}\nlacks ${word}`);
    return true;
  };

const listen = '127.0.0.1:0';
const bus = new MemoryHub().bus('a');

/** An option that is wrong; what the message has to name beside it. */
const wrong: readonly (readonly [option: string, options: object, ...words: (string | number)[]])[] = [
  ['maxkeys', { maxkeys: 10 }, 'maxKeys', 'maxBytes'],
  ['toString', { toString: 1 }],
  ['tags', { tags: ['a'] }],
  ['signal', { signal: AbortSignal.abort() }],
  ['peers', { peers: ['127.0.0.1:1'] }, 'listen', '192.168.0.1:12345'],
  ['peers', { listen, peers: 'a:1' }, '"a:1"'],
  ['peers', { listen, peers: ['a:1', 'a:65536'] }, '"a:65536"', 'host:port'],
  ['peers', { listen, peers: ['a:0'] }, '"a:0"'],
  ['peers', { listen, peers: ['a'] }, '"a"'],
  ['peers', { listen: '127.0.0.1:1', peers: [7] }, 7],
  ['peers', { bus, peers: ['a:1'] }, 'bus'],
  ['listen', { listen: '127.0.0.1' }, '"127.0.0.1"', 'host:port'],
  ['listen', { listen: '127.0.0.1:65536' }, '"127.0.0.1:65536"'],
  ['listen', { listen: '::1:80' }, '"::1:80"'],
  ['listen', { listen: ':7000' }, '":7000"', "'127.0.0.1:7000'", "'0.0.0.0:7000'", 'all'],
  ['listen', { listenAddr: ':7000' }, '":7000"', "'0.0.0.0:7000'"],
  ['listen', { listen: 7000 }, 7000],
  ['listen', { listen: null }, 'null'],
  ['listen', { listen, bus }, 'bus'],
  ['listenAddr', { listen, listenAddr: '127.0.0.1:1' }, '"127.0.0.1:1"'],
  ['advertise', { listen, advertise: 'a:b' }, '"a:b"'],
  ['advertise', { advertise: 'a' }, 'listen'],
  ['streamPort', { listen, streamPort: 65_536 }, 65_536, 65_535],
  ['streamPort', { streamPort: 1 }, 'listen'],
  ['cluster', { cluster: '' }, '""', 128],
  ['cluster', { cluster: '€'.repeat(100) }, 248],
  ['cluster', { cluster: 'c\ud800' }, '"c\\ud800"', 'UTF-8'],
  ['keyring', { listen, keyring: 'secret' }, 'base64'],
  ['keyring', { listen, keyring: [] }, 'base64'],
  ['keyring', { listen, keyring: ['secret'] }, 'base64', 32],
  ['keyring', { keyring: [Buffer.alloc(32).toString('base64')] }, 'listen'],
  ['tls', { listen, tls: { key: 'k', cert: 'c' } }, 'ca', 'PEM'],
  ['tls', { listen, tls: { key: 'k', cert: 'c', ca: 'a' } }, 'PEM'],
  ['tls', { listen, tls: true }, 'true'],
  ['bus', { bus: {} }, 'broadcast'],
  ['peerId', { peerId: '\udc00' }, '"\\udc00"', 'UTF-8'],
  ['peerId', { peerId: 'a/b' }, '"a/b"', 128],
  ['maxKeys', { maxKeys: 1.5 }, 1.5, 16_777_214],
  ['maxKeys', { maxKeys: '10' }, '"10"'],
  ['maxBytes', { maxBytes: 0.5 }, 0.5, '64mb'],
  ['maxBytes', { maxBytes: '64 megs' }, '"64 megs"'],
  ['maxBytes', { maxBytes: Number.POSITIVE_INFINITY }, 'Infinity'],
  ['historyBytes', { historyBytes: -1 }, -1],
  ['maxQueueBytes', { maxQueueBytes: Number.NaN }, 'NaN'],
  ['eviction', { eviction: 'random' }, '"random"', 'sieve'],
  ['copy', { copy: true }, 'true', 'freeze'],
  ['deletionDelay', { deletionDelay: 999 }, 999, 1000],
  ['maxClockSkew', { maxClockSkew: '0s' }, '"0s"'],
  ['ttl', { ttl: 'soon' }, '"soon"', `'30s'`],
  ['ttl', { ttl: Number.NaN }, 'NaN'],
  ['ttl', { ttl: null }, 'null'],
  ['ttl', { ttl: 0 }, 0],
  ['grace', { grace: '-1s' }, '"-1s"'],
  ['jitter', { jitter: -1 }, -1],
  ['timeout', { timeout: '25d' }, '"25d"', '24 days'],
  ['hardTimeout', { hardTimeout: 0 }, 0],
  ['hardTimeout', { hardTimeout: '30d' }, '"30d"', 'Infinity'],
  ['negativeTtl', { negativeTtl: {} }, 'an object'],
  ['refreshAhead', { refreshAhead: 'yes' }, '"yes"'],
  ['refreshAhead', { refreshAhead: Number.POSITIVE_INFINITY }, 'Infinity'],
  ['logger', { logger: { warn() {} } }, 'info'],
  ['clock', { clock: Date }, 'monotonicMs'],
  ['random', { random: Math.random }, 'next'],
];

test('a wrong option of createCache is refused with its name, what was given and what is allowed', async () => {
  for (const [option, options, ...words] of wrong)
    await assert.rejects(createCache(options), refuses(option, ...words), `${option}: ${JSON.stringify(options)}`);
  for (const options of [null, 7, 'x', []]) await assert.rejects(createCache(options as never), refuses('createCache'));
});

test('a message about a wrong keyring does not show it', async () => {
  for (const keyring of ['hunter2hunter2', ['hunter2hunter2'], [Buffer.from('hunter2')]])
    await assert.rejects(createCache({ listen, keyring } as never), (error: Error) => !/hunter2/.test(error.message));
});

test('an option that is given as undefined is as if left out', async () => {
  const cache = await createCache({ listen: undefined, ttl: undefined, maxKeys: undefined } as unknown as CacheOptions);
  cache.set('k', 1, { ttl: undefined } as never);
  assert.equal(cache.get('k'), 1);
  await cache.close();
});

test('wrong arguments and options of each method are refused, and nothing has changed', async () => {
  const { cache } = await local<unknown>();
  cache.set('k', 'kept');
  const set = (options: unknown) => () => cache.set('k', 'changed', options as never);
  const getOrSet = (options: unknown) => cache.getOrSet('none', () => 1, options as never);
  for (const key of [undefined, null, 7, {}, Symbol('s')] as never[]) {
    for (const read of [() => cache.get(key), () => cache.peek(key), () => cache.has(key)])
      assert.throws(read, refuses('a key is a string'));
    for (const write of [() => cache.set(key, 1), () => cache.delete(key)])
      assert.throws(write, refuses('a key is a string'));
    await assert.rejects(
      cache.getOrSet(key, () => 1),
      refuses('a key is a string'),
    );
  }
  assert.throws(() => cache.set('x'.repeat(16_385), 1), refuses(16_384, 16_385));
  const half = 'user:\ud800';
  assert.throws(() => cache.set(half, 1), refuses('a key', 'UTF-8', '"user:\\ud800"', 'surrogate'));
  assert.throws(() => cache.delete(half), refuses('a key', 'surrogate'));
  await assert.rejects(
    cache.getOrSet(half, () => 1),
    refuses('a key', 'surrogate'),
  );
  assert.equal(cache.get(half), undefined);
  assert.throws(set({ tags: ['a', half] }), refuses('tags', 'surrogate'));
  for (const tags of [half, [half]]) assert.throws(() => cache.invalidateTags(tags), refuses('tags', 'surrogate'));
  assert.throws(() => cache.invalidateTags('x'.repeat(1025)), refuses('tags', 1024));
  assert.throws(() => cache.namespace(half), refuses('namespace', 'surrogate'));
  assert.throws(set({ tll: '1h' }), refuses('set', 'tll', 'ttl, grace, tags'));
  assert.throws(set({ jitter: 1 }), refuses('set', 'jitter'));
  assert.throws(set({ ttl: '1 year' }), refuses('ttl', '"1 year"'));
  assert.throws(set({ grace: -1 }), refuses('grace', -1));
  assert.throws(set({ tags: 'a' }), refuses('tags', '"a"'));
  assert.throws(set({ tags: [1] }), refuses('tags', 1));
  assert.throws(set({ tags: ['x'.repeat(1025)] }), refuses('tags', 1024));
  assert.throws(set('soon'), refuses('ttl', '"soon"'));
  for (const options of [null, true, []]) assert.throws(set(options), refuses(options === true ? 'ttl' : 'set'));

  await assert.rejects(getOrSet({ tll: 1 }), refuses('getOrSet', 'tll', 'refreshAhead'));
  await assert.rejects(getOrSet({ signal: 1 }), refuses('signal', 1));
  await assert.rejects(getOrSet({ hardTimeout: '30d' }), refuses('hardTimeout'));
  await assert.rejects(getOrSet('1h'), refuses('getOrSet', '"1h"'));
  await assert.rejects(cache.getOrSet('k', 'v' as never), refuses('filler', '"v"'));
  await assert.rejects(
    cache.getOrSet('none', (_, { setTtl }) => setTtl('soon' as never)),
    refuses('setTtl', '"soon"'),
  );

  assert.throws(() => cache.getMany('ab'), refuses('getMany', '"ab"'));
  assert.throws(() => cache.setMany({ k: 1 } as never), refuses('setMany', 'an object'));
  assert.throws(() => cache.deleteMany(7 as never), refuses('deleteMany', 7));
  assert.throws(() => cache.invalidateTags(7 as never), refuses('tags', 7));
  assert.throws(() => cache.namespace('n', { maxKeys: 1 } as never), refuses('namespace', 'maxKeys', 'mode'));
  assert.throws(() => cache.namespace('n', { mode: 'local' } as never), refuses('mode', '"local"', 'invalidate'));
  assert.throws(() => cache.namespace('n', { ttl: 0 }), refuses('namespace', 'ttl'));
  assert.throws(() => cache.namespace(''), refuses('""'));
  assert.throws(() => cache.wrap('f' as never), refuses('wrap', '"f"'));
  assert.throws(() => cache.wrap(function load() {}, { tll: 1 } as never), refuses('wrap', 'tll'));
  assert.throws(() => cache.on('hits' as never, () => {}), refuses('"hits"', 'hit'));
  assert.throws(() => cache.on('hit', 7 as never), refuses('function', 7));
  await assert.rejects(cache.close({ timeout: -1 }), refuses('timeout', -1));
  await assert.rejects(cache.close({ timeoutMs: 1 } as never), refuses('close', 'timeoutMs'));
  assert.deepEqual([cache.get('k'), cache.stats().keys, cache.stats().tombstones], ['kept', 1, 0]);
});

test('two functions without a name do not share a wrapped key', async () => {
  const { cache } = await local<string>();
  assert.throws(() => cache.wrap(async (id: number) => `user ${id}`), refuses('wrap', 'key'));
  const user = cache.wrap(async function user(id: number) {
    return `user ${id}`;
  });
  const order = cache.wrap(async (id: number) => `order ${id}`, { key: (id) => `order:${id}`, ttl: '1m' });
  assert.deepEqual([await user(1), await order(1), await user(1)], ['user 1', 'order 1', 'user 1']);
});

test('times beyond all bounds are for ever, here and on other nodes', async () => {
  const hub = new MemoryHub();
  const [a, b] = await Promise.all(['a', 'b'].map((id) => createCache<number>({ bus: hub.bus(id), peerId: id })));
  const far = [1e15 + 1, Number.MAX_SAFE_INTEGER, 1e300, Number.POSITIVE_INFINITY];
  for (const [i, ttl] of far.entries()) a!.set(`${i}`, i, { ttl, grace: ttl });
  a!.set('last', 1);
  await until('all came', () => b!.has('last'));
  assert.deepEqual([...b!.getMany(['0', '1', '2', '3']).values()], [0, 1, 2, 3]);
  await Promise.all([a!.close(), b!.close()]);
});

test('a timeout of Infinity waits for the filler, however stale a value there is', async () => {
  // The machine's own timers, of which one that waits for longer than 24 days fires at once.
  const waits: number[] = [];
  const after: Clock['after'] = (delayMs, run) => {
    waits.push(delayMs);
    return systemClock.after(delayMs, run);
  };
  const cache = await createCache<string>({ clock: { ...systemClock, after } });
  await cache.getOrSet('k', () => 'old', { ttl: 1, grace: '1d' });
  await until('it is stale', () => !cache.has('k'));
  waits.length = 0;
  const infinite = Number.POSITIVE_INFINITY;
  let settle: ((value: string) => void) | undefined;
  const filler = (): Promise<string> =>
    new Promise((resolve) => {
      settle = resolve;
    });
  const answer = cache.getOrSet('k', filler, { timeout: infinite, hardTimeout: infinite });
  await until('the filler is asked', () => settle !== undefined);
  settle?.('new');
  assert.equal(await answer, 'new');
  assert.ok(
    waits.every((ms) => ms < 2 ** 31),
    `${waits} ms`,
  );
  await cache.close();
});

test('the Fastify plugin passes on what is for the cache, and refuses what is for none', async () => {
  const server = fastify();
  await server.register(fastifyBcache, { prefix: '/p', logLevel: 'warn', maxKeys: 1 });
  const { cache } = server as unknown as { cache: Namespace<number> };
  cache.set('a', 1).set('b', 2);
  assert.equal([...cache.keys()].length, 1);
  await server.close();
  await assert.rejects(async () => fastify().register(fastifyBcache, { maxkeys: 1 } as never), refuses('maxkeys'));
  const given = await createCache();
  await assert.rejects(
    async () => fastify().register(fastifyBcache, { cache: given, ttl: 1 }),
    refuses('cache', 'ttl'),
  );
  await given.close();
});

/** Never run: the compiler refuses each of these. */
export const refusedByTypes = (cache: Namespace<string>): unknown[] => [
  // @ts-expect-error no such option
  createCache({ maxkeys: 1 }),
  // @ts-expect-error of a call, not of a cache
  createCache({ tags: ['a'] }),
  // @ts-expect-error a text
  createCache({ listen: 7000 }),
  // @ts-expect-error one of four
  createCache({ eviction: 'random' }),
  // @ts-expect-error an array
  createCache({ peers: 'a:1' }),
  // @ts-expect-error no such option
  cache.set('k', 'v', { tll: '1h' }),
  // @ts-expect-error of getOrSet
  cache.set('k', 'v', { jitter: '1s' }),
  // @ts-expect-error an object
  cache.getOrSet('k', () => 'v', '1h'),
  // @ts-expect-error no such option
  cache.getOrSet('k', () => 'v', { tll: '1h' }),
  // @ts-expect-error another type
  cache.set('k', 1),
  // @ts-expect-error no such option
  cache.namespace('n', { maxKeys: 1 }),
];
