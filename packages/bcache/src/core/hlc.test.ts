import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HybridClock, msOf, stampOf } from './hlc.js';

const start = Date.UTC(2026, 0, 1);

test('stamps rise, within a millisecond and when the wall clock goes back', () => {
  const clock = new HybridClock();
  let last = 0;
  for (const wallMs of [start, start, start + 1, start - 10_000, start + 2]) {
    clock.advance(wallMs, 0);
    for (let i = 0; i < 5000; i++) {
      const stamp = clock.stamp();
      assert.ok(stamp > last);
      last = stamp;
    }
  }
});

test('a stamp is above every stamp seen', () => {
  const clock = new HybridClock();
  clock.advance(start, 0);
  const seen = stampOf(start + 400) + 7;
  clock.observe(seen);
  assert.equal(clock.stamp(), seen + 1);
});

test('a stamp tells its millisecond, until 2089', () => {
  for (const ms of [start, Date.UTC(2089, 0, 1)]) {
    assert.equal(msOf(stampOf(ms)), ms);
    assert.ok(Number.isSafeInteger(stampOf(ms)));
  }
});

test('a correction holds the clock back until the wall clock is set', () => {
  const clock = new HybridClock();
  clock.advance(start, 1000);
  clock.correct(60_000);
  assert.equal(clock.nowMs, start - 60_000);
  clock.advance(start + 100, 1100);
  assert.equal(clock.nowMs, start + 100 - 60_000);
  // Someone set the wall clock right: the correction measured the wrong one.
  clock.advance(start + 200 - 60_000, 1200);
  assert.equal(clock.nowMs, start + 200 - 60_000);
});
