import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import type { Member } from '@dcache/serf';
import { HandClock, turn } from '@dcache/testing';
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
  return { clock, joined, signals, state, meeting: new Meeting(serf, clock, silentLogger) };
}

test('a node that gossip knows is met there at once, and again after five seconds at the earliest', async () => {
  const { clock, joined, meeting } = make();
  for (const name of ['a', 'a', 'v6', 'unknown']) meeting.meet(name);
  assert.deepEqual(joined, ['ip-a:9000', '[::1]:9000']);
  await turn();
  clock.pass(4_999);
  meeting.meet('a');
  assert.equal(joined.length, 2);
  clock.pass(1);
  meeting.meet('a');
  assert.deepEqual(joined.slice(2), ['ip-a:9000']);
});

test('one that tells where its gossip is now is met there, once gossip has given up the member that was elsewhere', () => {
  const { joined, state, meeting } = make();
  const told = { host: 'cache-1.local', port: 9001 };
  meeting.meet('a', told);
  assert.deepEqual(joined, [], 'the name would be fought for');
  meeting.meet('b', { ...told, port: 9000 });
  meeting.meet('unknown', told);
  state.status = 'failed';
  meeting.meet('a', told);
  assert.deepEqual(joined, ['ip-b:9000', 'cache-1.local:9001', 'cache-1.local:9001']);
});

test('however many strangers there are, sixteen are met in five seconds', async () => {
  const { clock, joined, meeting } = make();
  for (let i = 0; i < 1_000; i++) meeting.meet(`n${i}`);
  assert.equal(joined.length, 16);
  await turn();
  assert.equal(clock.pendingTimers, 16);
  clock.pass(5_000);
  assert.equal(clock.pendingTimers, 0);
  for (let i = 0; i < 1_000; i++) meeting.meet(`n${i}`);
  assert.equal(joined.length, 32);
});

test('who says nothing is given up after two seconds, and who refuses is no fault', async () => {
  const { clock, signals, state, meeting } = make();
  state.join = () => new Promise(() => {});
  meeting.meet('silent');
  state.join = () => Promise.reject(new Error('refused'));
  meeting.meet('closed');
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
  const { clock, joined, signals, state, meeting } = make();
  state.join = () => new Promise(() => {});
  meeting.meet('a');
  meeting.stop();
  meeting.meet('b');
  assert.deepEqual([joined.length, signals[0]!.aborted, clock.pendingTimers], [1, true, 0]);
});
