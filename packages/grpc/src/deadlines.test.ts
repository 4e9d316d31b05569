import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { HandClock } from '@dcache/testing';
import { type Dated, Deadlines } from './deadlines.js';

/** A clock that notes for how long it was asked to wait. */
class NotingClock extends HandClock {
  readonly delays: number[] = [];

  override after(delayMs: number, run: () => void): () => void {
    this.delays.push(delayMs);
    return super.after(delayMs, run);
  }
}

function make() {
  const clock = new NotingClock();
  const deadlines = new Deadlines(clock);
  const expired: string[] = [];
  const add = (name: string, inMs: number): Dated => {
    const dated = { deadlineMs: clock.monotonicMs() + inMs, expire: () => void expired.push(name) };
    deadlines.add(dated, clock.monotonicMs());
    return dated;
  };
  return { clock, deadlines, expired, add };
}

test('each expires at its time, however they came, on one timer', () => {
  const { clock, deadlines, expired, add } = make();
  add('late', 300);
  add('early', 100);
  add('between', 200);
  add('with it', 200);
  assert.equal(clock.pendingTimers, 1);
  clock.pass(99);
  assert.deepEqual(expired, []);
  clock.pass(1);
  assert.deepEqual(expired, ['early']);
  clock.pass(100);
  assert.deepEqual(expired, ['early', 'between', 'with it']);
  clock.pass(100);
  assert.equal(expired.length, 4);
  assert.deepEqual([clock.pendingTimers, deadlines.size], [0, 0]);
});

test('what was answered in time does not expire, and many that are cost no timers', () => {
  const { clock, deadlines, expired, add } = make();
  for (let i = 0; i < 1_000; i++) {
    deadlines.delete(add('answered', 5_000));
    clock.pass(1);
  }
  assert.equal(clock.delays.length, 1);
  add('left', 5_000);
  clock.pass(4_999);
  assert.deepEqual(expired, []);
  clock.pass(1);
  assert.deepEqual(expired, ['left']);
  assert.equal(clock.pendingTimers, 0);
});

test('a time beyond what a timer takes is waited for in parts', () => {
  const { clock, expired, add } = make();
  add('in 40 days', 40 * 86_400_000);
  assert.ok(clock.delays.every((ms) => ms <= 2 ** 31 - 1));
  clock.pass(2 ** 31 - 1);
  assert.deepEqual(expired, []);
  clock.pass(40 * 86_400_000 - 2 ** 31 + 1);
  assert.deepEqual(expired, ['in 40 days']);
  assert.ok(clock.delays.every((ms) => ms <= 2 ** 31 - 1));
});

test('after the end nothing expires, and no timer is left', () => {
  const { clock, deadlines, expired, add } = make();
  add('a', 10);
  deadlines.close();
  assert.equal(clock.pendingTimers, 0);
  clock.pass(100);
  assert.deepEqual(expired, []);
});

test('in any order of coming, going and time, exactly those expire that were left when their time came', () => {
  const random = new SeededRandom(5);
  const { clock, deadlines } = make();
  const open = new Set<Dated>();
  let early = 0;
  for (let i = 0; i < 5_000; i++) {
    const what = random.below(3);
    if (what === 0) {
      const dated: Dated = {
        deadlineMs: clock.monotonicMs() + 1 + random.below(500),
        expire: () => {
          if (dated.deadlineMs > clock.monotonicMs() || !open.delete(dated)) early++;
        },
      };
      open.add(dated);
      deadlines.add(dated, clock.monotonicMs());
    } else if (what === 1) {
      const [first] = open;
      if (first) {
        open.delete(first);
        deadlines.delete(first);
      }
    } else {
      clock.pass(random.below(50));
      for (const dated of open) assert.ok(dated.deadlineMs > clock.monotonicMs(), 'it is late');
    }
  }
  assert.equal(early, 0);
  assert.equal(deadlines.size, open.size);
});
