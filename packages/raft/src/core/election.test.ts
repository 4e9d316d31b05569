import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { MemoryLog } from '../conformance/memory-log.js';
import { Network, proposeText } from '../conformance/network.js';
import { ConfChangeType } from './conf-change.js';
import { type Entry, EntryType, MessageType, makeMessage, noBytes, Role } from './message.js';
import { RawNode } from './raw-node.js';

const plain = { preVote: false, checkQuorum: false } as const;

/** A log whose entries, from index 2 on, have these terms; the snapshot before them has term 1. */
function logOf(voters: readonly number[], ...terms: readonly number[]): MemoryLog {
  const log = new MemoryLog();
  const confState = { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  log.applySnapshot({ metadata: { index: 1, term: 1, confState }, data: noBytes });
  log.append(terms.map((term, i): Entry => ({ index: 2 + i, term, type: EntryType.normal, data: noBytes })));
  log.hardState = { term: Math.max(1, ...terms), vote: 0, commit: 1 };
  return log;
}

function rolesOf(network: Network): readonly Role[] {
  return [...network.hosts.values()].map(({ node }) => node.role);
}

test('a node starts as a follower (Raft §5.2)', () => {
  assert.deepEqual(rolesOf(new Network([1, 2, 3])), [Role.follower, Role.follower, Role.follower]);
});

test('a follower that hears nothing for an election timeout campaigns (Raft §5.2)', () => {
  const network = new Network([1, 2, 3], plain);
  network.isolate(1);
  network.node(1).setRandomizedElectionTicks(12);
  network.tick(11, [1]);
  assert.equal(network.node(1).role, Role.follower);
  network.tick(1, [1]);
  assert.equal(network.node(1).role, Role.candidate);
  assert.equal(network.node(1).term, 2);
});

test('election timeouts are drawn anew from one to two timeouts, so that candidates do not collide for ever (Raft §5.2)', () => {
  const drawn = new Set<number>();
  for (let seed = 0; seed < 200; seed++) {
    const storage = logOf([1, 2]);
    const node = new RawNode({ ...plain, id: 1, storage, random: new SeededRandom(seed), electionTicks: 5 });
    let ticks = 0;
    while (node.role === Role.follower) {
      node.tick();
      ticks++;
    }
    drawn.add(ticks);
  }
  assert.deepEqual(
    [...drawn].sort((a, b) => a - b),
    [5, 6, 7, 8, 9],
  );
});

test('a follower that hears of its leader does not campaign (Raft §5.2)', () => {
  const network = new Network([1, 2, 3], plain);
  network.elect(1);
  network.tick(100);
  assert.deepEqual(rolesOf(network), [Role.leader, Role.follower, Role.follower]);
  assert.equal(network.node(2).term, 2);
});

test('a candidate with the votes of a majority leads and tells all (Raft §5.2)', () => {
  const network = new Network([1, 2, 3, 4, 5]);
  network.isolate(4, 5);
  network.elect(1);
  assert.deepEqual([network.node(2).leader, network.node(3).leader, network.node(4).leader], [1, 1, 0]);
});

test('a candidate without a majority does not lead (Raft §5.2)', () => {
  const network = new Network([1, 2, 3, 4], plain);
  network.isolate(3, 4);
  network.node(1).campaign();
  network.settle();
  assert.equal(network.node(1).role, Role.candidate);
});

test('a candidate that a majority refuses becomes a follower again', () => {
  const network = new Network([1, 2, 3], plain);
  network.lose(MessageType.voteResponse);
  network.node(1).campaign();
  network.settle();
  for (const from of [2, 3])
    network.node(1).step(makeMessage(MessageType.voteResponse, 1, { from, term: 2, reject: true }));
  assert.equal(network.node(1).role, Role.follower);
});

test('votes that are told twice count once', () => {
  const network = new Network([1, 2, 3, 4, 5], plain);
  network.lose(MessageType.vote);
  network.node(1).campaign();
  network.settle();
  const granted = makeMessage(MessageType.voteResponse, 1, { from: 2, term: 2 });
  for (let i = 0; i < 5; i++) network.node(1).step(granted);
  assert.equal(network.node(1).role, Role.candidate);
});

test('a vote split between two candidates is settled in a later term (Raft §5.2)', () => {
  const network = new Network([1, 2, 3, 4], plain);
  const pairs = new Set(['1-3', '3-1', '2-4', '4-2']);
  network.filter = ({ from, to }) => pairs.has(`${from}-${to}`);
  network.node(1).campaign();
  network.node(2).campaign();
  network.settle();
  assert.deepEqual(rolesOf(network), [Role.candidate, Role.candidate, Role.follower, Role.follower]);
  network.heal();
  network.tick(60);
  assert.equal(rolesOf(network).filter((role) => role === Role.leader).length, 1);
});

test('a node votes for one candidate in a term, and again for the same (Raft §5.2)', () => {
  const storage = logOf([1, 2, 3]);
  const node = new RawNode({ ...plain, id: 1, storage, random: new SeededRandom(1) });
  const ask = (from: number): boolean => {
    node.step(makeMessage(MessageType.vote, 1, { from, term: 5, index: 1, logTerm: 1 }));
    const ready = node.ready();
    node.advance();
    return ready.messagesAfterAppend.some(({ to, reject }) => to === from && !reject);
  };
  assert.deepEqual([ask(2), ask(3), ask(2)], [true, false, true]);
});

test('a vote survives a restart (Raft figure 2: votedFor is persistent)', () => {
  const network = new Network([1, 2, 3], plain);
  network.lose(MessageType.voteResponse);
  network.node(2).campaign();
  network.settle();
  assert.equal(network.host(1).log.hardState.vote, 2);
  const { node } = network.restart(1);
  node.step(makeMessage(MessageType.vote, 1, { from: 3, term: 2, index: 1, logTerm: 1 }));
  assert.equal(node.ready().messagesAfterAppend[0]?.reject, true);
});

for (const { candidate, voter, granted } of [
  { candidate: [2, 2], voter: [2], granted: true },
  { candidate: [2], voter: [2, 2], granted: false },
  { candidate: [3], voter: [2, 2, 2], granted: true },
  { candidate: [2, 2, 2], voter: [3], granted: false },
  { candidate: [2, 3], voter: [2, 3], granted: true },
])
  test(`a log ending in terms ${candidate} ${granted ? 'gets' : 'does not get'} the vote of one ending in ${voter} (Raft §5.4.1)`, () => {
    const network = new Network([], plain);
    network.addFrom(1, logOf([1, 2], ...candidate));
    network.addFrom(2, logOf([1, 2], ...voter));
    network.node(1).campaign();
    network.settle();
    assert.equal(network.node(1).role === Role.leader, granted);
  });

test('a candidate that hears of a leader of its term gives up (Raft §5.2)', () => {
  const network = new Network([1, 2, 3], plain);
  network.isolate(1);
  network.node(1).campaign();
  network.settle();
  network.node(1).step(makeMessage(MessageType.append, 1, { from: 2, term: 2, index: 1, logTerm: 1, commit: 1 }));
  assert.deepEqual([network.node(1).role, network.node(1).leader], [Role.follower, 2]);
});

test('a leader that meets a higher term steps down (Raft §5.1)', () => {
  const network = new Network([1, 2, 3], plain);
  network.elect(1);
  network.node(1).step(makeMessage(MessageType.appendResponse, 1, { from: 2, term: 9 }));
  assert.deepEqual([network.node(1).role, network.node(1).term], [Role.follower, 9]);
});

test('messages of an old term change nothing (Raft §5.1)', () => {
  const network = new Network([1, 2, 3], plain);
  network.elect(1);
  network.elect(2);
  const before = network.node(3).status();
  for (const type of Object.values(MessageType)) {
    if (type === MessageType.preVote || type === MessageType.storageAppendResponse) continue;
    network.node(3).step(makeMessage(type, 3, { from: 1, term: 1, index: 5, logTerm: 1, commit: 5 }));
  }
  assert.deepEqual(network.node(3).status(), before);
});

test('an answer to a pre-vote is no vote, and the other way round', () => {
  const network = new Network([1, 2, 3], { preVote: true });
  network.isolate(1);
  network.node(1).campaign();
  network.settle();
  assert.equal(network.node(1).role, Role.preCandidate);
  network.node(1).step(makeMessage(MessageType.voteResponse, 1, { from: 2, term: 1 }));
  assert.equal(network.node(1).role, Role.preCandidate);
  network.node(1).step(makeMessage(MessageType.preVoteResponse, 1, { from: 2, term: 2 }));
  network.settle();
  assert.equal(network.node(1).role, Role.candidate);
  network.node(1).step(makeMessage(MessageType.preVoteResponse, 1, { from: 3, term: 2 }));
  assert.equal(network.node(1).role, Role.candidate);
});

test('a single voter leads, but not before its own vote is durable', () => {
  const network = new Network([1], plain);
  const { node } = network.host(1);
  node.campaign();
  assert.equal(node.ready().hardState?.vote, 1);
  assert.equal(node.role, Role.candidate);
  node.advance();
  assert.equal(node.role, Role.leader);
});

test('an isolated node keeps its term, and disturbs nobody when it comes back (pitfall 14; thesis §9.6)', () => {
  const network = new Network([1, 2, 3]);
  network.elect(1);
  network.isolate(3);
  network.tick(100);
  assert.equal(network.node(3).term, 2);
  network.heal();
  network.tick(30);
  assert.deepEqual([network.node(1).role, network.node(1).term, network.node(3).leader], [Role.leader, 2, 1]);
});

test('voters that hear their leader ignore a candidate, which does not raise their term (pitfall 14; thesis §4.2.3)', () => {
  const network = new Network([1, 2, 3], { preVote: false });
  network.elect(1);
  const term = network.node(1).term;
  for (let i = 0; i < 3; i++) {
    network.node(3).campaign();
    network.settle();
  }
  assert.deepEqual([network.node(1).role, network.node(1).term, network.node(2).term], [Role.leader, term, term]);
});

test('a node that got ahead in terms while isolated is taken in again by a new election (check-quorum)', () => {
  const network = new Network([1, 2, 3], { preVote: false });
  network.elect(1);
  network.isolate(3);
  network.tick(100, [3]);
  network.heal();
  network.tick(100);
  const terms = new Set([...network.hosts.values()].map(({ node }) => node.term));
  assert.equal(terms.size, 1);
  assert.notEqual(network.node(3).leader, 0);
});

test('a leader that hears no quorum for an election timeout steps down (pitfall 14; thesis §6.2)', () => {
  const network = new Network([1, 2, 3]);
  network.elect(1);
  network.isolate(1);
  network.tick(20, [1]);
  assert.deepEqual([network.node(1).role, network.node(1).leader], [Role.follower, 0]);
});

test('a leader that hears a quorum stays, though a member is gone', () => {
  const network = new Network([1, 2, 3]);
  network.elect(1);
  network.isolate(3);
  network.tick(100, [1, 2]);
  assert.equal(network.node(1).role, Role.leader);
});

test('without a leader heard of for a timeout a voter votes again, lease or not', () => {
  const network = new Network([1, 2, 3], { preVote: false });
  network.elect(1);
  network.isolate(1);
  network.node(2).setRandomizedElectionTicks(19);
  network.node(3).setRandomizedElectionTicks(19);
  network.tick(10, [2, 3]);
  network.elect(3);
  assert.equal(network.node(2).leader, 3);
});

test('a learner neither campaigns nor counts, but it votes (pitfall 16)', () => {
  const network = new Network([1, 2], plain, [3]);
  network.node(3).campaign();
  network.tick(100, [3]);
  assert.equal(network.node(3).role, Role.follower);
  network.isolate(2);
  network.node(1).campaign();
  network.settle();
  assert.equal(network.node(1).role, Role.candidate);
  assert.equal(
    network.sent.some(({ to, type }) => to === 3 && type === MessageType.vote),
    false,
    'it is not asked',
  );
  // The candidate may have applied a promotion of 3 that 3 does not know of yet.
  network.node(3).step(makeMessage(MessageType.vote, 3, { from: 1, term: 2, index: 1, logTerm: 1 }));
  const answer = network
    .node(3)
    .ready()
    .messagesAfterAppend.find(({ to }) => to === 1);
  assert.deepEqual([answer?.type, answer?.reject], [MessageType.voteResponse, false]);
});

test('a promoted voter that still believes to be a learner saves the quorum with its vote (pitfall 16)', () => {
  const network = new Network([1, 2], plain, [3]);
  network.elect(1);
  network.isolate(3);
  network.node(1).proposeConfChange({ type: ConfChangeType.addNode, nodeId: 3 });
  network.settle();
  // 3 gets the entry, but does not learn that it is committed.
  network.filter = ({ to, commit }) => to !== 3 || commit < 3;
  network.tick(3, [1]);
  assert.deepEqual(network.node(2).status().confState.voters, [1, 2, 3]);
  assert.deepEqual(network.node(3).status().confState.voters, [1, 2]);
  network.isolate(1);
  network.node(2).campaign();
  network.settle();
  assert.equal(network.node(2).role, Role.leader);
});

test('a removed leader tells who still needs its vote that its removal is committed', () => {
  // Only 1 knows that it is out, and its log has an entry more than that of 2, who thus cannot get its vote.
  const network = new Network([1, 2]);
  network.elect(1);
  network.filter = ({ to, commit, entries }) => to !== 2 || (commit < 3 && entries.every(({ index }) => index < 4));
  network.node(1).proposeConfChange({ type: ConfChangeType.removeNode, nodeId: 1 });
  proposeText(network.node(1), 'never committed');
  network.settle();
  assert.deepEqual([network.node(1).role, network.node(1).basicStatus().lastIndex], [Role.follower, 4]);
  assert.deepEqual(network.node(2).status().confState.voters, [1, 2]);
  network.heal();
  network.tick(60);
  assert.equal(network.node(2).role, Role.leader);
  assert.deepEqual(network.node(2).status().confState.voters, [2]);
});

test('a node that is not told of any member does not campaign', () => {
  const network = new Network([]);
  network.addEmpty(1);
  network.tick(100);
  network.node(1).campaign();
  assert.equal(network.node(1).role, Role.follower);
});

test('a node with a committed change that it has not applied does not campaign', () => {
  const network = new Network([1, 2, 3], plain);
  network.elect(1);
  network.node(1).proposeConfChange({ type: ConfChangeType.removeNode, nodeId: 2 });
  network.filter = ({ to, commit }) => to !== 2 || commit < 3;
  network.settle();
  const { node } = network.host(2);
  node.step(makeMessage(MessageType.heartbeat, 2, { from: 1, term: 2, commit: 3 }));
  node.campaign();
  assert.equal(node.role, Role.follower);
  network.settle();
  node.campaign();
  assert.equal(node.role, Role.follower, 'it is no voter any more');
});

test('a follower that forgets its leader stays in the term and may vote for another', () => {
  const network = new Network([1, 2, 3], { preVote: true });
  network.elect(1);
  network.isolate(1);
  network.node(2).forgetLeader();
  assert.deepEqual([network.node(2).leader, network.node(2).term], [0, 2]);
  network.elect(3);
  assert.equal(network.node(2).leader, 3);
});

test('a proposal to a node without a leader is dropped, with the reason', () => {
  const network = new Network([1, 2, 3]);
  assert.deepEqual(proposeText(network.node(1), 'a'), { status: 'dropped', reason: 'no-leader' });
});
