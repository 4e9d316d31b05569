import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from './engine.js';
import { seededHash } from './hash.js';

const limits = { maxBytes: 100_000, eviction: 'sieve', maxKeyBytes: 100, maxValueBytes: 50_000 } as const;

function filled(): Engine {
  const engine = new Engine({ ...limits }, { hash: seededHash(1), seed: 1, segmentBytes: 4096 });
  for (let i = 0; i < 40; i++) engine.set(Uint8Array.of(i), new Uint8Array(200 + i), i, i % 2 === 0 ? 1000 : 0, i);
  return engine;
}

test('a write for which the process has no memory throws and leaves the state as it was', () => {
  const engine = filled();
  const before = { hash: engine.stateHash(), liveBytes: engine.liveBytes, count: engine.entries.count };
  const reserve = engine.arena.reserve.bind(engine.arena);
  engine.arena.reserve = () => {
    throw new RangeError('Array buffer allocation failed');
  };
  const writes: [key: number, bytes: number][] = [
    [3, 5000],
    [4, 203],
    [99, 10],
  ];
  for (const [key, bytes] of writes)
    assert.throws(() => engine.set(Uint8Array.of(key), new Uint8Array(bytes), 50, 2000, 0), RangeError);
  // An overwrite touches its key before it is known that there is no room for it.
  engine.entries.setTouches(engine.find(Uint8Array.of(3)), 0);
  engine.entries.setTouches(engine.find(Uint8Array.of(4)), 0);
  assert.deepEqual({ hash: engine.stateHash(), liveBytes: engine.liveBytes, count: engine.entries.count }, before);
  engine.arena.reserve = reserve;
  // And it goes on like one that never ran out.
  const other = filled();
  for (const each of [engine, other]) {
    for (let i = 0; i < 60; i++) each.set(Uint8Array.of(i), new Uint8Array(300 - i), 100 + i, 1500 + i, 0);
    each.advance(1520, 10);
  }
  assert.equal(engine.stateHash(), other.stateHash());
});
