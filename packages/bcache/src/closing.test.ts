import assert from 'node:assert/strict';
import { test } from 'node:test';
import { turn, until } from '@dcache/testing';
import { type Cache, CacheError, createCache, type Namespace } from './index.js';
import { MemoryHub } from './memory-bus.js';
import { local } from './testing/local.js';

const isClosed = (error: unknown): boolean => error instanceof CacheError && error.code === 'closed';

const calls = (cache: Namespace<number>): Readonly<Record<string, () => unknown>> => ({
  get: () => cache.get('k'),
  peek: () => cache.peek('k'),
  has: () => cache.has('k'),
  keys: () => cache.keys(),
  getMany: () => cache.getMany([]),
  set: () => cache.set('k', 1),
  setMany: () => cache.setMany([]),
  delete: () => cache.delete('k'),
  deleteMany: () => cache.deleteMany([]),
  clear: () => cache.clear(),
  invalidateTags: () => cache.invalidateTags('t'),
  namespace: () => cache.namespace('n'),
});

const fills = (cache: Namespace<number>): Readonly<Record<string, () => Promise<unknown>>> => ({
  getOrSet: () => cache.getOrSet('k', () => assert.fail('a filler ran')),
  'getOrSet with refreshAhead': () => cache.getOrSet('k', () => assert.fail('a filler ran'), { refreshAhead: true }),
  getWithFiller: () => cache.getWithFiller('none', () => assert.fail('a filler ran'), '1m'),
  wrap: () => cache.wrap(() => assert.fail('a filler ran'), { key: () => 'k' })(),
});

/** All that reads or writes is refused; the rest answers. */
async function assertClosed(cache: Cache<number>, users: Namespace<number>, when: string): Promise<void> {
  for (const one of [cache, users]) {
    for (const [name, call] of Object.entries(calls(one))) assert.throws(call, isClosed, `${name} ${when}`);
    for (const [name, call] of Object.entries(fills(one))) await assert.rejects(call, isClosed, `${name} ${when}`);
  }
  assert.equal(cache.stats().keys, 0);
  assert.ok(Array.isArray(cache.members()));
  const listener = (): void => {};
  cache.on('hit', listener).off('hit', listener);
}

test('from the call of close on all that reads or writes says closed, before it is done and after', async () => {
  const hub = new MemoryHub();
  for (const options of [{}, { bus: hub.bus('a'), peerId: 'a' }, { listen: '127.0.0.1:0' }]) {
    const cache = await createCache<number>(options);
    const users = cache.namespace<number>('users');
    await cache.ready();
    cache.set('k', 1);
    users.set('k', 1);
    const keys = cache.keys();
    const closing = cache.close({ timeout: '1s' });
    await assertClosed(cache, users, 'while it closes');
    assert.deepEqual([...keys], [], 'an iteration under way ends');
    await closing;
    await assertClosed(cache, users, 'when it is closed');
    await cache.ready();
  }
});

test('to close twice, at once or later, does no harm', async () => {
  const cache = await createCache<number>({ listen: '127.0.0.1:0' });
  await Promise.all([cache.close({ timeout: '1s' }), cache.close(), cache[Symbol.asyncDispose]()]);
  await cache.close();
  // Its port is free again.
  const { address } = cache.members()[0]!;
  const again = await createCache({ listen: address });
  await again.close({ timeout: 100 });
});

test('a cache that is closed before it has the state rejects ready', async () => {
  // A bus that never says that it is alone.
  const bus = Object.assign(new MemoryHub().bus('a'), { start: async () => {} });
  const cache = await createCache({ bus, peerId: 'a' });
  await cache.close();
  await assert.rejects(cache.ready(), isClosed);
});

test('who waits for a filler gets closed, its signal aborts, and what it returns later goes nowhere', async () => {
  const { cache } = await local<number>();
  const hub = new MemoryHub();
  const [shared, other] = await Promise.all(
    ['a', 'b'].map((id) => createCache<number>({ bus: hub.bus(id), peerId: id })),
  );
  for (const one of [cache, shared!]) {
    let signal!: AbortSignal;
    let finish!: (value: number) => void;
    const filler = (_: string, context: { signal: AbortSignal }): Promise<number> => {
      signal = context.signal;
      return new Promise((resolve) => (finish = resolve));
    };
    const waiting = [one.getOrSet('k', filler), one.getOrSet('k', filler, { hardTimeout: Number.POSITIVE_INFINITY })];
    await until('the filler runs', () => finish !== undefined);
    const closing = one.close();
    for (const caller of waiting) await assert.rejects(caller, isClosed);
    assert.ok(signal.aborted && isClosed(signal.reason));
    finish(1);
    await closing;
    assert.deepEqual([one.stats().keys, one.stats().fillsInFlight], [0, 0]);
  }
  assert.equal(other!.has('k'), false);
  await other!.close();
});

test('a cache that closes at whatever moment of a fill stores nothing and starts no filler', async () => {
  // Between a filler's end and its value's place in the cache lie some microtasks, as between a lease and its filler.
  for (let pause = 0; pause < 12; pause++)
    for (const isFillerRunning of [true, false]) {
      const hub = new MemoryHub();
      const other = await createCache<number>({ bus: hub.bus('b'), peerId: 'b' });
      const cache = await createCache<number>({ bus: hub.bus('a'), peerId: 'a' });
      await cache.ready();
      let finish: (value: number) => void = () => {};
      let isClosing = false;
      let wasStartedLate = false;
      const filler = (): Promise<number> => {
        wasStartedLate = isClosing;
        return new Promise((resolve) => (finish = resolve));
      };
      // Of ten keys this node owns some.
      const filling = Array.from({ length: 10 }, (_, i) => cache.getOrSet(`k${i}`, filler));
      if (isFillerRunning) {
        await until('the fillers run', () => cache.stats().fills === 10);
        finish(1);
      }
      for (let i = 0; i < pause; i++) await Promise.resolve();
      const stored = cache.stats().keys;
      isClosing = true;
      const closing = cache.close();
      const outcomes = await Promise.allSettled(filling);
      await closing;
      for (const outcome of outcomes)
        assert.ok(outcome.status === 'fulfilled' ? outcome.value === 1 : isClosed(outcome.reason), `${pause}`);
      assert.deepEqual([cache.stats().keys, cache.stats().bytes, wasStartedLate], [0, 0, false], `${stored} ${pause}`);
      await other.close();
    }
});

test('a refresh in the background ends with the cache, and nobody is told of an error', async () => {
  const { cache, clock } = await local<number>();
  await cache.getOrSet('k', () => 1, { ttl: '1s', grace: '1h' });
  clock.pass(2_000);
  const errors: Error[] = [];
  cache.on('error', (error) => errors.push(error));
  let signal: AbortSignal | undefined;
  const filler = (_: string, context: { signal: AbortSignal }): Promise<number> => {
    signal = context.signal;
    return new Promise(() => {});
  };
  assert.equal(await cache.getOrSet('k', filler), 1);
  await until('the refresh runs', () => signal !== undefined);
  await cache.close();
  await turn(1);
  assert.deepEqual([signal?.aborted, errors], [true, []]);
});
