import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Batch, UpdateLog } from './log.js';
import { Positions } from './positions.js';

const batch = (origin: string, first: number, count: number, bytes = 10): Batch => ({
  origin,
  first,
  count,
  bytes: new Uint8Array(bytes),
  runAt: 0,
});

test('a range is found whatever the order in which batches came', () => {
  const log = new UpdateLog(1e6);
  for (const first of [7, 1, 4, 10]) log.add(batch('a/1', first, 3));
  log.add(batch('a/1', 4, 3));
  assert.deepEqual(
    log.range('a/1', 5, 10, 1e6).map((b) => b.first),
    [4, 7, 10],
  );
  assert.equal(log.reach('a/1', 12), 1);
  assert.deepEqual(log.range('b/1', 1, 9, 1e6), []);
});

test('past its bound the log drops what came first, and says how far it reaches', () => {
  const log = new UpdateLog(10 * (1000 + 128));
  for (let i = 0; i < 5000; i++) log.add(batch('a/1', 1 + i * 2, 2, 1000));
  assert.ok(log.bytes <= 10 * 1128);
  assert.equal(log.reach('a/1', 10_000), 10_000 - 20 + 1);
  assert.equal(log.range('a/1', 1, 5, 1e6).length, 0);
});

test('a hole in the log is not reached over', () => {
  const log = new UpdateLog(1e6);
  log.add(batch('a/1', 1, 2));
  log.add(batch('a/1', 5, 2));
  assert.equal(log.reach('a/1', 6), 5);
});

test('an answer is bounded in bytes, but is never empty', () => {
  const log = new UpdateLog(1e6);
  for (let i = 0; i < 10; i++) log.add(batch('a/1', 1 + i, 1, 1000));
  assert.equal(log.range('a/1', 1, 10, 2500).length, 2);
  assert.equal(log.range('a/1', 1, 10, 1).length, 1);
});

test('numbers that come early are kept until the gap is filled', () => {
  const positions = new Positions();
  const a = positions.get('a/1');
  assert.equal(positions.mark(a, 1, 10), true);
  assert.equal(positions.mark(a, 4, 40), true);
  assert.equal(positions.mark(a, 4, 40), false);
  assert.deepEqual([a.seen, a.dot, a.latest], [1, 10, 4]);
  positions.mark(a, 2, 20);
  positions.mark(a, 3, 30);
  assert.deepEqual([a.seen, a.dot, a.early.size], [4, 40, 0]);
  assert.equal(positions.hasSeen('a/1', 40), true);
  assert.equal(positions.hasSeen('a/1', 41), false);
});

test('origins that are gone leave an epitaph; epitaphs are bounded', () => {
  const positions = new Positions(3);
  for (let i = 0; i < 5; i++) {
    const origin = `n${i}/1`;
    positions.mark(positions.get(origin), 1, 10);
    positions.bury(origin);
  }
  assert.equal(positions.size, 0);
  assert.equal(positions.hasSeen('n4/1', 10), true);
  assert.equal(positions.hasSeen('n0/1', 10), false);
  assert.equal(positions.get('n4/1').seen, 1);
});
