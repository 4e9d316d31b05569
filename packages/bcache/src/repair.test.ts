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
