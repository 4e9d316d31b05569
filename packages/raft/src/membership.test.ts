import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { until } from '@dcache/testing';
import { codeOf, TestCluster } from './cluster.test.helper.js';
import { MessageType, makeMessage, noNode, Role } from './core/message.js';
import type { PeerStatus, Status } from './core/ready.js';
import { bestSuccessor, isAlreadySo, refusal } from './membership.js';

function peer(id: number, fields: Partial<PeerStatus> = {}): PeerStatus {
  return {
    id,
    state: 'replicate',
    matchIndex: 100,
    nextIndex: 101,
    isLearner: false,
    isPaused: false,
    pendingSnapshot: 0,
    recentActive: true,
    isSilent: false,
    hasRoom: true,
    inflight: 0,
    isInflightFull: false,
    ...fields,
  };
}

/** A leader 1 of voters 1, 2, 3 and learner 4. */
function statusOf(peers: PeerStatus[]): Status {
  const confState = { voters: [1, 2, 3], learners: [4], votersOutgoing: [], learnersNext: [], autoLeave: false };
  const hardState = { term: 1, vote: 1, commit: 100 };
  return {
    id: 1,
    leader: 1,
    role: Role.leader,
    ...hardState,
    applied: 100,
    lastIndex: 100,
    leadTransferee: noNode,
    confState,
    peers,
  };
}

test('a learner is promoted only when it has caught up (pitfall 15; thesis §4.2.1)', () => {
  const promote = (fields: Partial<PeerStatus>): string | undefined =>
    refusal({ type: 'promote', id: 4 }, statusOf([peer(1), peer(4, { isLearner: true, ...fields })]), 10)?.code;
  assert.equal(promote({}), undefined);
  assert.equal(promote({ matchIndex: 90 }), undefined);
  assert.equal(promote({ matchIndex: 89 }), 'not-caught-up');
  assert.equal(promote({ recentActive: false }), 'not-caught-up');
  assert.equal(promote({ state: 'snapshot' }), 'not-caught-up');
  assert.equal(promote({ state: 'probe', matchIndex: 99 }), 'not-caught-up');
});

test('a new node cannot vote before it was a learner, nor a voter become one, nor the last voter go', () => {
  const status = statusOf([peer(1), peer(2), peer(3), peer(4, { isLearner: true })]);
  const codes = (change: Parameters<typeof refusal>[0], of = status): string | undefined =>
    refusal(change, of, 10)?.code;
  assert.equal(codes({ type: 'promote', id: 9 }), 'refused');
  assert.equal(codes({ type: 'add-learner', id: 2 }), 'refused');
  assert.equal(codes({ type: 'update', id: 9 }), 'refused');
  assert.equal(codes({ type: 'add-learner', id: 2 ** 52 }), 'refused');
  assert.equal(codes({ type: 'remove', id: 1 }), undefined);
  const alone = { ...status, confState: { ...status.confState, voters: [1] } };
  assert.equal(codes({ type: 'remove', id: 1 }, alone), 'refused');
});

test('what is already so needs no change, unless it carries news', () => {
  const { confState } = statusOf([]);
  assert.equal(isAlreadySo({ type: 'promote', id: 2 }, confState), true);
  assert.equal(isAlreadySo({ type: 'remove', id: 9 }, confState), true);
  assert.equal(isAlreadySo({ type: 'add-learner', id: 4 }, confState), true);
  assert.equal(isAlreadySo({ type: 'add-learner', id: 4, context: utf8('new address') }, confState), false);
  assert.equal(isAlreadySo({ type: 'promote', id: 4 }, confState), false);
});

test('leadership goes to the voter that answers and has most of the log', () => {
  const learner = peer(4, { isLearner: true, matchIndex: 100 });
  assert.equal(
    bestSuccessor(statusOf([peer(1), peer(2, { matchIndex: 50 }), peer(3, { matchIndex: 70 }), learner])),
    3,
  );
  const silent = { matchIndex: 99, recentActive: false };
  assert.equal(bestSuccessor(statusOf([peer(1), peer(2, { matchIndex: 50 }), peer(3, silent), learner])), 2);
  assert.equal(bestSuccessor(statusOf([peer(1), learner])), undefined);
});

test('an empty newcomer costs no quorum: the cluster goes on without it while it is a learner (pitfall 15)', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(1);
  // The node is never started: as a voter it would stop the cluster.
  await leader.changeMembership({ type: 'add-learner', id: 2 });
  await leader.propose(utf8('a=1'));
  assert.equal(await codeOf(leader.changeMembership({ type: 'promote', id: 2 })), 'not-caught-up');
  await leader.changeMembership({ type: 'remove', id: 2 });
  assert.deepEqual(leader.status().confState.learners, []);
});

test('one change at a time; its context reaches every state machine', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  const first = leader.changeMembership({ type: 'update', id: 2, context: utf8('moved') });
  assert.equal(await codeOf(leader.changeMembership({ type: 'remove', id: 3 })), 'busy');
  await first;
  await until('all know the new address', () =>
    [1, 2, 3].every((id) => cluster.map(id).memberships.at(-1)?.context === 'moved'),
  );
  assert.equal(await codeOf(cluster.node(2).changeMembership({ type: 'remove', id: 3 })), 'not-leader');
});

test('while an earlier change cannot be committed others are refused, and add nothing to the log', async () => {
  await using cluster = new TestCluster({ proposalTimeoutMs: 200 });
  const leader = await cluster.found(3);
  // As from followers whose disks are full: heartbeats are answered, entries are not.
  cluster.network.filter = (_from, _to, what) => !('from' in what && what.type === MessageType.appendResponse);
  const change = (id: number): Promise<string> => codeOf(leader.changeMembership({ type: 'add-learner', id }));
  assert.equal(await change(4), 'unknown-outcome');
  const { lastIndex } = leader.status();
  for (const id of [4, 5, 4, 5]) assert.equal(await change(id), 'busy');
  assert.equal(leader.status().lastIndex, lastIndex);
  cluster.network.filter = undefined;
  await until('the first change is made', () => leader.status().confState.learners.includes(4));
  assert.equal(await change(5), 'resolved');
});

test('a message that names another sender or receiver than the connection proved is not taken', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  // Whoever sends for node 9 gets what was meant for it: node 2's transport is asked to speak for node 3.
  const before = leader.status().term;
  const forged = makeMessage(MessageType.appendResponse, 1, { from: 3, term: before + 50, index: 1 });
  const astray = makeMessage(MessageType.appendResponse, 9, { from: 2, term: before + 50, index: 1 });
  const transport = cluster.network.transport(2);
  // A snapshot without its state would leave the node with a log that its state machine never saw.
  const metadata = { index: 1000, term: before + 50, confState: leader.status().confState };
  const snapshot = { metadata, data: new Uint8Array(0) };
  const bare = makeMessage(MessageType.snapshot, 1, { from: 2, term: before + 50, snapshot });
  transport.send(1, [forged, astray, bare]);
  await until('all three are refused', () => leader.stats().messagesRefused === 3);
  assert.equal(leader.status().term, before);
});
