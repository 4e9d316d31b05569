import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock } from './hand-clock.js';

/** A clock, and what ran on it: names with the moments at which they did. */
function noting(): { clock: HandClock; ran: string[]; note: (name: string) => () => void } {
  const clock = new HandClock(0);
  const ran: string[] = [];
  return { clock, ran, note: (name) => () => void ran.push(`${name} at ${clock.monotonicMs()}`) };
}

test('what becomes due runs at its time and in order, also what is begun on the way', () => {
  const { clock, ran, note } = noting();
  clock.after(30, note('late'));
  clock.after(10, () => clock.after(5, note('begun')));
  clock.every(12, note('often'));
  clock.pass(29);
  assert.deepEqual(ran, ['often at 12', 'begun at 15', 'often at 24']);
  clock.pass(1);
  assert.equal(ran.at(-1), 'late at 30');
  assert.equal(clock.monotonicMs(), 30);
});

test('a timer that is cancelled does not run, also when another cancels it in the same moment', () => {
  for (const move of ['pass', 'pause'] as const) {
    const { clock, ran, note } = noting();
    const cancels: (() => void)[] = [];
    clock.after(10, () => cancels[0]!());
    cancels.push(clock.after(10, note('cancelled')), clock.every(10, note('never')));
    cancels[1]!();
    assert.equal(clock.pendingTimers, 2);
    clock[move](100);
    assert.deepEqual([ran, clock.pendingTimers], [[], 0], move);
  }
});

test('the wall clock goes with the monotonic one, and can be set', () => {
  const clock = new HandClock();
  const wallMs = clock.wallMs();
  clock.pass(10);
  assert.equal(clock.wallMs(), wallMs + 10);
  clock.wallAheadMs -= 3_600_000;
  assert.equal(clock.wallMs(), wallMs + 10 - 3_600_000);
});

test('after a pause each timer that is due runs once and late, and never does time go back', () => {
  const { clock, ran, note } = noting();
  clock.every(10, note('often'));
  clock.after(15, note('once'));
  clock.pause(100);
  assert.deepEqual(ran.splice(0), ['often at 100', 'once at 100']);
  clock.pass(10);
  assert.deepEqual(ran.splice(0), ['often at 110']);
  clock.stand(15);
  clock.pass(0);
  assert.deepEqual(ran, ['often at 125']);
});
