import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import type { Seeker, SeekOptions } from '@dcache/serf';
import { HandClock, turn } from '@dcache/testing';
import { Joiner } from './joiner.js';

const [a, b] = ['127.0.0.1:9000', '[::1]:9001'];

function make(addresses: { host: string; port: number }[]) {
  const clock = new HandClock();
  const said = { warn: [] as string[], info: [] as string[] };
  const searches: { addresses: readonly string[]; options: SeekOptions; isStarted: boolean; isStopped: boolean }[] = [];
  const serf = {
    seek: (names: readonly string[], options: SeekOptions = {}) => {
      const search = { addresses: names, options, isStarted: false, isStopped: false };
      searches.push(search);
      return {
        start: async () => {
          search.isStarted = true;
          return [];
        },
        stop: () => {
          search.isStopped = true;
        },
      } as unknown as Seeker;
    },
  };
  const logger = {
    ...silentLogger,
    warn: (fields: object, message: string) => void said.warn.push(`${JSON.stringify(fields)} ${message}`),
    info: (fields: object, message: string) => void said.info.push(`${JSON.stringify(fields)} ${message}`),
  };
  return {
    ...{ clock, said, searches, joiner: new Joiner(serf, addresses, clock, logger) },
    fail: (address: string, fault: string) => searches[0]!.options.onFault!(address, fault),
    find: (address: string, who: 'other' | 'self' = 'other') => searches[0]!.options.onFound!(address, who),
  };
}

const two = [
  { host: '127.0.0.1', port: 9000 },
  { host: '::1', port: 9001 },
];

test('without addresses nobody is looked for, and nobody answers', async () => {
  const { clock, searches, joiner } = make([]);
  joiner.start();
  const decision = joiner.answers(300);
  clock.pass(300);
  assert.equal(await decision, false);
  assert.deepEqual([searches, clock.pendingTimers], [[], 0]);
});

test('all addresses are looked for by one search that ends with a stop, with pauses from half a second to five', async () => {
  const { searches, joiner } = make([...two, two[0]!]);
  joiner.start();
  joiner.start();
  void joiner.answers(1);
  assert.equal(searches.length, 1);
  const [{ addresses, options, isStarted }] = searches as [(typeof searches)[0]];
  assert.deepEqual([addresses, isStarted], [[a, b], true]);
  const { again, tryMs, firstWaitMs, lastWaitMs } = options;
  assert.deepEqual(
    { again, tryMs, firstWaitMs, lastWaitMs },
    { again: true, tryMs: 5_000, firstWaitMs: 500, lastWaitMs: 5_000 },
  );
  assert.equal(searches[0]!.isStopped, false);
  joiner.stop();
  assert.equal(searches[0]!.isStopped, true);
});

test('after a stop nobody is looked for any more', async () => {
  const { searches, joiner } = make(two);
  joiner.stop();
  joiner.start();
  assert.equal(await joiner.answers(1_000), false);
  assert.deepEqual(searches, []);
});

test('an address that says nothing at all does not hold up a decision; one that answers ends the wait', async () => {
  const { clock, joiner, find } = make(two);
  const decided: (boolean | string)[] = [];
  const ask = (withinMs: number): void => void joiner.answers(withinMs).then((isAnswered) => decided.push(isAnswered));
  ask(3_000);
  clock.pass(2_999);
  await turn();
  assert.deepEqual(decided, []);
  clock.pass(1);
  await turn();
  assert.deepEqual(decided, [false]);
  ask(3_000);
  find(b, 'self');
  await turn();
  assert.deepEqual(decided, [false], 'this member itself is nobody');
  find(a);
  await turn();
  assert.deepEqual(decided, [false, true]);
  ask(3_000);
  await turn();
  assert.deepEqual([decided, clock.pendingTimers], [[false, true, true], 0]);
});

test('a stop ends the wait for an answer', async () => {
  const { clock, joiner } = make(two);
  const decision = joiner.answers(3_000);
  joiner.stop();
  assert.equal(await decision, false);
  assert.equal(clock.pendingTimers, 0);
});

test('each fault is said once, in one line with true times, and so is that somebody answers at last', () => {
  const { said, joiner, fail, find } = make(two);
  joiner.start();
  const faults = [`${a}: connect ECONNREFUSED`, `${a}: connect EHOSTUNREACH`];
  fail(a, faults[0]!);
  assert.deepEqual([said.warn, joiner.fault], [[], undefined], 'the other may answer');
  fail(b, `${b} did not answer within 5000 ms`);
  for (let i = 0; i < 10; i++) fail(a, faults[i > 4 ? 1 : 0]!);
  const line = (fault: string): string =>
    `{} nobody answers at ${a}, ${b}; trying again, first after 0.5 s, at last every 5 s (${fault}; ${b} did not answer within 5000 ms)`;
  assert.deepEqual(said.warn, faults.map(line));
  assert.equal(joiner.fault, `${faults[1]}; ${b} did not answer within 5000 ms`);
  assert.deepEqual(said.info, []);
  find(b);
  assert.equal(said.info[0], `{} somebody answers at ${a}, ${b}`);
  assert.equal(joiner.fault, undefined);
});

test('who is missing while others answer is said, each fault once, also where it is found in between; nobody misses itself', () => {
  const { said, joiner, fail, find } = make(two);
  joiner.start();
  fail(a, 'refused');
  find(b);
  fail(a, 'refused');
  const line = (fault: string): string =>
    `{"address":"${a}","fault":"${fault}"} an address is not joined; it is tried again`;
  assert.deepEqual([said.warn, said.info], [[], [line('refused')]]);
  for (let i = 0; i < 10; i++) {
    find(a);
    fail(a, i % 2 === 0 ? 'refused' : 'silent');
  }
  assert.deepEqual(said.info, [line('refused'), line('silent')], 'two places behind one name, of which one is down');
  for (let i = 0; i < 40; i++) fail(a, `fault ${i}`);
  assert.equal(said.info.length, 8, 'faults that are always new are not said for ever');
  const { length } = said.info;
  find(b, 'self');
  assert.equal(said.info.length, length);
});

test('who was told to join itself alone hears of it, and waits', () => {
  const { said, joiner, find } = make([two[0]!]);
  joiner.start();
  find(a, 'self');
  assert.match(
    said.warn[0]!,
    /nobody answers at 127\.0\.0\.1:9000; .*\(127\.0\.0\.1:9000: it is this member itself\)$/,
  );
  assert.equal(joiner.fault, `${a}: it is this member itself`);
});

test('a stream that is closed without an answer comes with what is likely behind it', () => {
  const { said, joiner, fail } = make([two[0]!]);
  joiner.start();
  fail(a, `${a} closed the stream without an answer`);
  assert.match(said.warn[0]!, /takes the port of the other's --addr, not its --rpc-port, and the same --encrypt key/);
});

test('faults that are always new are not said for ever', () => {
  const { said, joiner, fail } = make([two[0]!]);
  joiner.start();
  for (let i = 0; i < 40; i++) fail(a, `fault ${i}`);
  assert.equal(said.warn.length, 8);
});
