import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aliveOf, endpointOf, Solo } from '../simulation/solo.js';
import { NodeState, type SwimMessage } from './message.js';

const suspect = (node: string, incarnation: number, from: string): SwimMessage => ({
  type: 'suspect',
  node,
  incarnation,
  from,
});
const dead = (node: string, incarnation: number, from: string): SwimMessage => ({
  type: 'dead',
  node,
  incarnation,
  from,
});

test('an alive about an unknown member makes it known, and is passed on', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a', 3, { role: 'x' }));
  assert.equal(solo.record('a')?.incarnation, 3);
  assert.equal(solo.record('a')?.state, NodeState.alive);
  assert.deepEqual(solo.eventTypes(), ['member-join', 'member-join']);
  assert.ok(solo.gossip().some((message) => message.type === 'alive' && message.node === 'a'));
});

test('changed tags count only with a newer incarnation', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a', 3, { v: '1' }), aliveOf('a', 3, { v: '2' }));
  assert.equal(solo.core.roster.get('a')?.tags.get('v'), '1');
  solo.hear(aliveOf('a', 4, { v: '2' }));
  assert.equal(solo.core.roster.get('a')?.tags.get('v'), '2');
  assert.deepEqual(solo.eventTypes().slice(2), ['member-update']);
});

test('an alive with impossible versions, meta or incarnation is refused', () => {
  const solo = new Solo();
  solo.hear(
    aliveOf('a', 1, {}, { vsn: Uint8Array.of(1, 5, 2) }),
    aliveOf('b', 1, {}, { vsn: Uint8Array.of(0, 5, 2, 2, 5, 5) }),
    aliveOf('c', 1, {}, { vsn: Uint8Array.of(5, 1, 2, 2, 5, 5) }),
    aliveOf('d', 1, {}, { meta: new Uint8Array(513) }),
    aliveOf('e', 0xffff_ffff),
  );
  for (const name of ['a', 'b', 'c', 'd', 'e']) assert.equal(solo.record(name), undefined, name);
  assert.equal(solo.core.counters.claimsRefused, 5);
});

test('claims about more members than the table takes are refused', () => {
  const solo = new Solo({ maxMembers: 3 });
  solo.hear(aliveOf('a'), aliveOf('b'), aliveOf('c'), aliveOf('d'));
  assert.equal(solo.core.roster.size, 3);
});

test('a suspicion becomes a verdict unless the member refutes it with a newer incarnation (SWIM §4.2)', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a', 2), aliveOf('b'), suspect('a', 2, 'b'));
  assert.equal(solo.record('a')?.state, NodeState.suspect);
  solo.hear(aliveOf('a', 2));
  assert.equal(solo.record('a')?.state, NodeState.suspect, 'the same incarnation refutes nothing');
  solo.hear(aliveOf('a', 3));
  assert.equal(solo.record('a')?.state, NodeState.alive);
  solo.hear(suspect('a', 2, 'b'));
  assert.equal(solo.record('a')?.state, NodeState.alive, 'an old suspicion is old');
  solo.hear(suspect('a', 3, 'b'));
  solo.pass(30_000);
  assert.notEqual(solo.record('a')?.state, NodeState.alive);
  assert.ok(solo.eventTypes().includes('member-failed'));
});

test('an accusation of this member is refuted above what it claims', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), suspect('self', 1, 'a'));
  assert.equal(solo.record('self')?.incarnation, 2);
  solo.hear(dead('self', 9, 'a'));
  assert.equal(solo.record('self')?.incarnation, 10);
  assert.equal(solo.record('self')?.state, NodeState.alive);
  assert.ok(solo.gossip().some((message) => message.type === 'alive' && message.incarnation === 10));
  assert.equal(solo.core.healthScore > 0, true, 'an accusation lowers the local health');
});

test('an accusation that nothing could refute is not believed', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), dead('self', 0xffff_ffff, 'a'), dead('a', 0xffff_ffff, 'self'));
  assert.equal(solo.record('self')?.incarnation, 1);
  assert.equal(solo.record('a')?.state, NodeState.alive);
});

test('someone who accuses an incarnation that was refuted is told again', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), suspect('self', 1, 'a'));
  while (solo.gossip().length > 5);
  solo.hear(suspect('self', 1, 'a'));
  assert.equal(solo.record('self')?.incarnation, 2, 'the old accusation needs no newer incarnation');
  assert.ok(solo.gossip().some((message) => message.type === 'alive' && message.node === 'self'));
});

test('a member that says goodbye itself has left, others say that it is dead', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), aliveOf('b'), dead('a', 1, 'a'), dead('b', 1, 'a'));
  assert.equal(solo.record('a')?.state, NodeState.left);
  assert.equal(solo.record('b')?.state, NodeState.dead);
});

test('another address under the name of a live member is a conflict, of one that left a newcomer', () => {
  const solo = new Solo();
  const elsewhere = { ...endpointOf('elsewhere') };
  solo.hear(aliveOf('a', 1), aliveOf('a', 9, {}, elsewhere));
  assert.deepEqual(solo.record('a')?.addr, endpointOf('a').addr);
  assert.equal(solo.eventTypes().at(-1), 'conflict');
  solo.hear(dead('a', 1, 'a'), aliveOf('a', 1, {}, elsewhere));
  assert.deepEqual(solo.record('a')?.addr, elsewhere.addr);
  assert.equal(solo.record('a')?.state, NodeState.alive);
});

test('the same IPv4 address in its other form is another address, byte by byte', () => {
  const solo = new Solo();
  const { addr } = endpointOf('a');
  const wide = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...addr);
  solo.hear(aliveOf('a', 1, {}, { addr: wide }));
  assert.equal(solo.core.roster.get('a')?.address, addr.join('.'));
  assert.deepEqual(solo.core.localState(false).nodes.find((row) => row.name === 'a')?.addr, wide);
  solo.hear(aliveOf('a', 2, {}, { addr }));
  assert.equal(solo.eventTypes().at(-1), 'conflict');
});

test('in a push/pull a dead row is only a suspicion, a left one is believed', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), aliveOf('b'));
  const row = (name: string, state: NodeState) => ({ ...aliveOf(name), name, state });
  solo.act((core, nowMs) =>
    core.merge(nowMs, { join: false, nodes: [row('a', NodeState.dead), row('b', NodeState.left)] }, false),
  );
  assert.equal(solo.record('a')?.state, NodeState.suspect);
  assert.equal(solo.record('b')?.state, NodeState.left);
});

test('a push/pull with a member of another protocol version is not to be merged', () => {
  const solo = new Solo();
  const row = (vsn: number[]) => ({
    ...aliveOf('a', 1, {}, { vsn: Uint8Array.from(vsn) }),
    name: 'a',
    state: NodeState.alive,
  });
  const fault = (vsn: number[]) => solo.core.incompatible({ join: false, nodes: [row(vsn)] });
  assert.equal(fault([1, 5, 2, 2, 5, 5]), undefined);
  assert.equal(fault([1, 5, 2, 2, 5, 4]), undefined);
  assert.match(fault([1, 5, 2, 2, 6, 6])!, /member a speaks Serf protocol 6, the pool takes 2 to 5/);
  assert.match(fault([3, 5, 3, 2, 5, 5])!, /member self speaks protocol 2, the pool takes 3 to 5/);
});

test('a dead member is forgotten after gossip to the dead has ended, and its name is free', () => {
  const solo = new Solo({ gossipToTheDeadMs: 5000 });
  solo.hear(aliveOf('a'), aliveOf('b'), dead('a', 1, 'b'));
  solo.pass(60_000);
  assert.equal(solo.record('a'), undefined);
  solo.hear(aliveOf('a', 1, {}, endpointOf('elsewhere')));
  assert.equal(solo.record('a')?.state, NodeState.alive);
});

test('a member called __proto__ is a member like any other', () => {
  const solo = new Solo();
  solo.hear(aliveOf('__proto__'), aliveOf('constructor'), suspect('__proto__', 1, 'constructor'));
  assert.equal(solo.record('__proto__')?.state, NodeState.suspect);
  assert.equal(solo.core.roster.size, 3);
  assert.equal(({} as Record<string, unknown>)['incarnation'], undefined);
});
