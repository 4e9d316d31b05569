import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8, SeededRandom, utf8 } from '@dcache/base';
import { type Command, CommandType, encodeLogEntry } from '@dcache/protocol';
import { Store } from '@dcache/store';
import { HandClock, turn } from '@dcache/testing';
import { CacheStateMachine } from '../state/state-machine.js';
import { TouchFeed, touchBatchBytes, touchBatchKeys, touchIntervalMs } from './touch-feed.js';

const entryBytes = 200;

/** Replicas that apply the same entries; reads go to one of them each. */
class Replicas {
  readonly clock: HandClock = new HandClock();
  readonly machines: CacheStateMachine[];
  readonly feeds: TouchFeed[];
  touched = 0;

  constructor(count: number, entries: number, eviction: 'sieve' | 's3fifo' | 'fifo', isFed: boolean) {
    this.machines = Array.from({ length: count }, () => new CacheStateMachine({ maxBytes: entries * 300, eviction }));
    this.feeds = !isFed
      ? []
      : this.machines.map((machine) => new TouchFeed(machine, async (command) => this.apply(command), this.clock));
  }

  apply(command: Command): void {
    if (command.type === CommandType.touch) this.touched += command.keys.length;
    const data = encodeLogEntry({ stampMs: this.clock.wallMs(), commands: [command] });
    for (const machine of this.machines) machine.apply({ data });
  }

  set(key: string): void {
    const value = new Uint8Array(entryBytes);
    this.apply({ type: CommandType.set, key: utf8(key), value, ttlMs: 0, flags: 0 });
  }
}

/** Reads with few popular keys among many, and a write for each miss, as an application does: the share of hits. */
async function hitRatio(replicas: Replicas): Promise<number> {
  const random = new SeededRandom(7);
  let hits = 0;
  const reads = 8_000;
  for (let i = 0; i < reads; i++) {
    // About a Zipf distribution: each power of two of ranks is as likely as the next.
    const key = `k${Math.floor(2 ** (random.next() * 14))}`;
    const machine = replicas.machines[i % replicas.machines.length]!;
    if (machine.read(utf8(key))) hits++;
    else replicas.set(key);
    if (i % 200 === 0) {
      replicas.clock.pass(touchIntervalMs);
      await turn();
    }
  }
  return hits / reads;
}

test('reads that are fed to the log raise the hit ratio, and replicas stay equal', async (context) => {
  for (const eviction of ['sieve', 's3fifo'] as const) {
    const without = await hitRatio(new Replicas(3, 300, eviction, false));
    const replicas = new Replicas(3, 300, eviction, true);
    const ratio = await hitRatio(replicas);
    context.diagnostic(`${eviction}: ${without} without touches, ${ratio} with ${replicas.touched} of them`);
    assert.ok(ratio > without + 0.01, `${eviction}: ${without} without touches, ${ratio} with`);
    const hashes = new Set(replicas.machines.map((machine) => machine.stateHash()));
    assert.equal(hashes.size, 1, 'each replica read other keys, and holds the same');
  }
});

test('a policy that reads do not change puts nothing into the log', async () => {
  const replicas = new Replicas(1, 500, 'fifo', true);
  await hitRatio(replicas);
  assert.equal(replicas.touched, 0);
});

/** A feed of one store whose log answers when the test says so. */
function slowFeed(): { clock: HandClock; store: Store; feed: TouchFeed; batches: string[][]; answer: () => void } {
  const clock = new HandClock();
  const store = new Store({ maxBytes: 100_000_000, eviction: 'sieve' });
  const batches: string[][] = [];
  let answer = (): void => {};
  const write = (command: Command): Promise<void> => {
    assert.equal(command.type, CommandType.touch);
    if (command.type === CommandType.touch) batches.push(command.keys.map(fromUtf8));
    return new Promise((_, reject) => {
      answer = () => reject(new Error('the leader was lost'));
    });
  };
  return { clock, store, feed: new TouchFeed({ store }, write, clock), batches, answer: () => answer() };
}

test('one batch is under way at a time, a lost one does not end the feed, and stop does', async () => {
  const { clock, store, feed, batches, answer } = slowFeed();
  for (const key of ['a', 'b', 'c']) store.set(utf8(key), utf8('v'), { revision: 1 });
  store.get(utf8('a'));
  clock.pass(touchIntervalMs);
  assert.deepEqual(batches, [['a']]);
  store.get(utf8('b'));
  clock.pass(touchIntervalMs * 5);
  assert.deepEqual(batches, [['a']], 'it waits for the answer');
  answer();
  await turn();
  clock.pass(touchIntervalMs);
  assert.deepEqual(batches, [['a'], ['b']]);
  feed.stop();
  assert.equal(clock.pendingTimers, 0);
});

test('a batch is bounded by keys and by bytes, and every key that was read gets its turn', async () => {
  const { clock, store, batches, answer } = slowFeed();
  const names = Array.from({ length: 1_000 }, (_, i) => `k${i}`);
  for (const name of names) store.set(utf8(name), utf8('v'), { revision: 1 });
  for (let round = 0; round < 5; round++) {
    // All are read again and again, faster than they can be told.
    for (const name of names) store.get(utf8(name));
    clock.pass(touchIntervalMs);
    answer();
    await turn();
  }
  assert.ok(batches.every((batch) => batch.length === touchBatchKeys));
  assert.equal(new Set(batches.flat()).size, names.length);

  const long = slowFeed();
  const long64 = Array.from({ length: 4 }, (_, i) => `${i}`.padEnd(40_000, 'x'));
  for (const key of long64) long.store.set(utf8(key), utf8('v'), { revision: 1 });
  for (const key of long64) long.store.get(utf8(key));
  long.clock.pass(touchIntervalMs);
  assert.ok(touchBatchBytes > 40_000);
  assert.equal(long.batches[0]!.length, 2, 'the second passes the bound, and ends the batch');
});
