import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { until } from '@dcache/testing';
import { createCache } from '../cache.js';
import { MemoryHub } from '../memory-bus.js';
import { local } from '../testing/local.js';

test('with timeout a filler has that long before a stale value is served, and goes on after', async () => {
  const { cache, clock } = await local<string>();
  const options = { ttl: '1s', grace: '1h', timeout: 100 } as const;
  await cache.getOrSet('k', () => 'first', options);
  clock.pass(2_000);
  assert.equal(await cache.getOrSet('k', async () => 'in time', options), 'in time');
  clock.pass(2_000);
  let finish!: (value: string) => void;
  const slow = cache.getOrSet('k', () => new Promise<string>((resolve) => (finish = resolve)), options);
  await until('the filler runs', () => finish !== undefined);
  clock.pass(100);
  assert.equal(await slow, 'in time');
  finish('late');
  await until('it is stored', () => cache.get('k') === 'late');
});

test('jitter shortens a ttl by up to that much, so that keys set together do not expire together', async () => {
  const { cache, clock } = await local<number>({ random: new SeededRandom(3) });
  for (let i = 0; i < 200; i++) await cache.getOrSet(`k${i}`, () => i, { ttl: '10s', jitter: '4s' });
  clock.pass(5_999);
  assert.equal([...cache.keys()].length, 200);
  clock.pass(2_001);
  const left = [...cache.keys()].length;
  assert.ok(left > 60 && left < 140, `${left}`);
  clock.pass(2_000);
  assert.equal([...cache.keys()].length, 0);
});

test('a refresh that nobody waits for ends with hardTimeout, and its error is told and thrown to nobody', async () => {
  const { cache, clock } = await local<string>();
  const errors: string[] = [];
  cache.on('error', (error) => errors.push((error as { code?: string }).code ?? error.message));
  await cache.getOrSet('k', () => 'first', { ttl: '1s', grace: '1h' });
  clock.pass(2_000);
  const never = (): Promise<string> => new Promise(() => {});
  assert.equal(await cache.getOrSet('k', never, { grace: '1h', hardTimeout: '5s' }), 'first');
  await until('it runs', () => cache.stats().fillsInFlight === 1);
  clock.pass(5_000);
  await until('it is told', () => errors.length > 0);
  assert.deepEqual([errors, cache.stats().fillsInFlight], [['fill-timeout'], 0]);
});

test('an aborted caller on one node does not end the fill that another node waits for', async () => {
  const hub = new MemoryHub();
  const [a, b] = await Promise.all(['a', 'b'].map((id) => createCache<string>({ bus: hub.bus(id), peerId: id })));
  let runs = 0;
  const finishes: ((value: string) => void)[] = [];
  const filler = (): Promise<string> => {
    runs++;
    return new Promise((resolve) => finishes.push(resolve));
  };
  const first = a!.getOrSet('k', filler);
  await until('the filler runs', () => finishes.length === 1);
  const leaving = new AbortController();
  const second = b!.getOrSet('k', filler, { signal: leaving.signal });
  const third = b!.getOrSet('k', filler);
  leaving.abort(new Error('went away'));
  await assert.rejects(second, /went away/);
  finishes[0]!('filled');
  assert.deepEqual([await first, await third, runs], ['filled', 'filled', 1]);
  await Promise.all([a!.close(), b!.close()]);
});

test('a filler that fails on one node lets the next who waits fill, and rejects its own callers alone', async () => {
  const hub = new MemoryHub();
  const [a, b] = await Promise.all(['a', 'b'].map((id) => createCache<string>({ bus: hub.bus(id), peerId: id })));
  let fail!: () => void;
  const failing = a!.getOrSet(
    'k',
    () => new Promise<string>((_, reject) => (fail = () => reject(new Error('no database')))),
  );
  await until('the filler runs', () => fail !== undefined);
  const waiting = b!.getOrSet('k', () => 'from b');
  fail();
  await assert.rejects(failing, /no database/);
  assert.equal(await waiting, 'from b');
  await until('it came', () => a!.get('k') === 'from b');
  await Promise.all([a!.close(), b!.close()]);
});

test('what a filler returns that cannot be cached can still be had; the cache says so and stores nothing', async () => {
  const { cache } = await local<unknown>();
  const errors: unknown[] = [];
  cache.on('error', (error) => errors.push((error as { code?: string }).code));
  const value = { run: () => 1 };
  assert.equal(await cache.getOrSet('k', () => value), value);
  assert.deepEqual([errors, cache.has('k'), cache.stats().fillsInFlight], [['not-cloneable'], false, 0]);
});

test('where a newer value was set meanwhile, those who wait for the fill on other nodes get that', async () => {
  const hub = new MemoryHub();
  const [a, b] = await Promise.all(['a', 'b'].map((id) => createCache<string>({ bus: hub.bus(id), peerId: id })));
  let finish!: (value: string) => void;
  const filling = a!.getOrSet('k', () => new Promise<string>((resolve) => (finish = resolve)));
  await until('the filler runs', () => finish !== undefined);
  const waiting = b!.getOrSet('k', () => 'from b');
  a!.set('k', 'newer');
  finish('filled');
  assert.deepEqual([await filling, await waiting, a!.get('k')], ['filled', 'newer', 'newer']);
  await Promise.all([a!.close(), b!.close()]);
});
