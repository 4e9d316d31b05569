import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Awareness, expectedConfirmations, minSuspicionMs, Suspicion, suspicionTimeoutMs } from './lifeguard.js';

test('a suspicion is as long as captured from real agents', () => {
  // Pools of 2 or 3: 4 s flat; n = 4 with two confirmers: 4 s; n = 11 with one of two: 11.85 s.
  for (const n of [2, 3]) {
    assert.equal(expectedConfirmations(4, n), 0);
    assert.equal(suspicionTimeoutMs(0, 0, minSuspicionMs(4, n, 1000), 24_000), 4000);
  }
  assert.equal(expectedConfirmations(4, 4), 2);
  assert.equal(suspicionTimeoutMs(2, 2, minSuspicionMs(4, 4, 1000), 24_000), 4000);
  const min = minSuspicionMs(4, 11, 1000);
  assert.equal(min, 4164);
  assert.equal(Math.round(suspicionTimeoutMs(1, 2, min, 6 * min) / 10) / 100, 11.85);
});

test('each confirmation shortens a suspicion, down to its least (Lifeguard §IV-B)', () => {
  const timeouts = [0, 1, 2, 3, 4].map((confirmations) => suspicionTimeoutMs(confirmations, 4, 5000, 30_000));
  assert.equal(timeouts[0], 30_000);
  assert.equal(timeouts[4], 5000);
  for (let i = 1; i < timeouts.length; i++) assert.ok(timeouts[i]! < timeouts[i - 1]!);
});

test('only a new accuser confirms, and only as many as are expected', () => {
  const suspicion = new Suspicion('a', 0, 2, 1000, 6000);
  assert.equal(suspicion.deadlineMs, 6000);
  assert.equal(suspicion.confirm('a'), false);
  assert.equal(suspicion.confirm('b'), true);
  assert.equal(suspicion.confirm('b'), false);
  assert.equal(suspicion.confirm('c'), true);
  assert.equal(suspicion.confirm('d'), false);
  assert.equal(suspicion.deadlineMs, 1000);
});

test('time in which this process stood still does not count', () => {
  const suspicion = new Suspicion('a', 0, 0, 1000, 6000);
  suspicion.postpone(5000);
  assert.equal(suspicion.deadlineMs, 6000);
});

test('local health stays within its bounds and stretches durations', () => {
  const awareness = new Awareness(8);
  awareness.apply(-3);
  assert.equal(awareness.score, 0);
  assert.equal(awareness.scale(1000), 1000);
  awareness.apply(20);
  assert.equal(awareness.score, 7);
  assert.equal(awareness.scale(1000), 8000);
});
