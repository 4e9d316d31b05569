import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import type { Member } from '@dcache/serf';
import { HandClock, turn } from '@dcache/testing';
import type { Stranger } from '../peers/peers.js';
import { Meeting } from './meeting.js';

function make() {
  const clock = new HandClock();
  const joined: string[] = [];
  const signals: AbortSignal[] = [];
  const state = { status: 'alive' as Member['status'], join: (): Promise<number> => Promise.resolve(1) };
  const serf = {
    member: (name: string) =>
      name === 'unknown'
        ? undefined
        : ({ address: name === 'v6' ? '::1' : `ip-${name}`, port: 9000, status: state.status } as Member),
    join: (addresses: readonly string[], { signal }: { signal?: AbortSignal } = {}) => {
      joined.push(...addresses);
      signals.push(signal!);
      return state.join();
    },
  };
  const meeting = new Meeting(serf, clock, silentLogger);
  /** The one that was there says who it is, and where its gossip is. */
  const meet = (name: string, told: Partial<Stranger> = {}): void =>
    meeting.meet(name, { host: 'cache-1.local', port: 9000, name, ...told });
  return { clock, joined, signals, state, meeting, meet };
}

test('only who says that it has the name of the member that was there is met', () => {
  const { joined, state, meeting, meet } = make();
  for (const status of ['alive', 'failed'] as const) {
    state.status = status;
    meeting.meet('a', undefined);
    for (const name of ['', 'b', 'A', 'a ']) for (const port of [9000, 9001]) meet('a', { name, port });
    meet('unknown', { name: 'a' });
  }
  assert.deepEqual(joined, []);
  meet('a');
  assert.deepEqual(joined, ['ip-a:9000'], 'and those before do not keep it waiting');
});

test('a node that gossip knows is met there at once, and again after five seconds at the earliest', async () => {
  const { clock, joined, meet } = make();
  for (const name of ['a', 'a', 'v6']) meet(name);
  assert.deepEqual(joined, ['ip-a:9000', '[::1]:9000']);
  await turn();
  clock.pass(4_999);
  meet('a');
  assert.equal(joined.length, 2);
  clock.pass(1);
  meet('a');
  assert.deepEqual(joined.slice(2), ['ip-a:9000']);
});

test('one that tells where its gossip is now is met there, once gossip has given up the member that was elsewhere', () => {
  const { joined, state, meet } = make();
  const told = { port: 9001 };
  meet('a', told);
  assert.deepEqual(joined, [], 'the name would be fought for');
  meet('b');
  meet('unknown', told);
  state.status = 'failed';
  meet('a', told);
  assert.deepEqual(joined, ['ip-b:9000', 'cache-1.local:9001', 'cache-1.local:9001']);
});

test('however many strangers there are, sixteen are met in five seconds', async () => {
  const { clock, joined, meet } = make();
  for (let i = 0; i < 1_000; i++) meet(`n${i}`);
  assert.equal(joined.length, 16);
  await turn();
  assert.equal(clock.pendingTimers, 16);
  clock.pass(5_000);
  assert.equal(clock.pendingTimers, 0);
  for (let i = 0; i < 1_000; i++) meet(`n${i}`);
  assert.equal(joined.length, 32);
});

test('who says nothing is given up after two seconds, and who refuses is no fault', async () => {
  const { clock, signals, state, meet } = make();
  state.join = () => new Promise(() => {});
  meet('silent');
  state.join = () => Promise.reject(new Error('refused'));
  meet('closed');
  await turn();
  clock.pass(1_999);
  assert.equal(signals[0]!.aborted, false);
  clock.pass(1);
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [true, false],
  );
});

test('a stop ends the meetings that are under way, and there are no more', async () => {
  const { clock, joined, signals, state, meeting, meet } = make();
  state.join = () => new Promise(() => {});
  meet('a');
  meeting.stop();
  meet('b');
  assert.deepEqual([joined.length, signals[0]!.aborted, clock.pendingTimers], [1, true, 0]);
});
