import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import type { Seeker, SeekOptions } from '@dcache/serf';
import { HandClock, turn } from '@dcache/testing';
import { Joiner } from './joiner.js';

function make(addresses: { host: string; port: number }[]) {
  const clock = new HandClock();
  const said = { warn: [] as string[], info: [] as string[] };
  const state = {
    tries: [] as string[][],
    answer: (): Promise<number> => Promise.resolve(0),
    said: said.warn,
    sought: [] as (readonly string[])[],
    seeksAgain: [] as (boolean | undefined)[],
    searchesStopped: 0,
  };
  const serf = {
    join: (names: readonly string[]) => {
      state.tries.push([...names]);
      return state.answer();
    },
    seek: (names: readonly string[], { again }: SeekOptions = {}) => {
      state.sought.push(names);
      state.seeksAgain.push(again);
      return { start: async () => [], stop: () => state.searchesStopped++, lost: () => {} } as unknown as Seeker;
    },
  };
  const logger = {
    ...silentLogger,
    warn: (fields: object, message: string) => void said.warn.push(`${JSON.stringify(fields)} ${message}`),
    info: (_: object, message: string) => void said.info.push(message),
  };
  return { clock, state, said, joiner: new Joiner(serf, addresses, clock, logger) };
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

test('once somebody has answered, each that is not there or leaves is looked for by itself, until a stop', async () => {
  const { state, joiner } = make(two);
  state.answer = () => Promise.resolve(1);
  joiner.start();
  await turn();
  assert.deepEqual(state.sought, [['127.0.0.1:9000', '[::1]:9001']]);
  assert.deepEqual(state.seeksAgain, [true]);
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

test('an address that says nothing at all holds up neither the next try nor a decision', async () => {
  const { clock, state, joiner } = make(two);
  state.answer = () => new Promise(() => {});
  const decision = joiner.tryOnce(3_000, true);
  clock.pass(3_000);
  assert.equal(await decision, false);
  assert.deepEqual(state.said, []);
  joiner.start();
  clock.pass(5_000);
  await turn();
  assert.match(state.said[0]!, /nobody answers at .* \(no answer within 5 s\)$/);
  clock.pass(500);
  assert.equal(state.tries.length, 3);
  joiner.stop();
  await turn();
  assert.equal(clock.pendingTimers, 0);
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

test('each fault is said once, in one line with true times, and so is that somebody answers at last', async () => {
  const { clock, state, said, joiner } = make(two);
  const faults = ['127.0.0.1:9000: connect ECONNREFUSED', '127.0.0.1:9000: connect EHOSTUNREACH'];
  state.answer = () => Promise.reject(new Error(`no address answered: ${faults[state.tries.length > 4 ? 1 : 0]}`));
  joiner.start();
  for (let i = 0; i < 10; i++) {
    await turn();
    clock.pass(5_000);
  }
  await turn();
  assert.ok(state.tries.length > 8, 'and all were tried');
  const line = (fault: string): string =>
    `{} nobody answers at 127.0.0.1:9000, [::1]:9001; trying again, first after 0.5 s, at last every 5 s (${fault})`;
  assert.deepEqual(said.warn, faults.map(line));
  assert.equal(joiner.fault, faults[1]);
  assert.deepEqual(said.info, []);
  state.answer = () => Promise.resolve(1);
  clock.pass(5_000);
  await turn();
  assert.deepEqual(said.info, ['somebody answers at 127.0.0.1:9000, [::1]:9001']);
  assert.equal(joiner.fault, undefined);
});

test('a stream that is closed without an answer comes with what is likely behind it', async () => {
  const { state, said, joiner } = make(two);
  state.answer = () => Promise.reject(new Error('127.0.0.1:9000 closed the stream without an answer'));
  await joiner.tryOnce();
  assert.match(said.warn[0]!, /takes the port of the other's --addr, not its --rpc-port, and the same --encrypt key/);
});

test('faults that are always new are not said for ever', async () => {
  const { clock, state, said, joiner } = make(two);
  state.answer = () => Promise.reject(new Error(`fault ${state.tries.length}`));
  joiner.start();
  for (let i = 0; i < 40; i++) {
    await turn();
    clock.pass(5_000);
  }
  assert.equal(said.warn.length, 8);
});
