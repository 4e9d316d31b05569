import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Network, proposeText } from '../conformance/network.js';
import { ConfChangeType, Transition } from './conf-change.js';
import { MessageType, makeMessage, Role } from './message.js';

/** A leader 1 of three that has committed in its term. */
function started(options: ConstructorParameters<typeof Network>[1] = {}): Network {
  const network = new Network([1, 2, 3], options);
  network.elect(1);
  return network;
}

test('a read at the leader is answered with the commit index after a quorum confirmed the leader (thesis §6.4)', () => {
  const network = started();
  proposeText(network.node(1), 'a');
  network.settle();
  assert.equal(network.node(1).readIndex(7), 'requested');
  assert.deepEqual(network.host(1).reads, []);
  network.settle();
  assert.deepEqual(network.host(1).reads, [{ index: 3, context: 7 }]);
});

test('a read at a follower is answered by one round trip to the leader (thesis §6.4)', () => {
  const network = started();
  assert.equal(network.node(2).readIndex(9), 'requested');
  network.settle();
  assert.deepEqual(network.host(2).reads, [{ index: 2, context: 9 }]);
  assert.deepEqual(network.host(1).reads, []);
});

test('a read without a known leader says so', () => {
  const network = new Network([1, 2, 3]);
  assert.equal(network.node(2).readIndex(1), 'no-leader');
});

test('a deposed leader cannot answer a read (pitfall 8)', () => {
  const network = started({ checkQuorum: false });
  network.isolate(1);
  network.elect(2);
  proposeText(network.node(2), 'newer');
  network.settle();
  assert.equal(network.node(1).role, Role.leader);
  network.node(1).readIndex(5);
  network.tick(5, [1]);
  assert.deepEqual(network.host(1).reads, []);
  network.heal();
  network.tick(1);
  assert.deepEqual(network.host(1).reads, []);
  assert.equal(network.node(1).role, Role.follower);
});

test('a new leader answers no read before it has committed in its own term (pitfall 9)', () => {
  const network = started();
  proposeText(network.node(1), 'a');
  network.settle();
  network.lose(MessageType.appendResponse);
  network.node(2).transferLeader(2);
  network.settle();
  const leader = network.node(2);
  assert.equal(leader.role, Role.leader);
  leader.readIndex(3);
  network.tick(1, [2]);
  assert.deepEqual(network.host(2).reads, []);
  network.heal();
  network.tick(2, [2]);
  assert.deepEqual(network.host(2).reads, [{ index: 4, context: 3 }]);
});

test('a single voter that restarts answers no read before it knows its own commits again (pitfall 9)', () => {
  const network = new Network([1], { preVote: false });
  network.elect(1);
  proposeText(network.node(1), 'a');
  network.settle();
  // The commit index on disk may be old: only term, vote and entries are waited for.
  network.host(1).log.hardState = { ...network.host(1).log.hardState, commit: 1 };
  network.restart(1);
  network.node(1).campaign();
  network.process(1);
  assert.equal(network.node(1).role, Role.leader);
  network.node(1).readIndex(4);
  assert.deepEqual(network.process(1)?.readStates, []);
  network.settle();
  assert.deepEqual(network.host(1).reads, [{ index: 4, context: 4 }]);
});

test('a single voter answers at once when it has committed in its term', () => {
  const network = new Network([1]);
  network.elect(1);
  network.node(1).readIndex(4);
  assert.deepEqual(network.node(1).ready().readStates, [{ index: 2, context: 4 }]);
});

test('a leader that was removed does not take the only voter left for itself', () => {
  const network = new Network([1, 2], { stepDownOnRemoval: false, checkQuorum: false, preVote: false });
  network.elect(1);
  network.node(1).proposeConfChange({ type: ConfChangeType.removeNode, nodeId: 1 });
  network.settle();
  assert.deepEqual(network.node(1).status().confState.voters, [2]);
  assert.equal(network.node(1).role, Role.leader);
  network.isolate(1);
  network.elect(2);
  network.node(1).readIndex(6);
  network.settle();
  assert.deepEqual(network.host(1).reads, []);
});

test('an answer to an earlier read is no answer to a later one, though the asker uses its number again (pitfall 10)', () => {
  const network = started();
  const leader = network.node(1);
  network.lose(MessageType.heartbeatResponse);
  leader.readIndex(8);
  network.settle();
  const late = network.sent.filter(({ type, context }) => type === MessageType.heartbeatResponse && context === 1);
  assert.equal(late.length, 2);
  proposeText(leader, 'a');
  network.settle();
  leader.readIndex(8);
  for (const message of late) leader.step(message);
  // The first read is confirmed with what was committed when it came; the second still waits.
  assert.deepEqual(leader.ready().readStates, [{ index: 2, context: 8 }]);
  leader.advance();
});

test("an answer to an earlier leadership's heartbeat confirms nothing (pitfall 10)", () => {
  const network = started({ preVote: false, checkQuorum: false });
  network.lose(MessageType.heartbeatResponse);
  network.node(1).readIndex(1);
  network.settle();
  const late = network.sent.filter(({ type, context }) => type === MessageType.heartbeatResponse && context > 0);
  network.heal();
  network.elect(2);
  network.elect(1);
  network.lose(MessageType.heartbeat);
  network.node(1).readIndex(2);
  network.settle();
  for (const message of late) network.node(1).step(message);
  network.settle();
  assert.deepEqual(network.host(1).reads, []);
});

test('a read that a deposed leader took is not answered when it leads again: its index may be too old (pitfall 10)', () => {
  const network = started({ preVote: false, checkQuorum: false });
  network.isolate(1);
  network.elect(2);
  proposeText(network.node(2), 'newer');
  network.settle();
  network.node(1).readIndex(1);
  network.settle();
  network.heal();
  network.tick(2);
  network.elect(1);
  network.node(1).readIndex(2);
  network.tick(2, [1]);
  const { commit } = network.node(1).basicStatus();
  assert.deepEqual(network.host(1).reads, [{ index: commit, context: 2 }]);
});

test('a confirmation of a read that does not exist yet is no confirmation of the next one', () => {
  const network = started();
  network.node(1).readIndex(1);
  network.settle();
  const confirm = (from: number, context: number): void => {
    network.node(1).step(makeMessage(MessageType.heartbeatResponse, 1, { from, term: 2, context }));
  };
  network.isolate(1);
  confirm(2, 99);
  network.node(1).readIndex(2);
  confirm(3, 1);
  network.settle();
  assert.deepEqual(
    network.host(1).reads.map(({ context }) => context),
    [1],
  );
});

test('reads that came before a confirmed one are confirmed with it, each with its own index', () => {
  const network = started();
  const leader = network.node(1);
  network.lose(MessageType.heartbeatResponse);
  leader.readIndex(1);
  network.settle();
  network.heal();
  proposeText(leader, 'a');
  network.settle();
  leader.readIndex(2);
  network.settle();
  assert.deepEqual(network.host(1).reads, [
    { index: 2, context: 1 },
    { index: 3, context: 2 },
  ]);
});

test('a read whose heartbeat was lost is confirmed by the next periodic one', () => {
  const network = started();
  network.lose(MessageType.heartbeat);
  network.node(1).readIndex(1);
  network.settle();
  assert.deepEqual(network.host(1).reads, []);
  network.heal();
  network.tick(1, [1]);
  assert.equal(network.host(1).reads.length, 1);
});

for (const [half, absent] of [
  ['incoming', [4, 5]],
  ['outgoing', [2, 3]],
] as const)
  test(`in a joint configuration a read needs a majority of the ${half} half too (thesis §4.3, §6.4)`, () => {
    const network = started();
    for (const id of [4, 5]) network.addEmpty(id);
    const changes = [
      { type: ConfChangeType.addNode, nodeId: 4 },
      { type: ConfChangeType.addNode, nodeId: 5 },
      { type: ConfChangeType.removeNode, nodeId: 2 },
      { type: ConfChangeType.removeNode, nodeId: 3 },
    ];
    network.node(1).proposeConfChange({ transition: Transition.jointExplicit, changes });
    network.settle();
    network.isolate(...absent);
    network.node(1).readIndex(1);
    network.tick(2, [1]);
    assert.deepEqual(network.host(1).reads, []);
    network.heal();
    network.tick(1, [1]);
    assert.equal(network.host(1).reads.length, 1);
  });

test('a read is answered when its quorum shrinks to the leader, though nobody is left to confirm it', () => {
  const network = new Network([1, 2], { checkQuorum: false });
  network.elect(1);
  network.lose(MessageType.heartbeat);
  network.node(1).proposeConfChange({ type: ConfChangeType.removeNode, nodeId: 2 });
  network.node(1).readIndex(1);
  network.settle();
  assert.deepEqual(network.node(1).status().confState.voters, [1]);
  assert.deepEqual(network.host(1).reads, [{ index: 2, context: 1 }]);
});

test('under a lease the leader answers at once, but not before it has committed in its term (thesis §6.4.1)', () => {
  const network = started({ readOnly: 'lease' });
  network.node(1).readIndex(1);
  assert.deepEqual(network.node(1).ready().readStates, [{ index: 2, context: 1 }]);
  network.node(1).advance();
  network.lose(MessageType.appendResponse);
  network.node(1).transferLeader(2);
  network.settle();
  network.node(2).readIndex(2);
  network.settle();
  assert.deepEqual(network.host(2).reads, []);
  network.heal();
  network.tick(2, [2]);
  assert.deepEqual(network.host(2).reads, [{ index: 3, context: 2 }]);
});

test('under a lease no follower forgets its leader, which would let it vote for another', () => {
  const network = started({ readOnly: 'lease' });
  network.node(2).forgetLeader();
  assert.equal(network.node(2).leader, 1);
});

test('past the limit of pending reads the leader says busy', () => {
  const network = started({ maxPendingReads: 2 });
  network.isolate(1);
  const leader = network.node(1);
  assert.deepEqual([leader.readIndex(1), leader.readIndex(2), leader.readIndex(3)], ['requested', 'requested', 'busy']);
});

test('an answer that no member sent is refused', () => {
  const network = started();
  const forged = makeMessage(MessageType.heartbeatResponse, 1, { from: 9, term: 2, context: 1 });
  assert.equal(network.node(1).step(forged), 'unknown-peer');
});
