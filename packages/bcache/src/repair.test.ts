// What replication promises where clocks are wrong, messages are lost and nodes are away; one test a promise.
import assert from 'node:assert/strict';
import { test } from 'node:test';
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
