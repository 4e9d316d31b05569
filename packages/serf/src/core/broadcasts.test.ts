import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BroadcastQueue, transmitLimit } from './broadcasts.js';
import type { SwimMessage } from './message.js';

const message = (node: string): SwimMessage => ({ type: 'suspect', node, incarnation: 1, from: 'x' });

function take(queue: BroadcastQueue, budgetBytes: number, limit = 4): string[] {
  const into: SwimMessage[] = [];
  queue.take(into, budgetBytes, 2, limit, 127);
  return into.map((one) => (one as { node: string }).node);
}

test('a message is sent as often as its limit says, then forgotten', () => {
  assert.equal(transmitLimit(4, 1), 4);
  assert.equal(transmitLimit(4, 9), 4);
  assert.equal(transmitLimit(4, 10), 8);
  assert.equal(transmitLimit(4, 99), 8);
  assert.equal(transmitLimit(4, 100), 12);
  const queue = new BroadcastQueue();
  let done = 0;
  queue.add(message('a'), 40, 'a', () => {
    done++;
  });
  for (let i = 0; i < 4; i++) {
    assert.equal(done, 0);
    assert.deepEqual(take(queue, 1000), ['a']);
  }
  assert.equal(done, 1);
  assert.deepEqual(take(queue, 1000), []);
  assert.equal(queue.length, 0);
});

test('what was sent least often goes first, of those the longest that fits, of those the newest', () => {
  const queue = new BroadcastQueue();
  queue.add(message('old'), 40, 'old');
  take(queue, 1000);
  queue.add(message('short'), 30, 'short');
  queue.add(message('long'), 90, 'long');
  queue.add(message('newer-long'), 90, 'newer-long');
  assert.deepEqual(take(queue, 60), ['short'], 'the longer ones do not fit');
  assert.deepEqual(take(queue, 92), ['newer-long']);
  assert.deepEqual(take(queue, 1000), ['long', 'newer-long', 'old', 'short']);
});

test('a claim replaces the older one about the same member', () => {
  const queue = new BroadcastQueue();
  let replaced = 0;
  queue.add(message('a'), 40, 'a', () => {
    replaced++;
  });
  queue.add(message('a'), 50, 'a');
  assert.equal(queue.length, 1);
  assert.equal(replaced, 1);
  assert.ok(queue.holds('a'));
  assert.deepEqual(take(queue, 1000), ['a']);
});

test('a packet is filled up to its budget and not beyond', () => {
  const queue = new BroadcastQueue();
  for (let i = 0; i < 100; i++) queue.add(message(`m${i}`), 40, `m${i}`);
  assert.equal(take(queue, 420).length, 10);
  const into: SwimMessage[] = [];
  queue.take(into, 1e6, 2, 4, 7);
  assert.equal(into.length, 7, 'nor above the number of messages');
});

test('a pruned queue forgets what was sent most often, then the oldest', () => {
  const queue = new BroadcastQueue();
  queue.add(message('sent'), 40);
  take(queue, 1000);
  for (const name of ['a', 'b', 'c']) queue.add(message(name), 40);
  assert.equal(queue.prune(2), 2);
  assert.deepEqual(take(queue, 1000), ['c', 'b']);
});
