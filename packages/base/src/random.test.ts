import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from './random.js';

test('one seed gives one sequence, another seed another', () => {
  const draw = (seed: number): number[] => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 20 }, () => random.below(1_000_000));
  };
  assert.deepEqual(draw(7), draw(7));
  assert.notDeepEqual(draw(7), draw(8));
});

test('draws fall evenly into their range', () => {
  const random = new SeededRandom(1);
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) counts[random.below(10)]!++;
  for (const count of counts) assert.ok(count > 9_500 && count < 10_500, `${counts}`);
});

test('a draw is at least 0 and below 1', () => {
  const random = new SeededRandom(-3);
  for (let i = 0; i < 10_000; i++) {
    const value = random.next();
    assert.ok(value >= 0 && value < 1);
  }
});
