import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HostOptions, Network, proposeText } from '../conformance/network.js';
import { type ConfChangeSingle, ConfChangeType, type ConfChangeV2, Transition } from './conf-change.js';
import { type ConfState, EntryType, MessageType, makeMessage, Role } from './message.js';

const plain = { preVote: false, checkQuorum: false } as const;
const add = (nodeId: number): ConfChangeSingle => ({ type: ConfChangeType.addNode, nodeId });
const learn = (nodeId: number): ConfChangeSingle => ({ type: ConfChangeType.addLearner, nodeId });
const remove = (nodeId: number): ConfChangeSingle => ({ type: ConfChangeType.removeNode, nodeId });

function started(voters: readonly number[] = [1, 2, 3], options: HostOptions = {}): Network {
  const network = new Network(voters, { ...plain, ...options });
  network.elect(1);
  return network;
}

function membersAt(network: Network, id: number): Pick<ConfState, 'voters' | 'votersOutgoing' | 'learners'> {
  const { voters, votersOutgoing, learners } = network.node(id).status().confState;
  return { voters, votersOutgoing, learners };
}

test('a change is made by each node when it applies it, not before', () => {
  const network = started();
  network.isolate(2, 3);
  assert.equal(network.node(1).proposeConfChange(remove(3)).status, 'appended');
  network.settle();
  assert.deepEqual(membersAt(network, 1).voters, [1, 2, 3]);
  network.heal();
  network.tick(1, [1]);
  assert.deepEqual(membersAt(network, 2).voters, [1, 2]);
});

test('a new member is caught up as a learner, by a snapshot, and then promoted (pitfall 15; thesis §4.2.1)', () => {
  const network = started();
  for (const text of ['a', 'b']) proposeText(network.node(1), text);
  network.settle();
  const base = network.host(1).log;
  network.addEmpty(4, plain);
  network.node(1).proposeConfChange(learn(4));
  network.settle();
  const { voters, learners } = membersAt(network, 1);
  assert.deepEqual([voters, learners], [[1, 2, 3], [4]]);
  assert.equal(network.host(4).log.lastIndex(), base.lastIndex());
  network.node(1).proposeConfChange(add(4));
  network.settle();
  assert.deepEqual(membersAt(network, 4), { voters: [1, 2, 3, 4], votersOutgoing: [], learners: [] });
});

test('an empty learner does not cost the quorum, an empty voter would (pitfall 15)', () => {
  const network = started([1, 2]);
  network.node(1).proposeConfChange(learn(3));
  network.settle();
  proposeText(network.node(1), 'a');
  network.settle();
  assert.deepEqual(network.host(2).applied, ['a'], 'node 3 was never started');
  network.node(1).proposeConfChange(add(3));
  network.settle();
  network.isolate(2);
  proposeText(network.node(1), 'b');
  network.settle();
  assert.deepEqual(network.host(1).applied, ['a']);
});

test('a leader says without a trace in its log why it would not take a change', () => {
  const network = started();
  const { node, log } = network.host(1);
  const v2 = (...changes: ConfChangeSingle[]): ConfChangeV2 => ({ changes });
  assert.equal(node.confChangeRefusal(learn(4)), undefined);
  assert.equal(node.confChangeRefusal(v2(remove(1), remove(2), remove(3))), 'invalid');
  assert.equal(node.confChangeRefusal(v2()), 'not-joint');
  network.isolate(2, 3);
  node.proposeConfChange(learn(4));
  network.settle();
  const lastIndex = log.lastIndex();
  for (const change of [learn(4), remove(2), v2(add(5))])
    assert.equal(node.confChangeRefusal(change), 'pending-change');
  network.settle();
  assert.equal(log.lastIndex(), lastIndex);
  network.heal();
  network.tick(1, [1]);
  assert.equal(node.confChangeRefusal(remove(2)), undefined);
});

test('a leader makes no change while entries of earlier terms wait for commit: one may be a change (pitfall 12)', () => {
  const network = started();
  network.lose(MessageType.appendResponse);
  network.node(1).proposeConfChange(learn(4));
  network.settle();
  network.node(2).campaign();
  network.settle();
  assert.equal(network.node(2).role, Role.leader);
  const refused = network.node(2).proposeConfChange(remove(3));
  assert.equal(refused.status === 'appended' && refused.refusal, 'pending-change');
  network.heal();
  network.tick(2, [2]);
  assert.deepEqual(membersAt(network, 2), { voters: [1, 2, 3], votersOutgoing: [], learners: [4] });
  const taken = network.node(2).proposeConfChange(remove(3));
  assert.ok(taken.status === 'appended' && taken.refusal === undefined);
  network.settle();
  assert.deepEqual(membersAt(network, 2).voters, [1, 2]);
});

test("two leaders' changes cannot both be made: the counterexample to single-server changes (pitfall 12; Ongaro 2015)", () => {
  // 1 adds 5, which only 5 hears of; 2 removes 1 with the votes of 3 and 4; then 1 tries to lead with 4 and 5.
  const network = started([1, 2, 3, 4]);
  network.addEmpty(5, plain);
  network.isolate(2, 3, 4);
  network.node(1).proposeConfChange(add(5));
  network.settle();
  network.isolate(1, 5);
  network.elect(2);
  network.filter = ({ from, to }) => ![1, 4, 5].includes(from) && ![1, 4, 5].includes(to);
  network.node(2).proposeConfChange(remove(1));
  network.settle();
  assert.deepEqual(membersAt(network, 2).voters, [1, 2, 3, 4], 'two of four are no majority');
  network.isolate(2, 3);
  network.restart(1);
  for (let i = 0; i < 3; i++) {
    network.node(1).campaign();
    network.settle();
  }
  assert.notEqual(network.node(1).role, Role.leader, 'one of four and a stranger are none either');
  network.heal();
  network.tick(80);
  const members = new Set([2, 3, 4].map((id) => `${membersAt(network, id).voters}`));
  assert.equal(members.size, 1);
});

test('one change is made at a time (pitfall 13)', () => {
  const network = started();
  network.node(1).proposeConfChange(learn(4));
  const second = network.node(1).proposeConfChange(learn(5));
  assert.equal(second.status === 'appended' && second.refusal, 'pending-change');
  network.settle();
  assert.deepEqual(membersAt(network, 1).learners, [4]);
  const third = network.node(1).proposeConfChange(learn(5));
  assert.ok(third.status === 'appended' && third.refusal === undefined);
});

test('a change that is overwritten before its commit was never made (pitfall 13)', () => {
  const network = started();
  network.isolate(1);
  network.node(1).proposeConfChange(remove(3));
  network.settle();
  network.elect(2);
  network.heal();
  network.tick(2);
  for (const id of [1, 2, 3]) assert.deepEqual(membersAt(network, id).voters, [1, 2, 3]);
  assert.equal(network.node(1).role, Role.follower);
});

test('a change that is proposed elsewhere reaches the leader', () => {
  const network = started();
  assert.equal(network.node(2).proposeConfChange(remove(3)).status, 'forwarded');
  network.settle();
  assert.deepEqual(membersAt(network, 1).voters, [1, 2]);
});

test('a change that would leave no voter is refused, not committed: every node would fail on it', () => {
  const network = started([1]);
  const result = network.node(1).proposeConfChange(remove(1));
  assert.equal(result.status === 'appended' && result.refusal, 'invalid');
  network.settle();
  assert.deepEqual(membersAt(network, 1).voters, [1]);
});

test("bytes that are no change are refused, also a follower's", () => {
  const network = started();
  const entries = [{ index: 0, term: 0, type: EntryType.confChange, data: new Uint8Array([0xff]) }];
  network.node(1).step(makeMessage(MessageType.propose, 1, { from: 2, entries }));
  network.settle();
  assert.equal(network.host(3).log.entries(3, 4, 1)?.[0]?.type, EntryType.normal);
});

test('several changes go through a joint configuration, which is left by itself (thesis §4.3)', () => {
  const network = started();
  for (const id of [4, 5]) network.addEmpty(id, plain);
  network.node(1).proposeConfChange({ changes: [add(4), add(5), remove(2), remove(3)] });
  network.settle();
  for (const id of [1, 4, 5])
    assert.deepEqual(membersAt(network, id), { voters: [1, 4, 5], votersOutgoing: [], learners: [] });
});

test('a joint configuration is left once, whatever else is applied meanwhile', () => {
  const network = started([1, 2, 3], { maxCommittedSizePerReady: 1 });
  network.isolate(1);
  network.node(1).proposeConfChange({ transition: Transition.jointImplicit, changes: [remove(3)] });
  for (const text of ['a', 'b', 'c']) proposeText(network.node(1), text);
  network.settle();
  network.heal();
  network.tick(2, [1]);
  assert.deepEqual(network.entries(1).length, 1 + 1 + 3 + 1, 'the first entry, the change, three more, the end of it');
  assert.deepEqual(membersAt(network, 2), { voters: [1, 2], votersOutgoing: [], learners: [] });
});

test('an explicit joint configuration stays until it is left (thesis §4.3)', () => {
  const network = started();
  network.node(1).proposeConfChange({ transition: Transition.jointExplicit, changes: [remove(3)] });
  network.settle();
  assert.deepEqual(membersAt(network, 2), { voters: [1, 2], votersOutgoing: [1, 2, 3], learners: [] });
  const other = network.node(1).proposeConfChange(learn(4));
  assert.equal(other.status === 'appended' && other.refusal, 'joint');
  network.settle();
  network.node(1).proposeConfChange({ changes: [] });
  network.settle();
  assert.deepEqual(membersAt(network, 2).votersOutgoing, []);
  const again = network.node(1).proposeConfChange({ changes: [] });
  assert.equal(again.status === 'appended' && again.refusal, 'not-joint');
});

for (const [name, absent] of [
  ['old', [2, 3]],
  ['new', [4, 5]],
] as const)
  test(`in a joint configuration nothing commits and nobody is elected without a majority of the ${name} half (thesis §4.3)`, () => {
    const network = started();
    for (const id of [4, 5]) network.addEmpty(id, plain);
    const changes = [add(4), add(5), remove(2), remove(3)];
    network.node(1).proposeConfChange({ transition: Transition.jointExplicit, changes });
    network.settle();
    network.isolate(...absent);
    const { commit } = network.node(1).basicStatus();
    proposeText(network.node(1), 'a');
    network.tick(2, [1]);
    assert.equal(network.node(1).basicStatus().commit, commit);
    const candidate = absent[0] === 2 ? 4 : 2;
    network.node(candidate).campaign();
    network.settle();
    assert.equal(network.node(candidate).role, Role.candidate);
  });

test('a new leader leaves the joint configuration that the old one entered', () => {
  const network = started([1, 2, 3, 4, 5]);
  // The old leader is cut off when it proposes to leave.
  network.node(1).proposeConfChange({ transition: Transition.jointImplicit, changes: [remove(5)] });
  network.filter = ({ type, entries }) => type !== MessageType.append || entries.every(({ index }) => index < 4);
  network.settle();
  network.isolate(1);
  assert.deepEqual(membersAt(network, 3).votersOutgoing, [1, 2, 3, 4, 5]);
  network.elect(3);
  network.heal();
  network.tick(2, [3]);
  for (const id of [1, 2, 3, 4])
    assert.deepEqual(membersAt(network, id), { voters: [1, 2, 3, 4], votersOutgoing: [], learners: [] });
});

test('a demoted voter becomes a learner when the joint configuration ends', () => {
  const network = started();
  network.node(1).proposeConfChange({ transition: Transition.jointExplicit, changes: [learn(3)] });
  network.settle();
  assert.deepEqual(network.node(1).status().confState.learnersNext, [3]);
  network.node(1).proposeConfChange({ changes: [] });
  network.settle();
  assert.deepEqual(membersAt(network, 3), { voters: [1, 2], votersOutgoing: [], learners: [3] });
});

test('a leader that is removed steps down when it applies that, and takes no more proposals', () => {
  const network = started();
  network.node(1).proposeConfChange(remove(1));
  network.settle();
  assert.equal(network.node(1).role, Role.follower);
  assert.equal(proposeText(network.node(1), 'a').status, 'dropped');
  network.elect(2);
  network.tick(60);
  assert.equal(network.node(2).role, Role.leader);
});

test('a leader that is removed and told to stay leads on until another is elected, but takes no proposals (thesis §4.2.2)', () => {
  const network = started([1, 2, 3], { stepDownOnRemoval: false });
  network.node(1).proposeConfChange(remove(1));
  network.settle();
  assert.equal(network.node(1).role, Role.leader);
  assert.deepEqual(proposeText(network.node(1), 'a'), { status: 'dropped', reason: 'removed' });
});

test('a removed member cannot disturb those who stay (pitfall 14; thesis §4.2.3)', () => {
  const network = new Network([1, 2, 3]);
  network.elect(1);
  network.filter = ({ to, type }) => !(to === 3 && type === MessageType.append);
  network.node(1).proposeConfChange(remove(3));
  network.settle();
  network.tick(200);
  assert.deepEqual([network.node(1).role, network.node(1).term], [Role.leader, 2]);
});

test('a smaller configuration commits what waited for the larger quorum', () => {
  const network = started([1, 2, 3, 4]);
  network.isolate(3, 4);
  // Two of four are no majority; the change itself needs one first.
  network.heal();
  network.node(1).proposeConfChange(remove(4));
  proposeText(network.node(1), 'a');
  network.filter = ({ from, type, index }) =>
    !(from === 3 && type === MessageType.appendResponse && index > 3) && from !== 4;
  network.settle();
  network.heal();
  network.tick(1, [1]);
  assert.deepEqual(network.host(1).applied, ['a']);
});

test('a snapshot carries the members, and a node that restarts from it knows them (pitfall 13)', () => {
  const network = started([1, 2]);
  network.addEmpty(3, plain);
  network.node(1).proposeConfChange({ transition: Transition.jointExplicit, changes: [add(3), learn(2)] });
  network.settle();
  const { confState } = network.node(1).status();
  assert.deepEqual([confState.votersOutgoing, confState.learnersNext], [[1, 2], [2]]);
  assert.deepEqual(network.node(3).status().confState, confState);
  for (const id of [1, 3]) {
    network.compact(id);
    assert.deepEqual(network.restart(id).node.status().confState, confState);
  }
});
