import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Network, proposeText } from '../conformance/network.js';
import { ConfChangeType } from './conf-change.js';
import { MessageType, makeMessage, Role } from './message.js';

function started(learners: readonly number[] = []): Network {
  const network = new Network([1, 2, 3], {}, learners);
  network.elect(1);
  return network;
}

test('leadership goes to a follower that has the whole log at once, lease and pre-vote notwithstanding (thesis §3.10)', () => {
  const network = started();
  network.node(1).transferLeader(2);
  network.settle();
  assert.deepEqual([network.node(2).role, network.node(1).leader], [Role.leader, 2]);
});

test('a follower asks its leader to hand over (thesis §3.10)', () => {
  const network = started();
  network.node(2).transferLeader(2);
  network.settle();
  assert.equal(network.node(2).role, Role.leader);
});

test('a follower that is behind is caught up first; proposals wait for the next leader meanwhile (thesis §3.10)', () => {
  const network = started();
  network.isolate(3);
  proposeText(network.node(1), 'a');
  network.settle();
  network.node(1).transferLeader(3);
  network.settle();
  assert.deepEqual(proposeText(network.node(1), 'b'), { status: 'dropped', reason: 'transferring' });
  network.heal();
  network.tick(2, [1]);
  assert.equal(network.node(3).role, Role.leader);
  assert.deepEqual(network.host(3).applied, ['a']);
});

test('a transfer that is not done in an election timeout is given up, and proposals are taken again', () => {
  const network = started();
  network.isolate(3);
  network.node(1).transferLeader(3);
  network.settle();
  assert.equal(proposeText(network.node(1), 'a').status, 'dropped');
  network.tick(10, [1]);
  assert.equal(network.node(1).basicStatus().leadTransferee, 0);
  assert.equal(proposeText(network.node(1), 'a').status, 'appended');
});

test('a transfer has a whole election timeout, whenever it begins', () => {
  const network = started();
  network.isolate(3);
  network.tick(9, [1]);
  network.node(1).transferLeader(3);
  network.tick(9, [1]);
  assert.equal(network.node(1).basicStatus().leadTransferee, 3);
  network.tick(1, [1]);
  assert.equal(network.node(1).basicStatus().leadTransferee, 0);
});

test('a transfer to itself, to a learner and to a stranger is ignored', () => {
  const network = started([4]);
  for (const to of [1, 4, 9]) {
    network.node(1).transferLeader(to);
    network.settle();
    assert.deepEqual([network.node(1).role, network.node(1).basicStatus().leadTransferee], [Role.leader, 0]);
  }
});

test('a second transfer takes the place of the first', () => {
  const network = started();
  network.isolate(2, 3);
  proposeText(network.node(1), 'a');
  network.node(1).transferLeader(2);
  network.node(1).transferLeader(3);
  assert.equal(network.node(1).basicStatus().leadTransferee, 3);
});

test('a transfer ends when its target is removed', () => {
  const network = started();
  network.node(1).proposeConfChange({ type: ConfChangeType.removeNode, nodeId: 3 });
  network.filter = ({ to }) => to !== 3;
  network.node(1).transferLeader(3);
  network.settle();
  assert.equal(network.node(1).basicStatus().leadTransferee, 0);
});

test('a learner that is told to campaign does not', () => {
  const network = started([4]);
  network.node(4).step(makeMessage(MessageType.timeoutNow, 4, { from: 1, term: network.node(4).term }));
  assert.equal(network.node(4).role, Role.follower);
});
