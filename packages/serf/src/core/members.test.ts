import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { newRecord } from './claims.js';
import { pushPullScale } from './gossip.js';
import { MemberTable } from './members.js';
import { Timers } from './timers.js';

function table(size: number): MemberTable {
  const members = new MemberTable(new SeededRandom(3));
  for (let i = 0; i < size; i++) members.add(newRecord(`m${i}`, 0));
  return members;
}

test('a draw takes different members, all alike often, and misses none that fits', () => {
  const members = table(10);
  const drawn = new Map<string, number>();
  for (let i = 0; i < 3000; i++) {
    const names = members.draw(3, (record) => record.name !== 'm0').map((record) => record.name);
    assert.equal(new Set(names).size, 3);
    for (const name of names) drawn.set(name, (drawn.get(name) ?? 0) + 1);
  }
  assert.equal(drawn.has('m0'), false);
  for (const count of drawn.values()) assert.ok(count > 850 && count < 1150, `${count} of about 1000`);
  assert.deepEqual(
    members.draw(5, (record) => record.name === 'm7').map((record) => record.name),
    ['m7'],
  );
});

test('every member is probed once in a round, in another order each round', () => {
  const members = table(8);
  const rounds = Array.from({ length: 3 }, () =>
    Array.from(
      { length: 8 },
      () =>
        members.nextToProbe(
          () => true,
          () => {},
        )!.name,
    ),
  );
  // The first round begins where members were put in at random; from the second on each is a whole one.
  for (const round of rounds.slice(1)) assert.equal(new Set(round).size, 8);
  assert.notDeepEqual(rounds[1], rounds[2]);
  assert.equal(
    members.nextToProbe(
      () => false,
      () => {},
    ),
    undefined,
  );
});

test('a removed member is in no order any more', () => {
  const members = table(5);
  members.remove((record) => record.name === 'm2');
  assert.equal(members.size, 4);
  assert.equal(members.draw(10, () => true).length, 4);
  const names = Array.from(
    { length: 12 },
    () =>
      members.nextToProbe(
        () => true,
        () => {},
      )!.name,
  );
  assert.equal(names.includes('m2'), false);
});

test('push/pulls become rarer in pools above 32', () => {
  for (const [n, scale] of [
    [2, 1],
    [32, 1],
    [33, 2],
    [64, 2],
    [65, 3],
    [128, 3],
    [129, 4],
  ] as const)
    assert.equal(pushPullScale(n), scale, `${n}`);
});

test('timers run in order of time, then of scheduling, and not when cancelled', () => {
  const timers = new Timers();
  const ran: string[] = [];
  timers.at(30, () => ran.push('c'));
  timers.at(10, () => {
    ran.push('a');
    timers.at(20, () => ran.push('late'));
  });
  timers.at(20, () => ran.push('b'));
  timers.cancel(timers.at(15, () => ran.push('never')));
  assert.equal(timers.nextMs, 10);
  timers.run(5);
  assert.deepEqual(ran, []);
  timers.run(25);
  assert.deepEqual(ran, ['a', 'b', 'late']);
  timers.run(30);
  assert.deepEqual(ran, ['a', 'b', 'late', 'c']);
  assert.equal(timers.nextMs, Number.POSITIVE_INFINITY);
});

test('cancelled timers do not pile up, and the others stay in order', () => {
  const timers = new Timers();
  const ran: number[] = [];
  for (let i = 0; i < 10_000; i++) {
    const timer = timers.at(1_000_000 - i, () => ran.push(-1));
    if (i % 100 === 0) timers.at(i, () => ran.push(i));
    timers.cancel(timer);
    timers.cancel(timer);
  }
  assert.ok(timers.size < 1000, `${timers.size} are kept`);
  timers.run(2_000_000);
  assert.deepEqual(
    ran,
    Array.from({ length: 100 }, (_, i) => 100 * i),
  );
  assert.equal(timers.size, 0);
});

test('many timers come out sorted', () => {
  const timers = new Timers();
  const random = new SeededRandom(1);
  const ran: number[] = [];
  for (let i = 0; i < 1000; i++) {
    const atMs = random.below(500);
    timers.at(atMs, () => ran.push(atMs));
  }
  timers.run(500);
  assert.deepEqual(
    ran,
    ran.toSorted((a, b) => a - b),
  );
  assert.equal(ran.length, 1000);
});
