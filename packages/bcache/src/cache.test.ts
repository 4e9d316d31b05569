import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { turn, until } from '@dcache/testing';
import { createCache } from './cache.js';
import { CacheError } from './errors.js';
import { MemoryHub } from './memory-bus.js';
import { local } from './testing/local.js';

/** Stamps of two nodes in one millisecond are in no order. */
async function nextMillisecond(): Promise<void> {
  const now = Date.now();
  await until('the clock goes on', () => Date.now() > now);
}

test('a value is there until its ttl has passed; null is a value, undefined is a miss', async () => {
  const { cache, clock } = await local<unknown>();
  cache.set('k', null, { ttl: '30s' }).set('for ever', 1).set('short', 2, 500);
  assert.deepEqual([cache.get('k'), cache.get('none'), cache.has('k')], [null, undefined, true]);
  clock.pass(500);
  assert.equal(cache.get('short'), undefined);
  clock.pass(29_499);
  assert.equal(cache.get('k'), null);
  clock.pass(1);
  assert.deepEqual(
    [cache.get('k'), cache.peek('k'), cache.has('k'), cache.get('for ever')],
    [undefined, undefined, false, 1],
  );
  cache.set('for ever', 1, { ttl: 0 });
  assert.equal(cache.get('for ever'), undefined);
  assert.throws(() => cache.set('k', undefined), TypeError);
});

test('what expired leaves memory without being read', async () => {
  const { cache, clock } = await local<number>({ maxKeys: 20_000 });
  const expired: string[] = [];
  cache.on('expire', ({ key }) => expired.push(key));
  for (let i = 0; i < 10_000; i++) cache.set(`k${i}`, i, '1s');
  clock.pass(3_000);
  assert.deepEqual([cache.stats().keys, cache.stats().bytes, expired.length], [0, 0, 10_000]);
});

test('a cache is bounded by keys, and by bytes', async () => {
  const { cache } = await local<string>({ maxKeys: 3 });
  const evicted: string[] = [];
  cache.on('evict', ({ key }) => evicted.push(key));
  for (const key of ['a', 'b', 'c']) cache.set(key, key);
  cache.get('a');
  cache.set('d', 'd');
  assert.deepEqual(evicted, ['b']);
  assert.deepEqual([...cache.keys()].sort(), ['a', 'c', 'd']);

  const { cache: small } = await local<string>({ maxBytes: '1kb' });
  for (let i = 0; i < 100; i++) small.set(`k${i}`, 'x'.repeat(100));
  assert.ok(small.stats().bytes <= 1024 && small.stats().keys >= 8, JSON.stringify(small.stats()));
  assert.throws(
    () => small.set('k', 'x'.repeat(2000)),
    (error) => error instanceof CacheError && error.code === 'too-large',
  );
});

test('namespaces are apart; tags remove what carries them', async () => {
  const { cache } = await local<string>();
  const users = cache.namespace('users');
  users.set('1', 'Ada', { tags: ['staff'] }).set('2', 'Eve');
  cache.set('1', 'other', { tags: ['staff'] });
  users.invalidateTags('staff');
  assert.deepEqual([users.get('1'), users.get('2'), cache.get('1')], [undefined, 'Eve', 'other']);
  users.set('1', 'Ada again', { tags: ['staff'] });
  assert.equal(users.get('1'), 'Ada again');
  users.clear();
  assert.deepEqual([users.get('2'), cache.get('1')], [undefined, 'other']);
  assert.deepEqual(
    cache
      .setMany([
        ['x', 'X'],
        ['y', 'Y'],
      ])
      .getMany(['x', 'none', 'y']),
    new Map([
      ['x', 'X'],
      ['y', 'Y'],
    ]),
  );
  assert.equal(cache.deleteMany(['x', 'none']), 1);
});

test('options that are none are a TypeError that names them', async () => {
  const wrong: readonly (readonly [object, RegExp])[] = [
    [{ maxKeys: 0 }, /maxKeys takes an integer from 1/],
    [{ maxBytes: 'much' }, /maxBytes takes bytes/],
    [{ eviction: 'random' }, /eviction takes lru, sieve/],
    [{ copy: 'deep' }, /copy takes none, freeze, clone/],
    [{ listen: 'nowhere' }, /listen takes host:port/],
    [{ peers: '127.0.0.1:1' }, /peers takes an array/],
    [{ ttl: 'soon' }, /ttl takes milliseconds or a text/],
    [{ peerId: '' }, /peerId takes/],
    [{ deletionDelay: 0 }, /deletionDelay takes 1000 ms or more/],
  ];
  for (const [options, message] of wrong) await assert.rejects(createCache(options), { name: 'TypeError', message });
  const { cache } = await local<number>();
  assert.throws(() => cache.set('k', 1, { ttl: 'soon' }), /ttl takes/);
  assert.throws(() => cache.set(7 as never, 1), /a key is a string, got 7/);
  await assert.rejects(cache.getOrSet('k', 'no filler' as never), /takes a function as its filler, got "no filler"/);
  assert.throws(
    () => cache.set('k', (() => 1) as never),
    (error) => error instanceof CacheError && error.code === 'not-cloneable',
  );
  await cache.close();
  assert.throws(() => cache.set('k', 1), /closed/);
});

test('callers that ask at once share one filler, and its error', async () => {
  const { cache } = await local<number>();
  let runs = 0;
  const filler = async (): Promise<number> => ++runs;
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => cache.getOrSet('k', filler))), [1, 1, 1]);
  assert.equal(await cache.getOrSet('k', filler), 1);
  const failing = (): never => {
    throw new Error('no database');
  };
  await assert.rejects(cache.getOrSet('other', failing), /no database/);
  assert.equal(await cache.getWithFiller('other', filler, '1m'), 2);
});

test('a stale value within its grace is served while a filler runs, and where it fails', async () => {
  const { cache, clock } = await local<string>();
  const errors: Error[] = [];
  cache.on('error', (error) => errors.push(error));
  await cache.getOrSet('k', () => 'first', { ttl: '1s', grace: '1m' });
  clock.pass(2_000);
  assert.equal(cache.get('k'), undefined);
  const failing = async (): Promise<string> => {
    throw new Error('no database');
  };
  assert.equal(await cache.getOrSet('k', failing, { grace: '1m' }), 'first');
  await until('the error is told', () => errors.length === 1);
  let seen: string | undefined;
  const refresh = (_: string, { stale }: { stale: string | undefined }): string => {
    seen = stale;
    return 'second';
  };
  assert.equal(await cache.getOrSet('k', refresh, { ttl: '1s', grace: '1m' }), 'first');
  await until('it is refreshed', () => cache.get('k') === 'second');
  assert.equal(seen, 'first');
  clock.pass(120_000);
  await assert.rejects(cache.getOrSet('k', failing), /no database/);
});

test('a caller that aborts is detached; the filler is aborted when the last one has gone', async () => {
  const { cache } = await local<string>();
  let signal!: AbortSignal;
  let finish!: (value: string) => void;
  const filler = (_: string, context: { signal: AbortSignal }): Promise<string> => {
    signal = context.signal;
    return new Promise((resolve) => (finish = resolve));
  };
  const [first, second] = [new AbortController(), new AbortController()];
  const one = cache.getOrSet('k', filler, { signal: first.signal });
  const two = cache.getOrSet('k', filler, { signal: second.signal });
  await until('the filler runs', () => finish !== undefined);
  first.abort(new Error('client went away'));
  await assert.rejects(one, /client went away/);
  assert.equal(signal.aborted, false);
  second.abort(new Error('so did the other'));
  await assert.rejects(two, /so did the other/);
  assert.equal(signal.aborted, true);
  assert.equal(await cache.getOrSet('k', () => 'later'), 'later');
  finish('too late');
  assert.equal(cache.get('k'), 'later');
});

test('a filler that never settles ends in fill-timeout, and the next caller starts another', async () => {
  const { cache, clock } = await local<string>();
  const never = (): Promise<string> => new Promise(() => {});
  const hanging = cache.getOrSet('k', never, { hardTimeout: '5s' });
  const byDefault = cache.getOrSet('other', never);
  await until('both run', () => cache.stats().fillsInFlight === 2);
  clock.pass(30_000);
  await assert.rejects(hanging, (error) => error instanceof CacheError && error.code === 'fill-timeout');
  await assert.rejects(byDefault, /within 30000 ms/);
  assert.equal(await cache.getOrSet('k', () => 'now'), 'now');
});

test('a fill that started before a newer set or delete does not overwrite it, on any node', async () => {
  const hub = new MemoryHub();
  const [a, b] = await Promise.all(['a', 'b'].map((id) => createCache<string>({ bus: hub.bus(id), peerId: id })));
  const finishes: (() => void)[] = [];
  const filler = (): Promise<string> => new Promise((resolve) => finishes.push(() => resolve('filled')));
  const filling = a!.getOrSet('set', filler);
  const other = a!.getOrSet('deleted', filler);
  await until('both fillers run', () => finishes.length === 2);
  await nextMillisecond();
  b!.set('set', 'newer');
  b!.delete('deleted');
  // They finish before the news from b has arrived.
  for (const finish of finishes) finish();
  assert.deepEqual(await Promise.all([filling, other]), ['filled', 'filled']);
  await until('they agree', () => a!.get('set') === 'newer' && b!.get('set') === 'newer' && !a!.has('deleted'));
  assert.equal(b!.has('deleted'), false);
  await Promise.all([a!.close(), b!.close()]);
});

test('negative results, skipped results, and what a filler sets itself', async () => {
  const { cache, clock } = await local<string | null>();
  assert.equal(await cache.getOrSet('none', () => undefined), undefined);
  assert.equal(cache.has('none'), false);
  assert.equal(await cache.getOrSet('none', () => undefined, { negativeTtl: '1s' }), null);
  assert.equal(cache.get('none'), null);
  clock.pass(1_000);
  assert.equal(cache.has('none'), false);
  assert.equal(await cache.getOrSet('skipped', (_, { skip }) => skip()), undefined);
  assert.equal(cache.has('skipped'), false);
  await cache.getOrSet('own', (_, { setTtl, setTags }) => {
    setTtl('2s');
    setTags(['t']);
    return 'v';
  });
  clock.pass(1_999);
  assert.equal(cache.get('own'), 'v');
  cache.invalidateTags('t');
  assert.equal(cache.get('own'), undefined);
  assert.equal(await cache.wrap(async (id: number) => `user ${id}`, { key: (id) => `u${id}` })(7), 'user 7');
  assert.equal(cache.get('u7'), 'user 7');
});

test('refreshAhead refreshes a popular value before it expires', async () => {
  const { cache, clock } = await local<number>({ random: new SeededRandom(1) });
  let runs = 0;
  const filler = async (): Promise<number> => {
    clock.pass(100);
    return ++runs;
  };
  const options = { ttl: '10s', refreshAhead: 10 } as const;
  await cache.getOrSet('k', filler, options);
  for (let i = 0; i < 95; i++) {
    clock.pass(100);
    assert.notEqual(await cache.getOrSet('k', filler, options), undefined);
    await turn(1);
  }
  // Not at once, not never: as the end came near.
  assert.ok(runs >= 2 && runs <= 4, `${runs} fills`);
});

test('in an invalidating namespace values stay where they were loaded, and a write makes the others drop theirs', async () => {
  const hub = new MemoryHub();
  const caches = await Promise.all(['a', 'b'].map((id) => createCache({ bus: hub.bus(id), peerId: id })));
  const [a, b] = caches.map((cache) => cache.namespace<string>('local', { mode: 'invalidate' }));
  await a!.getOrSet('k', () => 'loaded by a');
  await b!.getOrSet('k', () => 'loaded by b');
  assert.deepEqual([a!.get('k'), b!.get('k')], ['loaded by a', 'loaded by b']);
  await nextMillisecond();
  a!.set('k', 'written by a');
  await until('b dropped its own', () => !b!.has('k'));
  assert.equal(a!.get('k'), 'written by a');
  for (const cache of caches) await cache.close();
});

test('events tell what happened, and stats count it', async () => {
  const hub = new MemoryHub();
  const [a, b] = await Promise.all(['a', 'b'].map((id) => createCache<number>({ bus: hub.bus(id), peerId: id })));
  const seen: string[] = [];
  for (const type of ['hit', 'miss', 'set', 'delete', 'fill'] as const)
    b!.on(type, (event) =>
      seen.push(`${type} ${event.key}${'isLocal' in event && !event.isLocal ? ' from elsewhere' : ''}`),
    );
  a!.set('k', 1);
  await until('it came', () => b!.peek('k') === 1);
  b!.get('k');
  b!.get('none');
  await b!.getOrSet('filled', () => 2);
  a!.delete('k');
  await until('it went', () => !b!.has('k'));
  assert.deepEqual(seen, [
    'set k from elsewhere',
    'hit k',
    'miss none',
    'miss filled',
    'set filled',
    'fill filled',
    'delete k',
  ]);
  const { hits, misses, fills, members } = b!.stats();
  assert.deepEqual([hits, misses, fills, members], [1, 2, 1, 2]);
  await Promise.all([a!.close(), b!.close()]);
});
