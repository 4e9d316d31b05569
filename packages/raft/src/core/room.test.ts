import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HostOptions, Network, proposeText } from '../conformance/network.js';
import { ConfChangeType, Transition } from './conf-change.js';
import { MessageType, Role } from './message.js';

/** Node 1 leads; those in `full` have no room, and it has heard so. */
function started(full: readonly number[], learners: readonly number[] = [], options: HostOptions = {}): Network {
  const network = new Network([1, 2, 3], options, learners);
  network.elect(1);
  for (const id of full) network.node(id).setFull(true);
  network.tick(1);
  return network;
}

/** Who has room, as the leader was told. */
function room(network: Network): readonly (boolean | undefined)[] {
  return network
    .node(1)
    .status()
    .peers.map(({ hasRoom }) => hasRoom);
}

test('a follower without room lets one that has it stand first, even where its own time is over sooner', () => {
  for (const full of [2, 3]) {
    const network = started([full]);
    const other = 5 - full;
    // However long a leader was heard before.
    network.tick(50);
    network.node(full).setRandomizedElectionTicks(10);
    network.node(other).setRandomizedElectionTicks(19);
    network.isolate(1);
    network.tick(20, [2, 3]);
    assert.deepEqual([network.node(other).role, network.node(full).role], [Role.leader, Role.follower]);
  }
});

test('one without room leads where nobody else can win: its log is ahead of those that have room', () => {
  const network = started([2]);
  network.isolate(3);
  proposeText(network.node(1), 'a');
  network.settle();
  network.isolate(1);
  network.tick(100, [2, 3]);
  assert.equal(network.node(2).role, Role.leader);
  assert.deepEqual(network.host(3).applied, ['a']);
});

test('where nobody has room one leads all the same, so that reads go on', () => {
  const network = started([1, 2, 3]);
  network.isolate(1);
  network.tick(100, [2, 3]);
  assert.equal([2, 3].filter((id) => network.node(id).role === Role.leader).length, 1);
});

test('a heartbeat is answered with whether there is room; the leader decides by a quorum', () => {
  const network = started([]);
  assert.deepEqual([room(network), network.node(1).room], [[true, true, true], 'won']);
  network.node(2).setFull(true);
  network.tick(1);
  assert.deepEqual([room(network), network.node(1).room], [[true, false, true], 'won']);
  network.node(1).setFull(true);
  assert.deepEqual([room(network), network.node(1).room], [[false, false, true], 'lost']);
  network.node(2).setFull(false);
  network.tick(1);
  assert.deepEqual([room(network), network.node(1).room], [[false, true, true], 'won']);
});

test('a change is told at once, not only with the next heartbeat', () => {
  const network = started([]);
  network.node(2).setFull(true);
  network.settle();
  assert.deepEqual(room(network), [true, false, true]);
  network.node(2).setFull(false);
  network.settle();
  assert.deepEqual(room(network), [true, true, true]);
});

test('nothing but that answer differs, and it is as ever where there is room', () => {
  const network = started([2]);
  const flagged = network.sent.filter(({ reject }) => reject);
  assert.ok(flagged.length > 0);
  for (const { type, from, to } of flagged) assert.deepEqual([type, from, to], [MessageType.heartbeatResponse, 2, 1]);
});

test('a new leader knows nothing of the room of others, until they answer it', () => {
  const network = started([3]);
  assert.deepEqual(room(network), [true, true, false]);
  // Not even what it knew when it led before.
  network.node(1).transferLeader(2);
  network.settle();
  network.node(2).transferLeader(1);
  network.settle();
  assert.deepEqual([room(network), network.node(1).room], [[true, undefined, undefined], 'pending']);
  network.tick(1);
  assert.deepEqual([room(network), network.node(1).room], [[true, true, false], 'won']);
});

test('who is silent for an election timeout has no room that could be used, and has it again when it is heard', () => {
  const network = started([2]);
  network.isolate(3);
  assert.equal(network.node(1).room, 'won');
  // The time between two checks of the quorum has to pass in whole.
  network.tick(20, [1, 2]);
  assert.equal(network.node(1).role, Role.leader);
  assert.equal(network.node(1).room, 'lost');
  network.heal();
  network.tick(1);
  assert.equal(network.node(1).room, 'won');
});

test('a check of the quorum does not make those silent that answer every heartbeat', () => {
  const network = started([]);
  for (let i = 0; i < 30; i++) {
    network.node(1).tick();
    assert.equal(network.node(1).room, 'won');
    network.settle();
  }
});

test('a learner counts for nothing; of a joint configuration both halves must have room', () => {
  const network = started([4], [4, 5]);
  assert.equal(network.node(1).room, 'won');
  network.node(2).setFull(true);
  network.tick(1);
  const { addNode, removeNode } = ConfChangeType;
  // From 1, 2, 3 to 1, 4, 5: in the outgoing half one is full, in the incoming one too.
  const changes = [
    { type: removeNode, nodeId: 2 },
    { type: removeNode, nodeId: 3 },
    { type: addNode, nodeId: 4 },
    { type: addNode, nodeId: 5 },
  ];
  network.node(1).proposeConfChange({ transition: Transition.jointExplicit, changes });
  network.settle();
  network.tick(1);
  assert.deepEqual(network.node(1).status().confState.votersOutgoing, [1, 2, 3]);
  assert.equal(network.node(1).room, 'won');
  network.node(5).setFull(true);
  network.tick(1);
  assert.equal(network.node(1).room, 'lost');
});

test('one without room has its turn though another, that cannot win, begins a new term each time', () => {
  const network = started([2], [], { preVote: false, checkQuorum: false });
  network.isolate(3);
  proposeText(network.node(1), 'a');
  network.settle();
  network.isolate(1);
  // The quicker one: node 2 never waits as long as it needs between two terms, which is three election timeouts.
  network.tick(200, [2, 3]);
  assert.equal(network.node(2).leader, 2);
});
