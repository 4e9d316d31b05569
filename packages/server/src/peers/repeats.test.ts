import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock } from '@dcache/testing';
import { Repeats, repeatAfterMs } from './repeats.js';

test('a line is said once a minute, another at once', () => {
  const clock = new HandClock();
  const repeats = new Repeats(clock);
  assert.equal(repeats.isNew('a'), true);
  assert.equal(repeats.isNew('b'), true);
  clock.pass(repeatAfterMs - 1);
  assert.equal(repeats.isNew('a'), false);
  clock.pass(1);
  assert.equal(repeats.isNew('a'), true);
  assert.equal(repeats.isNew('a'), false, 'it was said again just now');
});

test('of lines that differ each time 64 a minute are said', () => {
  const clock = new HandClock();
  const repeats = new Repeats(clock);
  const said = (from: number): number =>
    Array.from({ length: 1_000 }, (_, i) => repeats.isNew(`line ${from + i}`)).filter((isNew) => isNew).length;
  assert.equal(said(0), 64);
  clock.pass(repeatAfterMs - 1);
  assert.equal(said(1_000), 0);
  clock.pass(1);
  assert.equal(said(2_000), 64);
});
