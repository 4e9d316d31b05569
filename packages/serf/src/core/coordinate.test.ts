import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { CoordinateClient, estimateRttSeconds } from './coordinate.js';
import type { Coordinate } from './message.js';

const origin: Coordinate = { vec: [0, 0, 0, 0, 0, 0, 0, 0], error: 1.5, adjustment: 0, height: 1e-5 };

test('it starts at the origin, where the agents start', () => {
  assert.deepEqual(new CoordinateClient(new SeededRandom(1)).own, origin);
});

test('members find places whose distances are their round trips (Vivaldi §4)', () => {
  // Three data centres: 2 ms within, 40, 60 and 80 ms between.
  const between = [
    [0.002, 0.04, 0.06],
    [0.04, 0.002, 0.08],
    [0.06, 0.08, 0.002],
  ];
  const random = new SeededRandom(4);
  const members = Array.from({ length: 12 }, () => new CoordinateClient(random));
  for (let round = 0; round < 4000; round++) {
    const [a, b] = [random.below(12), random.below(12)];
    if (a === b) continue;
    const rtt = between[a % 3]![b % 3]! * (0.95 + 0.1 * random.next());
    members[a]!.update(`m${b}`, members[b]!.own, rtt);
  }
  let worst = 0;
  for (let a = 0; a < 12; a++)
    for (let b = 0; b < 12; b++) {
      const rtt = between[a % 3]![b % 3]!;
      if (a === b || rtt < 0.01) continue;
      worst = Math.max(worst, Math.abs(estimateRttSeconds(members[a]!.own, members[b]!.own) - rtt) / rtt);
    }
  assert.ok(worst < 0.25, `the worst estimate is ${Math.round(worst * 100)} % off`);
});

test('one slow sample of three changes nothing much', () => {
  const steady = new CoordinateClient(new SeededRandom(1));
  const jumpy = new CoordinateClient(new SeededRandom(1));
  for (let i = 0; i < 30; i++) {
    steady.update('a', origin, 0.01);
    jumpy.update('a', origin, i % 3 === 2 ? 1 : 0.01);
  }
  const [one, other] = [steady, jumpy].map((client) => estimateRttSeconds(client.own, origin));
  assert.ok(Math.abs(one! - other!) < 0.005, `${one} and ${other}`);
});

test('coordinates and times that make no sense are refused', () => {
  const client = new CoordinateClient(new SeededRandom(1));
  assert.equal(client.update('a', { ...origin, vec: [1, 2] }, 0.01), false);
  assert.equal(client.update('a', { ...origin, height: Number.NaN }, 0.01), false);
  assert.equal(client.update('a', { ...origin, vec: [...origin.vec.slice(1), Number.POSITIVE_INFINITY] }, 0.01), false);
  for (const rtt of [-1, 11, Number.NaN]) assert.equal(client.update('a', origin, rtt), false);
  assert.deepEqual(client.own, origin);
  assert.equal(client.update('a', { ...origin, vec: origin.vec.map(() => 1e308) }, 0.01), true);
  assert.ok(client.own.vec.every(Number.isFinite), 'what overflows starts anew');
});
