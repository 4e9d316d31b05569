import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { MemoryLog } from '../conformance/memory-log.js';
import { Network, proposeText } from '../conformance/network.js';
import { ConfChangeType, encodeConfChange } from './conf-change.js';
import { type Entry, EntryType, MessageType, makeMessage, noBytes, type Snapshot } from './message.js';
import { RawNode } from './raw-node.js';

const plain = { preVote: false, checkQuorum: false } as const;
const confState = { voters: [1, 2, 3], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };

function snapshotAt(index: number, term: number, voters: readonly number[] = [1, 2, 3]): Snapshot {
  return { metadata: { index, term, confState: { ...confState, voters } }, data: noBytes };
}

/** Follower 2 with entries of these terms from index 2 on, of which `commit` is the last committed. */
function follower(terms: readonly number[], commit: number): RawNode {
  const log = new MemoryLog();
  log.applySnapshot(snapshotAt(1, 1));
  log.append(terms.map((term, i): Entry => ({ index: 2 + i, term, type: EntryType.normal, data: noBytes })));
  log.hardState = { term: Math.max(1, ...terms), vote: 0, commit };
  return new RawNode({ ...plain, id: 2, storage: log, random: new SeededRandom(1) });
}

function receive(node: RawNode, snapshot: Snapshot, term = 9): void {
  node.step(makeMessage(MessageType.snapshot, 2, { from: 1, term, snapshot }));
}

/** A leader 1 whose log is compacted beyond what 3 has. */
function compacted(): Network {
  const network = new Network([1, 2, 3], plain);
  network.elect(1);
  network.isolate(3);
  for (let i = 0; i < 5; i++) proposeText(network.node(1), `${i}`);
  network.settle();
  network.compact(1);
  return network;
}

test('a follower that needs what is compacted away gets a snapshot, and then entries (Raft §7)', () => {
  const network = compacted();
  network.heal();
  network.tick(2, [1]);
  assert.deepEqual(network.host(3).applied, ['0', '1', '2', '3', '4']);
  proposeText(network.node(1), '5');
  network.settle();
  assert.deepEqual(network.host(3).applied.at(-1), '5');
  assert.equal(network.host(3).log.firstIndex(), 8);
});

test('a snapshot replaces a log that ends before it, together with the members (Raft §7, figure 13)', () => {
  const node = follower([2, 2], 1);
  receive(node, snapshotAt(7, 3, [1, 2]));
  const ready = node.ready();
  assert.equal(ready.snapshot?.metadata.index, 7);
  assert.deepEqual([ready.hardState?.commit, ready.messagesAfterAppend[0]?.index], [7, 7]);
  assert.deepEqual(node.status().confState.voters, [1, 2]);
});

test('a snapshot replaces a log that is longer but differs at its place: nothing of the rest is kept (pitfall 17)', () => {
  const node = follower([2, 2, 2, 2, 2], 1);
  receive(node, snapshotAt(4, 3));
  assert.equal(node.basicStatus().lastIndex, 4);
  assert.equal(node.ready().snapshot?.metadata.index, 4);
});

test('a log that has the last entry of a snapshot keeps what follows it, and commits up to there (pitfall 17)', () => {
  const node = follower([2, 2, 3, 3, 3], 1);
  receive(node, snapshotAt(4, 3));
  const ready = node.ready();
  assert.equal(ready.snapshot, undefined);
  assert.deepEqual([node.basicStatus().lastIndex, node.basicStatus().commit], [6, 4]);
  assert.equal(ready.messagesAfterAppend[0]?.index, 4);
});

test('a snapshot of what is committed already is ignored, and the leader told how far the log is', () => {
  const node = follower([2, 2, 2], 4);
  receive(node, snapshotAt(3, 2));
  assert.equal(node.ready().messagesAfterAppend[0]?.index, 4);
});

test('a snapshot for a configuration without this node is ignored', () => {
  const node = follower([2], 1);
  receive(node, snapshotAt(7, 3, [1, 3]));
  assert.equal(node.ready().snapshot, undefined);
  assert.equal(node.basicStatus().commit, 1);
});

test('a snapshot that comes while the answer to it is not yet written is not answered before', () => {
  const node = follower([2], 1);
  receive(node, snapshotAt(7, 3));
  const ready = node.ready();
  assert.equal(ready.messages.length, 0);
  assert.equal(ready.messagesAfterAppend[0]?.type, MessageType.appendResponse);
  assert.deepEqual(ready.committedEntries, []);
});

test('what is committed after a snapshot is not handed out before the snapshot is applied', () => {
  const network = compacted();
  network.lose(MessageType.snapshot);
  network.tick(1, [1]);
  network.heal();
  const { snapshot } = network.sent.find(({ type }) => type === MessageType.snapshot) ?? {};
  const { node } = network.host(3);
  network.settle();
  node.step(makeMessage(MessageType.snapshot, 3, { from: 1, term: 2, snapshot }));
  const entries = [{ index: 8, term: 2, type: EntryType.normal, data: new Uint8Array([0x35]) }];
  node.step(makeMessage(MessageType.append, 3, { from: 1, term: 2, index: 7, logTerm: 2, entries, commit: 8 }));
  const first = network.process(3);
  assert.deepEqual([first?.snapshot?.metadata.index, first?.entries.length, first?.committedEntries], [7, 1, []]);
  assert.deepEqual(
    network.process(3)?.committedEntries.map(({ index }) => index),
    [8],
  );
  assert.deepEqual(network.host(3).applied, ['0', '1', '2', '3', '4', '5']);
});

test('a change of members that is applied after a snapshot overtook it is not made twice (pitfall 13)', () => {
  const node = follower([2], 1);
  const data = encodeConfChange({ type: ConfChangeType.removeNode, nodeId: 3 });
  const change: Entry = { index: 3, term: 2, type: EntryType.confChange, data };
  const append = { from: 1, term: 2, index: 2, logTerm: 2, entries: [change], commit: 3 };
  node.step(makeMessage(MessageType.append, 2, append));
  assert.deepEqual(node.ready().committedEntries.at(-1), change);
  // Before it is applied, a snapshot comes that has the change, and its reversal.
  receive(node, snapshotAt(20, 2));
  assert.deepEqual(node.applyConfEntry(change).voters, [1, 2], 'the members as of the entry');
  assert.deepEqual(node.status().confState.voters, [1, 2, 3], 'the members that the node goes by');
});

test('a change of members that a snapshot in the state machine has already is not made again (pitfall 13)', () => {
  const node = follower([2], 1);
  receive(node, snapshotAt(20, 2));
  node.ready();
  node.advance();
  const data = encodeConfChange({ type: ConfChangeType.removeNode, nodeId: 3 });
  const late: Entry = { index: 3, term: 2, type: EntryType.confChange, data };
  assert.deepEqual(node.applyConfEntry(late).voters, [1, 2, 3]);
});

test('a node that is about to be replaced by a snapshot does not campaign', () => {
  const node = follower([], 1);
  receive(node, snapshotAt(7, 3));
  node.ready();
  node.campaign();
  assert.equal(node.basicStatus().role, 0);
});

test('while a snapshot is on its way nothing else is sent, and a failed one is tried again with the next heartbeat', () => {
  const network = compacted();
  const snapshots = (): number => network.sent.filter(({ type }) => type === MessageType.snapshot).length;
  const state = (): string | undefined => network.node(1).status().peers[2]?.state;
  network.lose(MessageType.snapshot);
  network.tick(3, [1]);
  assert.deepEqual([snapshots(), state()], [1, 'snapshot']);
  network.node(1).reportSnapshot(3, false);
  assert.equal(state(), 'probe');
  network.settle();
  assert.equal(snapshots(), 1);
  network.tick(1, [1]);
  assert.deepEqual([snapshots(), state()], [2, 'snapshot']);
});

test('after a snapshot that is reported sent, the follower is probed from its index on', () => {
  const network = compacted();
  network.lose(MessageType.snapshot);
  network.tick(1, [1]);
  network.node(1).reportSnapshot(3, true);
  const peer = network.node(1).status().peers[2]!;
  assert.deepEqual([peer.state, peer.nextIndex, peer.isPaused], ['probe', 8, true]);
});

test('a report of a snapshot that nobody waits for changes nothing', () => {
  const network = compacted();
  const before = network.node(1).status();
  network.node(1).reportSnapshot(2, true);
  assert.deepEqual(network.node(1).status(), before);
});

test('an answer that shows the follower to be within the log again ends the wait for a snapshot', () => {
  const network = compacted();
  network.lose(MessageType.snapshot);
  network.tick(1, [1]);
  const answer = makeMessage(MessageType.appendResponse, 1, { from: 3, term: 2, index: 7 });
  network.node(1).step(answer);
  assert.equal(network.node(1).status().peers[2]?.state, 'replicate');
});

test('no snapshot is made for a member that was not heard from lately', () => {
  const network = new Network([1, 2, 3]);
  network.elect(1);
  network.isolate(3);
  network.tick(21, [1, 2]);
  assert.equal(network.node(1).status().peers[2]?.recentActive, false);
  proposeText(network.node(1), 'a');
  network.settle();
  network.compact(1);
  network.node(1).reportUnreachable(3);
  proposeText(network.node(1), 'b');
  network.tick(3, [1, 2]);
  const snapshots = (): number => network.sent.filter(({ type }) => type === MessageType.snapshot).length;
  assert.equal(snapshots(), 0);
  network.heal();
  network.tick(2, [1]);
  assert.equal(snapshots(), 1);
  assert.deepEqual(network.host(3).applied, ['a', 'b']);
});

test('while the storage has no snapshot to give, the leader asks again', () => {
  const network = compacted();
  const { log } = network.host(1);
  const source = log.snapshotSource;
  log.snapshotSource = () => undefined;
  network.heal();
  network.tick(2, [1]);
  assert.deepEqual(network.host(3).applied, []);
  log.snapshotSource = source;
  network.tick(2, [1]);
  assert.deepEqual(network.host(3).applied, ['0', '1', '2', '3', '4']);
});
