import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock } from '@dcache/testing';
import fc from 'fast-check';
import { LogTime } from './log-time.js';

test('the first stamp of a cluster is the wall clock', () => {
  const clock = new HandClock();
  assert.equal(new LogTime(clock).stamp(), clock.wallMs());
});

test('a stamp grows with monotonic time, and a clock set back an hour never takes it back', () => {
  const clock = new HandClock();
  const time = new LogTime(clock);
  const first = time.stamp();
  clock.pass(1000);
  assert.equal(time.stamp(), first + 1000);
  clock.wallAheadMs -= 3_600_000;
  const before = time.stamp();
  clock.pass(1000);
  const after = time.stamp();
  assert.ok(
    after >= before + 500 && after < before + 1000,
    'it goes on slower than real time until the wall catches up',
  );
});

test('a clock that is set right after a future error is reached again, at half speed', () => {
  const clock = new HandClock();
  clock.wallAheadMs += 100_000;
  const time = new LogTime(clock);
  time.stamp();
  clock.wallAheadMs -= 100_000;
  for (let i = 0; i < 210; i++) {
    clock.pass(1000);
    time.stamp();
  }
  assert.equal(time.stamp(), clock.wallMs());
});

test('a new leader goes on from the stamp it last applied', () => {
  const clock = new HandClock();
  const time = new LogTime(clock);
  time.observe(clock.wallMs() + 60_000);
  assert.equal(time.nowMs(), clock.wallMs() + 60_000);
  clock.pass(100);
  assert.equal(time.nowMs(), clock.wallMs() - 100 + 60_000 + 50);
});

test('stamps never go back, whatever the clocks do, and nowMs changes nothing', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ mono: fc.nat(5000), wall: fc.integer({ min: -1e7, max: 1e7 }), seen: fc.nat(1e6) })),
      (steps) => {
        const clock = new HandClock();
        const time = new LogTime(clock);
        let last = 0;
        for (const step of steps) {
          clock.stand(step.mono);
          clock.wallAheadMs += step.wall - step.mono;
          if (step.seen % 3 === 0) time.observe(last + step.seen);
          const now = time.nowMs();
          assert.equal(time.nowMs(), now);
          const stamp = time.stamp();
          assert.ok(stamp >= last);
          assert.equal(stamp, now);
          last = stamp;
        }
      },
    ),
  );
});
