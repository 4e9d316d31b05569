// What replication promises where clocks are wrong, messages are lost and nodes are away; one test a promise.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageType } from './core/message.js';
import { Pool } from './testing/pool.js';

test('a newcomer whose clock is slow is given all of a state, of whichever origins its records are', () => {
  const pool = new Pool(['a', 'c', 'd']);
  for (const name of ['a', 'c', 'd']) pool.set(name, `of ${name}`, name);
  pool.deliver();
  pool.skewMs.set('b', -10_000);
  pool.add('b');
  pool.meet();
  // The donor alone reaches it: what its state does not bring nobody does.
  pool.loses = (from, to) => [from, to].includes('b') && ![from, to].includes('a');
  pool.connect('b', 'a');
  pool.deliver();
  pool.pass(10_000);
  for (const name of ['a', 'c', 'd']) assert.deepEqual(pool.values(`of ${name}`), [name, name, name, name]);
  assert.ok(pool.get('b').replicator.stats.refused > 0);
});

test('a value whose tag was invalidated on the other side of a long partition does not come back', () => {
  const pool = new Pool(['a', 'b', 'c', 'd'], { deletionDelayMs: 10_000 });
  pool.pass(2_000);
  // Two and two: nobody is alone, so that nobody takes itself for one who was away.
  const isLeft = (name: string): boolean => name === 'a' || name === 'b';
  pool.loses = (from, to) => isLeft(from) !== isLeft(to);
  const [a, d] = [pool.get('a'), pool.get('d')];
  a.set(a.store.space(''), 'k', 1, { ttlMs: Number.POSITIVE_INFINITY, tags: ['t'] });
  pool.deliver();
  pool.pass(1_000);
  d.invalidate(d.store.space(''), 't');
  pool.pass(60_000, 500);
  assert.equal(pool.get('c').store.tombstones, 0);
  assert.deepEqual(pool.values('k'), [1, 1, undefined, undefined]);
  pool.loses = () => false;
  pool.pass(10_000);
  assert.deepEqual(pool.values('k'), [undefined, undefined, undefined, undefined]);
});

test('a valid record that a void one hid is there in the end, though the void one is gone', () => {
  const pool = new Pool(['a', 'b', 'c', 'd']);
  pool.pass(2_000);
  // c's clock is 3 s ahead, and so is b's, which takes what c writes; a and d do not.
  pool.skewMs.set('b', 3_000);
  pool.skewMs.set('c', 3_000);
  pool.loses = (from, to) => [from, to].sort().join('') !== 'bc';
  pool.set('c', 'k', 'void', 500);
  pool.deliver();
  // b holds what is void: for it a's is older.
  pool.loses = (from, to) => from !== 'a' || to === 'c';
  pool.set('a', 'k', 'valid');
  pool.deliver();
  assert.deepEqual(pool.values('k'), ['valid', 'void', 'void', 'valid']);
  // It expires before anybody knows that it is void; then all hear of each other.
  pool.loses = () => true;
  pool.pass(1_000);
  assert.deepEqual(pool.values('k'), ['valid', undefined, undefined, 'valid']);
  pool.loses = () => false;
  pool.pass(20_000);
  const values = pool.values('k');
  assert.equal(new Set(values).size, 1, String(values));
});

test('a node that was paused for longer than deletions are kept sends nothing before it has taken a full state', () => {
  const pool = new Pool(['a', 'b', 'c'], { deletionDelayMs: 10_000 });
  pool.set('a', 'k', 'deleted meanwhile');
  pool.deliver();
  pool.pass(3_000);
  pool.paused.add('c');
  pool.nowMs += 100;
  pool.delete('a', 'k');
  pool.deliver();
  pool.pass(60_000, 500);
  assert.equal(pool.get('a').store.tombstones, 0);
  // It wakes and writes at once; what waited in its sockets is lost with them.
  pool.wire = [];
  pool.paused.delete('c');
  pool.set('c', 'written at once', 1);
  pool.collect();
  const updates = pool.wire.filter(({ from, bytes }) => from === 'c' && bytes[0] === MessageType.updates);
  assert.equal(updates.length, 0);
  assert.equal(pool.get('c').replicator.isSyncing, true);
  pool.deliver();
  pool.pass(5_000);
  assert.deepEqual(pool.values('k'), [undefined, undefined, undefined]);
  assert.deepEqual(pool.values('written at once'), [1, 1, 1]);
  assert.equal(pool.get('c').replicator.isSyncing, false);
});

test('what a newcomer has to pull goes on while others write, and none of it is missing', () => {
  const pool = new Pool(['a', 'b'], { maxKeys: 20_000, logBytes: 20_000 });
  for (let i = 0; i < 3_000; i++) pool.set('a', `k${i}`, i);
  pool.deliver();
  pool.add('c', { maxKeys: 20_000, logBytes: 20_000 });
  pool.meet();
  pool.connect('c', 'a');
  // Every few messages of the state somebody writes, deletes or overwrites.
  for (let round = 0; pool.wire.length > 0 && round < 500; round++) {
    const [message, ...rest] = pool.wire;
    pool.wire = rest;
    pool.get(message!.to).replicator.step(message!.from, message!.bytes);
    pool.set('b', `k${round * 7}`, 'overwritten');
    pool.delete('a', `k${round * 11 + 1}`);
    pool.collect();
  }
  pool.deliver();
  pool.pass(5_000);
  const held = (name: string): string[] => {
    const { store } = pool.get(name);
    return [...store.entries.keysOf(store.space(''))]
      .map((key) => `${key} ${store.entries.valueAt(store.entries.find(store.space(''), key))}`)
      .sort();
  };
  assert.ok(held('a').length > 1_000);
  assert.deepEqual(held('c'), held('a'));
  assert.deepEqual(held('b'), held('a'));
});

test('nodes that come and go leave nothing behind after deletionDelay', () => {
  const pool = new Pool(['a', 'b'], { deletionDelayMs: 5_000 });
  for (let i = 0; i < 30; i++) {
    const name = `guest${i}`;
    pool.add(name, { deletionDelayMs: 5_000, incarnation: 100 + i });
    pool.meet();
    pool.connect(name, 'a');
    pool.deliver();
    pool.set(name, `of ${name}`, i);
    pool.deliver();
    pool.replicas.delete(name);
    pool.meet();
  }
  assert.ok(pool.get('a').replicator.origins > 30);
  pool.pass(15_000, 500);
  for (const name of ['a', 'b']) assert.ok(pool.get(name).replicator.origins <= 2, name);
  assert.deepEqual(pool.values('of guest7'), [7, 7]);
});

test('a value that comes with the end of a lease is taken like any other: not where it is void or too far ahead', () => {
  const pool = new Pool(['a', 'b']);
  pool.skewMs.set('a', 60_000);
  pool.set('a', 'k', 'from the future');
  const [a, b] = [pool.get('a'), pool.get('b')];
  b.replicator.takeAside(a.store.recordOf(a.store.space(''), 'k')!);
  assert.equal(pool.values('k')[1], undefined);
  pool.deliver();
  pool.pass(5_000);
  assert.deepEqual(pool.values('k'), ['from the future', 'from the future']);
});
