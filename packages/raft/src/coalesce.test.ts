import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { coalesce } from './coalesce.js';
import {
  type Entry,
  EntryType,
  type Message,
  MessageType,
  makeAcknowledgement,
  makeAppend,
  makeMessage,
} from './core/message.js';

const unlimited = Number.POSITIVE_INFINITY;

function entry(index: number, term = 2): Entry {
  return { index, term, type: EntryType.normal, data: utf8(`e${index}`) };
}

/** An append of leader 1 to node 2 in term 2, of `entries` after `index`. */
function append(index: number, entries: readonly Entry[], commit = 0, logTerm = 2): Message {
  return makeAppend(2, 1, 2, logTerm, index, commit, entries);
}

test('appends that follow each other become one with all entries and the last commit index', () => {
  const messages = [append(4, [entry(5)], 3), append(5, [entry(6), entry(7)], 3), append(7, [], 5)];
  assert.deepEqual(coalesce(messages, unlimited), [append(4, [entry(5), entry(6), entry(7)], 5)]);
});

test('appends with a gap, a step back, another term or another commit order stay apart', () => {
  for (const [first, second] of [
    [append(4, [entry(5)]), append(6, [entry(7)])],
    [append(4, [entry(5)]), append(4, [entry(5)])],
    [append(4, [entry(5)]), append(5, [entry(6)], 0, 1)],
    [append(4, [entry(5)], 4), append(5, [entry(6)], 3)],
    [append(4, [entry(5)]), { ...append(5, [entry(6)]), term: 3 }],
    [append(4, [entry(5)]), { ...append(5, [entry(6)]), from: 3 }],
  ] as const) {
    const messages = [first, second];
    assert.equal(coalesce(messages, unlimited), messages);
  }
});

test('what is joined stays within the bound, and an append above it stays alone', () => {
  const messages = [4, 5, 6, 7].map((index) => append(index, [entry(index + 1)]));
  const counts = (maxBytes: number): number[] => coalesce(messages, maxBytes).map(({ entries }) => entries.length);
  assert.deepEqual(counts(20), [2, 2]);
  assert.deepEqual(counts(1), [1, 1, 1, 1]);
});

test('of several acknowledgements the last is left, but a refusal and what follows it stay', () => {
  const refusal = makeMessage(MessageType.appendResponse, 1, { from: 2, term: 2, index: 9, reject: true });
  const acknowledgement = (index: number, term = 2): Message => makeAcknowledgement(1, 2, term, index);
  assert.deepEqual(
    coalesce(
      [acknowledgement(5), acknowledgement(6), acknowledgement(6), refusal, acknowledgement(7), acknowledgement(8, 3)],
      unlimited,
    ),
    [acknowledgement(6), refusal, acknowledgement(7), acknowledgement(8, 3)],
  );
});

test('nothing overtakes anything: only neighbours are joined', () => {
  const heartbeat = makeMessage(MessageType.heartbeat, 2, { from: 1, term: 2 });
  const messages = [append(4, [entry(5)]), heartbeat, append(5, [entry(6)])];
  assert.equal(coalesce(messages, unlimited), messages);
});
