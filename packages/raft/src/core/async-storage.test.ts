import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, utf8 } from '@dcache/base';
import { MemoryLog } from '../conformance/memory-log.js';
import { entrySize } from './entry-size.js';
import {
  type Entry,
  EntryType,
  localAppendThread,
  type Message,
  MessageType,
  makeMessage,
  noBytes,
} from './message.js';
import type { RawNodeOptions } from './options.js';
import { RawNode } from './raw-node.js';

/** Node 2 of three, whose storage is written by a thread that this test plays. */
function follower(options: Partial<RawNodeOptions> = {}): { readonly node: RawNode; readonly log: MemoryLog } {
  const log = new MemoryLog();
  const confState = { voters: [1, 2, 3], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  log.applySnapshot({ metadata: { index: 1, term: 1, confState }, data: noBytes });
  log.hardState = { term: 1, vote: 0, commit: 1 };
  const random = new SeededRandom(1);
  return { node: new RawNode({ ...options, id: 2, storage: log, random, asyncStorageWrites: true }), log };
}

/** An append of one entry at index 2 from the leader of `term`. */
function append(term: number, from: number): Message {
  const entries: Entry[] = [{ index: 2, term, type: EntryType.normal, data: utf8(`${term}`) }];
  return makeMessage(MessageType.append, 2, { from, term, index: 1, logTerm: 1, entries, commit: 1 });
}

/** The write that a ready asks for. */
function writeOf(node: RawNode): Message {
  const write = node.ready().messages.find(({ to }) => to === localAppendThread);
  assert.ok(write !== undefined);
  return write;
}

function answerOf(write: Message): Message {
  const answer = write.responses.at(-1);
  assert.equal(answer?.type, MessageType.storageAppendResponse);
  return answer!;
}

test('answers to peers travel with the write that they rest on (pitfalls 2 and 3; Raft figure 2)', () => {
  const { node } = follower();
  node.step(append(2, 1));
  const write = writeOf(node);
  assert.deepEqual([write.term, write.entries.length], [2, 1]);
  assert.deepEqual(
    write.responses.map(({ type, to }) => [type, to]),
    [
      [MessageType.appendResponse, 1],
      [MessageType.storageAppendResponse, 2],
    ],
  );
});

test('an entry is read from memory until its write is answered, then from storage', () => {
  const { node, log } = follower();
  node.step(append(2, 1));
  const write = writeOf(node);
  node.step(makeMessage(MessageType.heartbeat, 2, { from: 1, term: 2, commit: 2 }));
  node.ready();
  assert.equal(node.basicStatus().lastIndex, 2);
  log.append(write.entries);
  node.step(answerOf(write));
  node.step(makeMessage(MessageType.heartbeat, 2, { from: 1, term: 2, commit: 2 }));
  const apply = node.ready().messages.find(({ type }) => type === MessageType.storageApply);
  assert.deepEqual(apply?.entries, write.entries);
});

test('the answer to a write of an earlier term is not believed: what it wrote may be about to be replaced', () => {
  const { node, log } = follower();
  node.step(append(2, 1));
  const first = writeOf(node);
  // Another leader replaces the entry, then a third one puts back what looks the same.
  node.step(append(3, 3));
  const second = writeOf(node);
  log.append(first.entries);
  node.step(answerOf(first));
  assert.equal(node.basicStatus().lastIndex, 2);
  node.step(makeMessage(MessageType.heartbeat, 2, { from: 3, term: 3, commit: 2 }));
  const early = node.ready().messages.filter(({ type }) => type === MessageType.storageApply);
  assert.deepEqual(early, [], 'entry 2 of term 3 is not on disk');
  log.append(second.entries);
  node.step(answerOf(second));
  const [apply] = node.ready().messages.filter(({ type }) => type === MessageType.storageApply);
  assert.equal(apply?.entries[0]?.term, 3);
});

test('an entry that was replaced by the same entry again is not taken for written by the first write (an ABA)', () => {
  const { node, log } = follower();
  node.step(append(2, 1));
  const writes = [writeOf(node)];
  node.step(append(3, 3));
  writes.push(writeOf(node));
  // The entry of term 2 comes back with a leader of term 4, and its write waits behind the others.
  const again = makeMessage(MessageType.append, 2, { ...append(2, 1), from: 1, term: 4 });
  node.step(again);
  writes.push(writeOf(node));
  log.append(writes[0]!.entries);
  node.step(answerOf(writes[0]!));
  // Storage has the right entry now, but the second write will replace it before the third puts it back.
  log.append(writes[1]!.entries);
  node.step(answerOf(writes[1]!));
  node.step(makeMessage(MessageType.heartbeat, 2, { from: 1, term: 4, commit: 2 }));
  const early = node.ready().messages.filter(({ type }) => type === MessageType.storageApply);
  assert.deepEqual(early, [], 'storage has the entry of term 3');
  log.append(writes[2]!.entries);
  node.step(answerOf(writes[2]!));
  const [apply] = node.ready().messages.filter(({ type }) => type === MessageType.storageApply);
  assert.equal(apply?.entries[0]?.term, 2);
});

test('no more entries are handed out to be applied than maxCommittedSizePerReady, until some are applied', () => {
  const entries = [2, 3, 4, 5, 6].map((index): Entry => ({ index, term: 2, type: EntryType.normal, data: noBytes }));
  const { node, log } = follower({ maxCommittedSizePerReady: 2 * entrySize(entries[0]!) });
  const from = { from: 1, term: 2, index: 1, logTerm: 1, entries, commit: 6 };
  node.step(makeMessage(MessageType.append, 2, from));
  const write = writeOf(node);
  log.append(write.entries);
  node.step(answerOf(write));
  const slices: number[][] = [];
  for (let i = 0; i < 3; i++) {
    const [apply, ...more] = node.ready().messages.filter(({ type }) => type === MessageType.storageApply);
    assert.ok(apply !== undefined && more.length === 0);
    assert.equal(node.hasReady(), false, 'the next slice waits');
    slices.push(apply.entries.map(({ index }) => index));
    node.step(apply.responses[0]!);
  }
  assert.deepEqual(slices, [[2, 3], [4, 5], [6]]);
});

test('with asynchronous storage advance() is a mistake', () => {
  const { node } = follower();
  node.step(append(2, 1));
  node.ready();
  assert.throws(() => node.advance(), /asynchronous storage/);
});
