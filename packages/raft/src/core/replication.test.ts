import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, utf8 } from '@dcache/base';
import { MemoryLog } from '../conformance/memory-log.js';
import { type HostOptions, Network, proposeText } from '../conformance/network.js';
import { entrySize } from './entry-size.js';
import { type Entry, EntryType, type Message, MessageType, makeMessage, noBytes, Role } from './message.js';
import { RawNode } from './raw-node.js';

const plain = { preVote: false, checkQuorum: false } as const;

function started(options: HostOptions = {}): Network {
  const network = new Network([1, 2, 3], { ...plain, ...options });
  network.elect(1);
  return network;
}

/** A log whose entries, from index 2 on, have these terms. */
function logOf(voters: readonly number[], terms: readonly number[], term = 0): MemoryLog {
  const log = new MemoryLog();
  const confState = { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  log.applySnapshot({ metadata: { index: 1, term: 1, confState }, data: noBytes });
  log.append(terms.map((own, i): Entry => ({ index: 2 + i, term: own, type: EntryType.normal, data: utf8(`${own}`) })));
  log.hardState = { term: Math.max(1, term, ...terms), vote: 0, commit: 1 };
  return log;
}

function sentTo(network: Network, to: number, type: MessageType): readonly Message[] {
  return network.sent.filter((message) => message.to === to && message.type === type);
}

test('what a leader takes is applied by all, in the same order (Raft §5.3)', () => {
  const network = started();
  for (const text of ['a', 'b', 'c']) proposeText(network.node(1), text);
  network.settle();
  for (const id of [1, 2, 3]) assert.deepEqual(network.host(id).applied, ['a', 'b', 'c']);
});

test('a proposal answers with its place in the log', () => {
  const network = started();
  assert.deepEqual(proposeText(network.node(1), 'a'), { status: 'appended', index: 3, term: 2 });
  assert.deepEqual(network.node(1).propose(utf8('b'), utf8('c')), { status: 'appended', index: 4, term: 2 });
  network.settle();
  assert.deepEqual(network.entries(2), ['2:', '2:a', '2:b', '2:c']);
});

test('a follower passes proposals on to the leader (Raft §8), unless it was told not to', () => {
  const network = started();
  assert.deepEqual(proposeText(network.node(2), 'a'), { status: 'forwarded', leader: 1 });
  network.settle();
  assert.deepEqual(network.host(3).applied, ['a']);
  const { node } = network.restart(2, { disableProposalForwarding: true });
  network.tick(1, [1]);
  assert.deepEqual(proposeText(node, 'b'), { status: 'dropped', reason: 'not-forwarding' });
});

test('an entry that no majority has is not committed (Raft §5.3)', () => {
  const network = started();
  network.isolate(2, 3);
  proposeText(network.node(1), 'a');
  network.tick(3, [1]);
  assert.deepEqual(network.host(1).applied, []);
  network.heal();
  network.tick(2, [1]);
  assert.deepEqual(network.host(3).applied, ['a']);
});

test('a leader does not count itself before its own entry is durable', () => {
  const network = new Network([1, 2], plain);
  const leader = network.elect(1);
  proposeText(leader, 'a');
  const ready = leader.ready();
  // The follower answers while the leader still writes.
  leader.step(makeMessage(MessageType.appendResponse, 1, { from: 2, term: 2, index: 3 }));
  assert.equal(leader.basicStatus().commit, 2);
  network.host(1).log.append(ready.entries);
  leader.advance();
  assert.equal(leader.basicStatus().commit, 3);
});

test('entries of an earlier term are not committed by counting, only by an entry of the present one (pitfall 1; Raft §5.4.2, figure 8)', () => {
  // Entry 2 of term 2 is on 1 and 2; 1 leads term 4, and 3 answers for the old entry only.
  const network = new Network([]);
  network.addFrom(1, logOf([1, 2, 3], [2], 3), plain);
  const { node, log } = network.host(1);
  node.campaign();
  network.settle();
  node.step(makeMessage(MessageType.voteResponse, 1, { from: 2, term: 4 }));
  assert.equal(node.role, Role.leader);
  for (const from of [2, 3]) node.step(makeMessage(MessageType.appendResponse, 1, { from, term: 4, index: 2 }));
  network.settle();
  assert.equal(node.basicStatus().commit, 1);
  node.step(makeMessage(MessageType.appendResponse, 1, { from: 2, term: 4, index: 3 }));
  network.settle();
  assert.equal(node.basicStatus().commit, 3);
  assert.equal(log.lastIndex(), 3);
});

test('a new leader brings every follower of figure 7 to its log (Raft §5.3, figure 7)', () => {
  const leader = [1, 1, 4, 4, 5, 5, 6, 6, 6];
  const followers = [
    [1, 1, 4, 4, 5, 5, 6, 6],
    [1, 1, 4],
    [...leader, 6],
    [...leader, 7, 7],
    [1, 1, 4, 4, 4, 4],
    [1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  ];
  for (const follower of followers) {
    const network = new Network([]);
    network.addFrom(1, logOf([1, 2, 3], leader, 7), plain);
    network.addFrom(2, logOf([1, 2, 3], follower, 7), plain);
    // A voter whose log is as short as can be, so that the leader is elected.
    network.addFrom(3, logOf([1, 2, 3], []), plain);
    network.elect(1);
    network.tick(2, [1]);
    assert.deepEqual(network.entries(2), network.entries(1), `follower ${follower}`);
    assert.equal(network.node(2).basicStatus().commit, leader.length + 2);
  }
});

test('a rejection skips whole terms, so that few probes find where the logs meet (Raft §5.3)', () => {
  const mine = [1, ...new Array<number>(100).fill(5)];
  const theirs = [1, ...new Array<number>(100).fill(3)];
  const network = new Network([]);
  network.addFrom(1, logOf([1, 2], mine, 6), plain);
  network.addFrom(2, logOf([1, 2], theirs, 6), plain);
  network.elect(1);
  assert.deepEqual(network.entries(2), network.entries(1));
  const refused = sentTo(network, 1, MessageType.appendResponse).filter(({ reject }) => reject);
  assert.equal(refused.length, 1);
});

test('an old append does not cut newer entries (Raft §5.3)', () => {
  const network = started();
  for (const text of ['a', 'b', 'c']) proposeText(network.node(1), text);
  network.settle();
  const [old] = sentTo(network, 2, MessageType.append).filter(({ entries }) => entries.length > 0);
  network.node(2).step(old!);
  network.settle();
  assert.deepEqual(network.entries(2), ['2:', '2:a', '2:b', '2:c']);
});

test('an append of uncommitted entries that are there already changes nothing, and is acknowledged to its end only', () => {
  const storage = logOf([1, 2], [2, 2, 2]);
  const node = new RawNode({ ...plain, id: 2, storage, random: new SeededRandom(1) });
  const entries = storage.entries(2, 3, Number.POSITIVE_INFINITY)!;
  node.step(makeMessage(MessageType.append, 2, { from: 1, term: 2, index: 1, logTerm: 1, entries, commit: 1 }));
  const ready = node.ready();
  assert.deepEqual([ready.entries.length, ready.messagesAfterAppend[0]?.index], [0, 2]);
  assert.equal(node.basicStatus().lastIndex, 4);
});

test('a follower commits what it has from the leader, not what it has beyond (Raft §5.3, figure 2)', () => {
  const storage = logOf([1, 2], [2, 2, 2]);
  const node = new RawNode({ ...plain, id: 2, storage, random: new SeededRandom(1) });
  node.step(makeMessage(MessageType.append, 2, { from: 1, term: 3, index: 2, logTerm: 2, commit: 4 }));
  assert.equal(node.basicStatus().commit, 2);
});

test('a heartbeat does not commit what the leader does not know the follower to have', () => {
  const network = started();
  network.isolate(3);
  proposeText(network.node(1), 'a');
  network.settle();
  network.tick(1, [1]);
  const [last] = sentTo(network, 3, MessageType.heartbeat).slice(-1);
  assert.equal(last?.commit, 2);
});

test('the commit index never falls', () => {
  const network = started();
  proposeText(network.node(1), 'a');
  network.settle();
  network.node(2).step(makeMessage(MessageType.heartbeat, 2, { from: 1, term: 2, commit: 1 }));
  assert.equal(network.node(2).basicStatus().commit, 3);
});

test('a commit index past the log is not believed: a log that lost acknowledged entries must not go on', () => {
  const network = started();
  const heartbeat = makeMessage(MessageType.heartbeat, 2, { from: 1, term: 2, commit: 99 });
  assert.throws(() => network.node(2).step(heartbeat), /commit 99 is past the log's end 2/);
});

test('entries that contradict committed ones are not believed', () => {
  const network = started();
  const entries = [{ index: 2, term: 3, type: EntryType.normal, data: noBytes }];
  const append = makeMessage(MessageType.append, 2, { from: 3, term: 3, index: 1, logTerm: 1, entries, commit: 1 });
  const { node } = network.host(2);
  node.step(append);
  // It answers with what it has committed, and keeps it.
  assert.equal(node.ready().messagesAfterAppend.find(({ to }) => to === 3)?.index, 2);
});

test('no more appends than maxInflightMessages are sent without an answer', () => {
  const network = started({ maxInflightMessages: 4 });
  network.isolate(3);
  network.sent.length = 0;
  for (let i = 0; i < 10; i++) {
    proposeText(network.node(1), `${i}`);
    network.settle();
  }
  const withEntries = sentTo(network, 3, MessageType.append).filter(({ entries }) => entries.length > 0);
  assert.equal(withEntries.length, 4);
  const peer = network.node(1).status().peers[2]!;
  assert.deepEqual([peer.inflight, peer.isPaused, peer.isInflightFull], [4, true, true]);
});

test('no more bytes than maxInflightBytes are sent without an answer, but one append may pass the limit', () => {
  const network = started({ maxInflightBytes: 100 });
  network.isolate(3);
  for (let i = 0; i < 10; i++) {
    network.node(1).propose(new Uint8Array(60));
    network.settle();
  }
  assert.equal(network.node(1).status().peers[2]?.inflight, 2);
});

test('a follower whose appends were all lost is found out by heartbeats, and catches up', () => {
  const network = started({ maxInflightMessages: 2 });
  network.isolate(3);
  for (let i = 0; i < 10; i++) {
    proposeText(network.node(1), `${i}`);
    network.settle();
  }
  network.heal();
  network.tick(3, [1]);
  assert.equal(network.host(3).applied.length, 10);
  assert.equal(network.node(1).status().peers[2]?.state, 'replicate');
});

test('an append holds at most maxSizePerMessage, or one entry that is larger', () => {
  const entry: Entry = { index: 3, term: 2, type: EntryType.normal, data: new Uint8Array(50) };
  const limit = 3 * entrySize(entry);
  const network = started({ maxSizePerMessage: limit });
  network.isolate(3);
  network.node(1).propose(...Array.from({ length: 7 }, () => new Uint8Array(50)));
  network.node(1).propose(new Uint8Array(1000));
  network.settle();
  network.heal();
  const before = sentTo(network, 3, MessageType.append).length;
  network.tick(3, [1]);
  const sizes = sentTo(network, 3, MessageType.append)
    .slice(before)
    .map(({ entries }) => entries.length)
    .filter((length) => length > 0);
  assert.deepEqual(sizes, [3, 3, 1, 1]);
  assert.equal(network.host(3).log.lastIndex(), 10);
});

test('proposals past maxUncommittedSize are dropped until something is applied', () => {
  const network = started({ maxUncommittedSize: 100 });
  network.isolate(1);
  const propose = (bytes: number): string => network.node(1).propose(new Uint8Array(bytes)).status;
  assert.deepEqual(
    [propose(60), propose(60), propose(40), propose(0)],
    ['appended', 'dropped', 'appended', 'appended'],
  );
  network.heal();
  network.tick(2, [1]);
  assert.equal(propose(500), 'appended', 'one proposal may be larger than the limit');
  assert.deepEqual(network.node(1).propose(new Uint8Array(1)), { status: 'dropped', reason: 'too-much-uncommitted' });
});

test('committed entries come in slices of maxCommittedSizePerReady, each once', () => {
  const entry: Entry = { index: 3, term: 2, type: EntryType.normal, data: new Uint8Array(50) };
  const network = started({ maxCommittedSizePerReady: 2 * entrySize(entry) });
  const leader = network.node(1);
  network.isolate(1);
  leader.propose(...Array.from({ length: 5 }, () => new Uint8Array(50)));
  network.settle();
  leader.step(makeMessage(MessageType.appendResponse, 1, { from: 2, term: 2, index: 7 }));
  const slices: number[][] = [];
  for (let ready = network.process(1); ready !== undefined; ready = network.process(1))
    if (ready.committedEntries.length > 0) slices.push(ready.committedEntries.map(({ index }) => index));
  assert.deepEqual(slices, [[3, 4], [5, 6], [7]]);
});

test('a follower that was reported unreachable is probed, and replicates again after an answer', () => {
  const network = started();
  const state = (): string | undefined => network.node(1).status().peers[2]?.state;
  network.node(1).reportUnreachable(3);
  assert.equal(state(), 'probe');
  network.tick(1, [1]);
  assert.equal(state(), 'replicate');
});

test('while probing, one append is out at a time', () => {
  const network = started();
  network.isolate(3);
  network.node(1).reportUnreachable(3);
  const before = sentTo(network, 3, MessageType.append).length;
  for (let i = 0; i < 5; i++) proposeText(network.node(1), `${i}`);
  network.settle();
  assert.equal(sentTo(network, 3, MessageType.append).length - before, 1);
});

test('a follower behind learns of the commit with the answer that lets it', () => {
  const network = started();
  network.isolate(3);
  proposeText(network.node(1), 'a');
  network.settle();
  network.heal();
  network.tick(1, [1]);
  assert.deepEqual(network.host(3).applied, ['a'], 'no second heartbeat was needed');
});
