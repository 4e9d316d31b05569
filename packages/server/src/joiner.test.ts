import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import type { Seeker } from '@dcache/serf';
import { HandClock, turn } from './hand-clock.test.helper.js';
import { Joiner } from './joiner.js';

function make(addresses: { host: string; port: number }[]) {
  const clock = new HandClock();
  const state = {
    tries: [] as string[][],
    answer: (): Promise<number> => Promise.resolve(0),
    said: [] as string[],
    sought: [] as (readonly string[])[],
    searchesStopped: 0,
  };
  const serf = {
    join: (names: readonly string[]) => {
      state.tries.push([...names]);
      return state.answer();
    },
    seek: (names: readonly string[]) => {
      state.sought.push(names);
      return { start: async () => [], stop: () => state.searchesStopped++, lost: () => {} } as unknown as Seeker;
    },
  };
  const logger = { ...silentLogger, warn: (_: object, message: string) => void state.said.push(message) };
  return { clock, state, joiner: new Joiner(serf, addresses, clock, logger) };
}

const two = [
  { host: '127.0.0.1', port: 9000 },
  { host: '::1', port: 9001 },
];
const nobody = (): Promise<number> => Promise.reject(new Error('connection refused'));

test('without addresses nothing is tried', async () => {
  const { clock, state, joiner } = make([]);
  assert.equal(await joiner.tryOnce(), false);
  joiner.start();
  await turn();
  assert.deepEqual(state.tries, []);
  assert.equal(clock.pendingTimers, 0);
});

test('all addresses are tried together until somebody answers, with pauses from half a second to five', async () => {
  const { clock, state, joiner } = make(two);
  state.answer = nobody;
  joiner.start();
  const pauses: number[] = [];
  for (let i = 0; i < 6; i++) {
    const before = state.tries.length;
    await turn();
    let pauseMs = 0;
    while (state.tries.length === before) {
      clock.pass(100);
      pauseMs += 100;
    }
    pauses.push(pauseMs);
  }
  assert.deepEqual(pauses, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
  assert.deepEqual(state.tries[0], ['127.0.0.1:9000', '[::1]:9001']);
  assert.match(state.said[0]!, /nobody answers at 127\.0\.0\.1:9000, \[::1\]:9001; trying again/);
  state.answer = () => Promise.resolve(1);
  clock.pass(5_000);
  await turn();
  const { length } = state.tries;
  await turn();
  clock.pass(60_000);
  await turn();
  // The try before this one failed; the one after it was answered, and then there are no more.
  assert.ok(state.tries.length <= length + 1);
  assert.equal(clock.pendingTimers, 0);
});

test('once somebody has answered, those that did not are looked for by themselves, until a stop', async () => {
  const { state, joiner } = make(two);
  state.answer = () => Promise.resolve(1);
  joiner.start();
  await turn();
  assert.deepEqual(state.sought, [['127.0.0.1:9000', '[::1]:9001']]);
  assert.equal(state.searchesStopped, 0);
  joiner.stop();
  assert.equal(state.searchesStopped, 1);
});

test('a pool that nobody is in counts as nobody', async () => {
  const { state, joiner } = make(two);
  state.answer = () => Promise.resolve(0);
  assert.equal(await joiner.tryOnce(), false);
  state.answer = () => Promise.resolve(1);
  assert.equal(await joiner.tryOnce(), true);
});

test('after a stop nothing is tried and nothing is said, also by a try that was under way', async () => {
  const { clock, state, joiner } = make(two);
  let fail: (error: Error) => void = () => {};
  state.answer = () =>
    new Promise((_, reject) => {
      fail = reject;
    });
  joiner.start();
  await turn();
  joiner.stop();
  fail(new Error('stopped'));
  await turn();
  clock.pass(60_000);
  await turn();
  assert.equal(state.tries.length, 1);
  assert.deepEqual(state.said, []);
  assert.equal(clock.pendingTimers, 0);
});
