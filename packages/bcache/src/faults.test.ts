// The faults of the library that this one follows, each with a test that shows ours does not have it; and what its
// fixes promise beyond that. Numbers are those of the list in the README.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '@dcache/testing';
import { createCache } from './cache.js';
import { MemoryHub } from './memory-bus.js';
import { Pool } from './testing/pool.js';

test('fault 1: a newer set with a shorter ttl wins on every node', () => {
  const pool = new Pool(['a', 'b', 'c']);
  pool.set('a', 'k', 'old', 3_600_000);
  pool.deliver();
  pool.pass(1_000);
  pool.set('b', 'k', 'new', 60_000);
  pool.deliver();
  assert.deepEqual(pool.values('k'), ['new', 'new', 'new']);
  pool.pass(61_000, 1_000);
  assert.deepEqual(pool.values('k'), [undefined, undefined, undefined]);
});

test('fault 2: of a set and a delete the newer stays, whichever arrives last', () => {
  for (const deleteFirst of [true, false]) {
    const pool = new Pool(['a', 'b', 'c']);
    pool.set('a', 'k', 'before');
    pool.deliver();
    const steps = [(): unknown => pool.delete('a', 'k'), (): unknown => pool.set('b', 'k', 'written')];
    for (const step of deleteFirst ? steps : steps.reverse()) {
      step();
      pool.nowMs += 10;
    }
    pool.collect();
    pool.wire.reverse();
    pool.deliver();
    const values = pool.values('k');
    assert.deepEqual(values, deleteFirst ? ['written', 'written', 'written'] : [undefined, undefined, undefined]);
  }
});

test('fault 3: deleting a key that this node does not hold deletes it elsewhere', () => {
  const pool = new Pool(['a', 'b']);
  pool.get('b').store.space('');
  pool.loses = () => true;
  pool.set('a', 'k', 1);
  pool.collect();
  pool.loses = () => false;
  pool.nowMs += 10;
  assert.equal(pool.delete('b', 'k'), false);
  pool.deliver();
  pool.pass(5_000);
  assert.deepEqual(pool.values('k'), [undefined, undefined]);
});

test('fault 4: neither eviction nor reads drop a deletion', () => {
  const pool = new Pool(['a', 'b'], { maxKeys: 10 });
  pool.set('a', 'k', 'old');
  pool.collect();
  const held = pool.wire;
  pool.wire = [];
  pool.nowMs += 10;
  pool.delete('b', 'k');
  for (let i = 0; i < 1000; i++) {
    pool.set('b', `other${i}`, i);
    pool.get('b').store.entries.get(pool.get('b').store.space(''), 'k');
  }
  pool.wire.push(...held);
  pool.deliver();
  pool.pass(5_000);
  assert.deepEqual(pool.values('k'), [undefined, undefined]);
});

test('fault 4: a value that was deleted, evicted or expired does not come back when an older version arrives late', () => {
  for (const end of ['evict', 'expire'] as const) {
    const pool = new Pool(['a', 'b'], { maxKeys: 10 });
    pool.set('a', 'k', 'older');
    pool.collect();
    const late = pool.wire;
    pool.wire = [];
    pool.nowMs += 10;
    pool.set('b', 'k', 'newer', end === 'expire' ? 1_000 : Number.POSITIVE_INFINITY);
    if (end === 'evict') for (let i = 0; i < 20; i++) pool.set('b', `other${i}`, i);
    else pool.pass(2_000);
    pool.wire.push(...late);
    pool.deliver();
    assert.equal(pool.values('k')[1], undefined, end);
  }
});

test('fault 5: repair never sends the whole cache in one message', () => {
  const pool = new Pool(['a'], { maxKeys: 20_000, logBytes: 10_000 });
  for (let i = 0; i < 5_000; i++) pool.set('a', `k${i}`, 'x'.repeat(200));
  pool.collect();
  pool.largestBytes = 0;
  const b = pool.add('b', { maxKeys: 20_000 });
  pool.meet();
  pool.connect('b', 'a');
  pool.deliver();
  assert.equal(b.store.entries.size, 5_000);
  assert.ok(pool.largestBytes < 72 * 1024, `${pool.largestBytes} bytes in one message`);
});

test('fault 6: values are structured, and each process has an id of its own', async () => {
  const value = { at: new Date(5), tags: new Set(['a']), big: 2n ** 70n, bytes: new Uint8Array([1, 2]) };
  const hub = new MemoryHub();
  const a = await createCache({ bus: hub.bus('a'), peerId: 'a' });
  const b = await createCache({ bus: hub.bus('b'), peerId: 'b' });
  a.set('k', value);
  await until('it arrived', () => b.has('k'));
  assert.deepEqual(b.get('k'), value);
  const [one, other] = [await createCache(), await createCache()];
  assert.notEqual(one.peerId, other.peerId);
  for (const cache of [a, b, one, other]) await cache.close();
});

test('fault 6: a clock an hour ahead poisons no key', () => {
  const pool = new Pool(['a', 'b', 'c']);
  pool.skewMs.set('a', 3_600_000);
  pool.set('a', 'k', 'from the future');
  pool.deliver();
  pool.pass(5_000);
  // It was refused, stamped again, and taken.
  assert.deepEqual(pool.values('k'), ['from the future', 'from the future', 'from the future']);
  assert.ok(pool.get('b').replicator.stats.refused > 0);
  pool.set('b', 'k', 'written later');
  pool.deliver();
  assert.deepEqual(pool.values('k'), ['written later', 'written later', 'written later']);
});

test('fault 7: a filler runs once in the cluster, not once on each node', async () => {
  const hub = new MemoryHub();
  const names = Array.from({ length: 10 }, (_, i) => `n${i}`);
  const caches = await Promise.all(names.map((id) => createCache<number>({ bus: hub.bus(id), peerId: id })));
  let runs = 0;
  const filler = async (): Promise<number> => {
    await until('every node wants the value', () => caches.every((cache) => cache.stats().fillsInFlight === 1));
    return ++runs;
  };
  const values = await Promise.all(caches.flatMap((cache) => [cache, cache]).map((c) => c.getOrSet('k', filler)));
  assert.deepEqual(new Set(values), new Set([1]));
  for (const cache of caches) await cache.close();
});

test('a node that was paused for longer than deletions are kept does not bring back what was deleted', () => {
  const pool = new Pool(['a', 'b', 'c'], { deletionDelayMs: 10_000 });
  pool.set('a', 'k', 'deleted meanwhile');
  pool.set('a', 'kept', 1);
  pool.deliver();
  pool.pass(3_000);
  // c is cut off: nothing reaches it, and it alone goes on writing.
  pool.loses = (from, to) => from === 'c' || to === 'c';
  pool.delete('a', 'k');
  pool.set('c', 'written alone', 2);
  pool.pass(60_000, 500);
  assert.equal(pool.get('a').store.tombstones, 0);
  assert.equal(pool.values('k')[2], 'deleted meanwhile');
  pool.loses = () => false;
  pool.pass(10_000);
  assert.deepEqual(pool.values('k'), [undefined, undefined, undefined]);
  assert.deepEqual(pool.values('written alone'), [2, 2, 2]);
  assert.deepEqual(pool.values('kept'), [1, 1, 1]);
});

test('a value written during a partition does not survive a later deletion on the other side', () => {
  const pool = new Pool(['a', 'b'], { deletionDelayMs: 10_000 });
  pool.pass(2_000);
  pool.loses = () => true;
  pool.set('a', 'k', 'written first');
  pool.nowMs += 1_000;
  pool.delete('b', 'k');
  pool.pass(60_000, 500);
  pool.loses = () => false;
  pool.pass(10_000);
  assert.deepEqual(pool.values('k'), [undefined, undefined]);
});

test('a lost update shows as a gap and is pulled, from another peer where its origin is gone', () => {
  const pool = new Pool(['a', 'b', 'c']);
  pool.set('a', 'first', 1);
  pool.deliver();
  pool.loses = (_, to) => to === 'c';
  pool.set('a', 'missed', 2);
  pool.collect();
  pool.loses = () => false;
  pool.deliver();
  pool.set('a', 'next', 3);
  pool.deliver();
  assert.deepEqual(pool.values('missed'), [2, 2, 2]);

  pool.loses = (_, to) => to === 'c';
  pool.set('a', 'missed too', 4);
  pool.deliver();
  pool.loses = (from, to) => from === 'a' || to === 'a';
  pool.get('c').replicator.setPeers(['b']);
  pool.pass(5_000);
  assert.deepEqual(pool.values('missed too'), [4, 4, 4]);
  assert.equal(pool.get('c').replicator.stats.states, 0);
});

test('eviction is local: what one node evicted is not sent to it again', () => {
  const pool = new Pool(['a', 'b'], { maxKeys: 100 });
  pool.get('a');
  for (let i = 0; i < 1000; i++) pool.set('a', `k${i}`, i);
  pool.deliver();
  const before = pool.get('b').replicator.stats.received;
  pool.pass(30_000, 1_000);
  const { received, states, pulls } = pool.get('b').replicator.stats;
  assert.deepEqual([received - before, states, pulls], [0, 0, 0]);
  assert.equal(pool.get('b').store.entries.size, 100);
});

test('clear and invalidated tags reach a node that joins later, and values that come late are void too', () => {
  const pool = new Pool(['a', 'b']);
  const tagged = (node: string, key: string): void => {
    const replica = pool.get(node);
    replica.set(replica.store.space(''), key, key, { ttlMs: Number.POSITIVE_INFINITY, tags: ['t'] });
  };
  tagged('a', 'early');
  pool.collect();
  const late = pool.wire;
  pool.wire = [];
  pool.nowMs += 5;
  const b = pool.get('b');
  b.advance(Date.UTC(2026, 0, 1) + pool.nowMs, pool.nowMs);
  b.invalidate(b.store.space(''), 't');
  pool.deliver();
  pool.add('c');
  pool.meet();
  pool.connect('c', 'b');
  pool.wire.push(...late, ...late.map((message) => ({ ...message, to: 'c' })));
  pool.deliver();
  pool.pass(5_000);
  assert.deepEqual(pool.values('early'), [undefined, undefined, undefined]);
  tagged('c', 'after');
  pool.deliver();
  assert.deepEqual(pool.values('after'), ['after', 'after', 'after']);
});
