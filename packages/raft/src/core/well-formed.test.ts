import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Network } from '../conformance/network.js';
import { type ConfState, type Entry, EntryType, type Message, MessageType, makeMessage, noBytes } from './message.js';

const confState: ConfState = { voters: [1, 2], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };

function entry(index: number, term: number): Entry {
  return { index, term, type: EntryType.normal, data: noBytes };
}

function append(index: number, logTerm: number, ...entries: readonly Entry[]): Message {
  return makeMessage(MessageType.append, 2, { from: 1, term: 3, index, logTerm, entries });
}

function snapshot(metadata: { index: number; term: number; confState?: ConfState }): Message {
  const whole = { metadata: { confState, ...metadata }, data: noBytes };
  return makeMessage(MessageType.snapshot, 2, { from: 1, term: 3, snapshot: whole });
}

for (const [what, message] of [
  ['an append with a gap before its entries', append(1, 1, entry(3, 2))],
  ['an append with a gap in its entries', append(1, 1, entry(2, 2), entry(4, 2))],
  ['an append whose terms fall', append(1, 1, entry(2, 3), entry(3, 2))],
  ['an append of an entry of a term before the one it follows', append(1, 2, entry(2, 1))],
  ["an append of an entry of a term after its leader's", append(1, 1, entry(2, 4))],
  ['a proposal of nothing', makeMessage(MessageType.propose, 2, { from: 1 })],
  ['a snapshot message without a snapshot', makeMessage(MessageType.snapshot, 2, { from: 1, term: 3 })],
  ['a snapshot of no place', snapshot({ index: 0, term: 1 })],
  ['a snapshot without voters', snapshot({ index: 9, term: 1, confState: { ...confState, voters: [] } })],
  [
    'a snapshot in which a voter is a learner',
    snapshot({ index: 9, term: 1, confState: { ...confState, learners: [1] } }),
  ],
  ['a message to another node', makeMessage(MessageType.heartbeat, 3, { from: 1, term: 3 })],
  ['a heartbeat from oneself', makeMessage(MessageType.heartbeat, 2, { from: 2, term: 3 })],
  ['a message from nobody', makeMessage(MessageType.heartbeat, 2, { term: 3 })],
] as const)
  test(`${what} is refused and changes nothing`, () => {
    const network = new Network([1, 2]);
    const before = network.node(2).status();
    assert.equal(network.node(2).step(message), 'malformed');
    assert.deepEqual(network.node(2).status(), before);
  });

test('an append that follows on is taken', () => {
  const network = new Network([1, 2]);
  assert.equal(network.node(2).step(append(1, 1, entry(2, 2), entry(3, 3))), 'accepted');
  assert.equal(network.node(2).basicStatus().lastIndex, 3);
});

test('a proposal, a read and a transfer come back when two nodes take each other for the leader', () => {
  const network = new Network([1, 2, 3], { preVote: false });
  network.elect(2);
  const entries = [{ index: 0, term: 0, type: EntryType.normal, data: new Uint8Array([0x61]) }];
  network.node(2).step(makeMessage(MessageType.propose, 2, { from: 2, entries }));
  network.node(2).step(makeMessage(MessageType.readIndex, 2, { from: 2, context: 5 }));
  network.node(2).step(makeMessage(MessageType.transferLeader, 2, { from: 2, term: 2 }));
  network.settle();
  assert.deepEqual([network.host(3).applied, network.host(2).reads.length], [['a'], 1]);
});
