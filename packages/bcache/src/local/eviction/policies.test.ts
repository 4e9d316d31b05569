import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import fc from 'fast-check';
import { createCache } from '../../cache.js';
import { evictionNames } from './policies.js';
import { FrequencySketch } from './sketch.js';

/** Share of hits, in %, when every miss is filled. */
async function hitRatio(
  eviction: (typeof evictionNames)[number],
  maxKeys: number,
  keys: readonly string[],
): Promise<number> {
  // The seed is that of the keys' hashes.
  const cache = await createCache<number>({ eviction, maxKeys, random: new SeededRandom(1) });
  for (const key of keys) if (cache.get(key) === undefined) cache.set(key, 1);
  const { hits } = cache.stats();
  await cache.close();
  return (100 * hits) / keys.length;
}

for (const eviction of evictionNames) {
  test(`${eviction}: whatever is done, the bound holds and the entry just set is there`, async () => {
    const step = fc.record({ key: fc.nat(30), action: fc.constantFrom('set', 'set', 'get', 'get', 'delete') });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 200 }), async (maxKeys, steps) => {
        const cache = await createCache<number>({ eviction, maxKeys });
        for (const { key, action } of steps) {
          if (action === 'get') cache.get(`${key}`);
          else if (action === 'delete') cache.delete(`${key}`);
          else assert.equal(cache.set(`${key}`, key).peek(`${key}`), key);
          const { keys } = cache.stats();
          assert.ok(keys <= maxKeys && keys === [...cache.keys()].length, `${keys} keys`);
        }
        await cache.close();
      }),
      { numRuns: 100 },
    );
  });
}

test('lru: who was not used for the longest time leaves, exactly', async () => {
  const cache = await createCache<number>({ maxKeys: 100 });
  const order: string[] = [];
  cache.on('evict', ({ key }) => order.push(key));
  for (let i = 0; i < 100; i++) cache.set(`k${i}`, i);
  const random = new SeededRandom(4);
  const uses = new Map<string, number>(Array.from({ length: 100 }, (_, i) => [`k${i}`, i]));
  for (let i = 0; i < 1000; i++) {
    const key = `k${random.below(100)}`;
    cache.get(key);
    uses.set(key, 1000 + i);
  }
  for (let i = 0; i < 100; i++) cache.set(`new${i}`, i);
  const expected = [...uses].sort((a, b) => a[1] - b[1]).map(([key]) => key);
  assert.deepEqual(order, expected);
  await cache.close();
});

test('a scan washes out lru, and not the others', async () => {
  const keys: string[] = [];
  for (let round = 0; round < 60; round++) {
    for (let twice = 0; twice < 3; twice++) for (let i = 0; i < 50; i++) keys.push(`hot${i}`);
    for (let i = 0; i < 200; i++) keys.push(`scan${round}-${i}`);
  }
  const ratios = Object.fromEntries(
    await Promise.all(evictionNames.map(async (name) => [name, await hitRatio(name, 100, keys)] as const)),
  );
  for (const name of ['sieve', 's3fifo', 'w-tinylfu'])
    assert.ok(ratios[name]! > ratios['lru']! + 5, JSON.stringify(ratios));
});

test('w-tinylfu keeps a part of a loop that is larger than the cache, and follows recency where that pays', async () => {
  const loop = Array.from({ length: 60_000 }, (_, i) => `k${i % 300}`);
  const kept = await hitRatio('w-tinylfu', 150, loop);
  assert.ok(kept > 35, `${kept}`);
  assert.ok((await hitRatio('lru', 150, loop)) < 1);
  // Groups of keys, each wanted four times in a row, then never again: only a window helps, the more the larger it is.
  const recent: string[] = [];
  const random = new SeededRandom(7);
  for (let group = 0; recent.length < 120_000; group++) {
    const size = 4 + random.below(100);
    for (let round = 0; round < 4; round++) for (let i = 0; i < size; i++) recent.push(`g${group}-${i}`);
  }
  const followed = await hitRatio('w-tinylfu', 200, recent);
  // With the window of 1 % that it starts from it would stay below 7 %.
  assert.ok(followed > 20, `${followed}`);
});

test('the sketch counts about right, never too low before it ages, and ages', () => {
  const sketch = new FrequencySketch(1000);
  for (let hash = 0; hash < 500; hash++)
    for (let i = 0; i < hash % 10; i++) sketch.increment(Math.imul(hash, 0x9e3779b1));
  let over = 0;
  for (let hash = 0; hash < 500; hash++) {
    const frequency = sketch.frequency(Math.imul(hash, 0x9e3779b1));
    assert.ok(frequency >= hash % 10);
    if (frequency > hash % 10) over++;
  }
  assert.ok(over < 100, `${over} of 500 counted too high`);
  for (let i = 0; i < 20_000; i++) sketch.increment(0x10000 + Math.imul(i, 0x85ebca6b));
  assert.ok(sketch.frequency(Math.imul(9, 0x9e3779b1)) < 9);
});
