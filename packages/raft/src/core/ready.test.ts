import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Network, proposeText } from '../conformance/network.js';
import { type Message, MessageType, makeMessage, Role } from './message.js';
import type { RawNode } from './raw-node.js';

const plain = { preVote: false, checkQuorum: false } as const;

function typesOf(messages: readonly Message[]): readonly MessageType[] {
  return messages.map(({ type }) => type);
}

function started(): Network {
  const network = new Network([1, 2, 3], plain);
  network.elect(1);
  return network;
}

/** A follower that has got an entry from its leader and not yet written it. */
function withUnwrittenEntry(network: Network): RawNode {
  proposeText(network.node(1), 'a');
  network.process(1);
  const [append] = network.sent.slice(-2).filter(({ to }) => to === 2);
  network.node(2).step(append!);
  return network.node(2);
}

test('an append is answered only when its entries are durable (pitfall 3; Raft figure 2)', () => {
  const ready = withUnwrittenEntry(started()).ready();
  assert.deepEqual([ready.mustSync, ready.entries.length, ready.messages], [true, 1, []]);
  assert.deepEqual(typesOf(ready.messagesAfterAppend), [MessageType.appendResponse]);
});

test('a vote is told only when it is durable (pitfall 2; Raft figure 2)', () => {
  const network = new Network([1, 2, 3], plain);
  network.node(2).step(makeMessage(MessageType.vote, 2, { from: 1, term: 5, index: 1, logTerm: 1 }));
  const ready = network.node(2).ready();
  assert.deepEqual(ready.hardState, { term: 5, vote: 1, commit: 1 });
  assert.deepEqual([ready.mustSync, ready.messages], [true, []]);
  assert.deepEqual(typesOf(ready.messagesAfterAppend), [MessageType.voteResponse]);
});

test('a candidate asks for votes only when its term and its own vote are durable (pitfall 2)', () => {
  const network = new Network([1, 2, 3], plain);
  network.node(1).campaign();
  const ready = network.node(1).ready();
  assert.deepEqual([ready.mustSync, ready.hardState?.vote, ready.messages], [true, 1, []]);
  assert.deepEqual(typesOf(ready.messagesAfterAppend), [MessageType.vote, MessageType.vote]);
});

test('a pre-vote changes nothing that must be durable, and leaves at once (thesis §9.6)', () => {
  const network = new Network([1, 2, 3]);
  network.node(1).campaign();
  const ready = network.node(1).ready();
  assert.deepEqual([ready.mustSync, ready.hardState], [false, undefined]);
  assert.deepEqual(typesOf(ready.messages), [MessageType.preVote, MessageType.preVote]);
});

test('what a deposed leader still has to send waits for the term that deposed it (pitfall 2)', () => {
  const network = started();
  proposeText(network.node(1), 'a');
  network.node(1).step(makeMessage(MessageType.appendResponse, 1, { from: 2, term: 9 }));
  const ready = network.node(1).ready();
  assert.deepEqual([ready.mustSync, ready.hardState?.term, ready.messages], [true, 9, []]);
  assert.ok(ready.messagesAfterAppend.length > 0);
});

test("a leader's appends may leave before its own write (thesis §10.2.1)", () => {
  const network = started();
  proposeText(network.node(1), 'a');
  const ready = network.node(1).ready();
  assert.deepEqual([ready.mustSync, ready.messagesAfterAppend], [true, []]);
  assert.deepEqual(typesOf(ready.messages), [MessageType.append, MessageType.append]);
});

test('a commit index alone need not be synced', () => {
  const network = started();
  proposeText(network.node(1), 'a');
  network.process(1);
  network.node(1).step(makeMessage(MessageType.appendResponse, 1, { from: 2, term: 2, index: 3 }));
  const ready = network.node(1).ready();
  assert.deepEqual([ready.mustSync, ready.hardState?.commit], [false, 3]);
});

test('each thing is handed out once', () => {
  const network = started();
  const node = withUnwrittenEntry(network);
  node.ready();
  assert.equal(node.hasReady(), false);
  node.step(makeMessage(MessageType.heartbeat, 2, { from: 1, term: 2, commit: 2 }));
  assert.equal(node.hasReady(), true);
  assert.throws(() => node.ready(), /before advance/);
  network.host(2).log.append(network.host(1).log.entries(3, 4, 1)!);
  node.advance();
  const next = node.ready();
  assert.deepEqual([next.entries, next.hardState], [[], undefined]);
  assert.throws(() => {
    node.advance();
    node.advance();
  }, /without a ready/);
});

test('a node with nothing to do has no ready, and one that is taken all the same is empty', () => {
  const network = started();
  const { node } = network.host(1);
  assert.equal(node.hasReady(), false);
  assert.deepEqual(node.ready(), {
    softState: undefined,
    hardState: undefined,
    readStates: [],
    entries: [],
    snapshot: undefined,
    committedEntries: [],
    messages: [],
    messagesAfterAppend: [],
    mustSync: false,
  });
});

test('what was handed out never changes: a replaced entry does not reach into an earlier ready', () => {
  const network = started();
  const node = withUnwrittenEntry(network);
  const ready = node.ready();
  const before = structuredClone(ready.entries);
  const other = { index: 3, term: 3, type: 0, data: new Uint8Array([1]) } as const;
  node.step(makeMessage(MessageType.append, 2, { from: 3, term: 3, index: 2, logTerm: 2, entries: [other] }));
  assert.deepEqual(structuredClone(ready.entries), before);
});

test('a node remembers across a restart what it had on disk, and nothing else', () => {
  const network = started();
  proposeText(network.node(1), 'a');
  network.settle();
  const { term, commit } = network.node(2).basicStatus();
  const { node } = network.restart(2);
  assert.deepEqual([node.term, node.basicStatus().commit, node.role, node.leader], [term, commit, Role.follower, 0]);
  network.settle();
  assert.deepEqual(network.host(2).applied, ['a']);
});

test('entries that the state machine has already are not handed out after a restart', () => {
  const network = started();
  for (const text of ['a', 'b']) proposeText(network.node(1), text);
  network.settle();
  network.restart(2, { applied: 3 });
  network.settle();
  assert.deepEqual(network.host(2).applied, ['b']);
});

test('a commit index on disk that the log does not reach is a damaged log', () => {
  const network = started();
  const { log } = network.host(2);
  log.hardState = { ...log.hardState, commit: 99 };
  assert.throws(() => network.restart(2), /stored commit index 99/);
});

test('a message that only this node may send itself is refused from a peer', () => {
  const network = started();
  for (const type of [MessageType.hup, MessageType.checkQuorum, MessageType.storageAppendResponse, MessageType.beat])
    assert.equal(network.node(1).step(makeMessage(type, 1, { from: 2 })), 'local-message');
  assert.equal(network.node(1).role, Role.leader);
});
