import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aliveOf, endpointOf, Solo } from '../simulation/solo.js';
import type { JoinIntent, LeaveIntent, SerfState, SwimMessage, User } from './message.js';

const join = (node: string, lTime: number): User => ({ type: 'user', body: { type: 'join', lTime, node } });
const leave = (node: string, lTime: number, prune = false): User => ({
  type: 'user',
  body: { type: 'leave', lTime, node, prune },
});
const dead = (node: string, from: string, incarnation = 1): SwimMessage => ({
  type: 'dead',
  node,
  incarnation,
  from,
});
const intents = (messages: readonly SwimMessage[]): (JoinIntent | LeaveIntent)[] =>
  messages.flatMap((message) =>
    message.type === 'user' && (message.body.type === 'join' || message.body.type === 'leave') ? [message.body] : [],
  );

function status(solo: Solo, name: string): string | undefined {
  return solo.core.roster.get(name)?.status;
}

test('a leave intent and then a death is a leave, a death alone a failure', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), aliveOf('b'), leave('a', 5));
  assert.equal(status(solo, 'a'), 'leaving');
  solo.hear(dead('a', 'a'), dead('b', 'b'));
  assert.equal(status(solo, 'a'), 'left');
  assert.equal(status(solo, 'b'), 'failed', 'without an intent even a goodbye is a failure');
  assert.deepEqual(solo.eventTypes().slice(3), ['member-leave', 'member-failed']);
});

test('an intent counts once, by its Lamport time, and only news is passed on', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), leave('a', 5));
  assert.equal(intents(solo.gossip()).length > 0, true);
  solo.hear(join('a', 5));
  assert.equal(status(solo, 'a'), 'leaving', 'no newer than the leave');
  solo.hear(join('a', 6));
  assert.equal(status(solo, 'a'), 'alive');
  solo.hear(leave('a', 6));
  assert.equal(status(solo, 'a'), 'alive');
  assert.equal(solo.core.clocks.member, 7);
});

test('a leave intent about a failed member makes it one that left, or erases it', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), aliveOf('b'), dead('a', 'self'), dead('b', 'self'));
  solo.hear(leave('a', 9), leave('b', 10, true));
  assert.equal(status(solo, 'a'), 'left');
  assert.equal(status(solo, 'b'), undefined);
  assert.equal(solo.eventTypes().at(-1), 'member-reap');
});

test('an intent about a member that is not known yet waits for it, for five minutes', () => {
  const solo = new Solo();
  solo.hear(leave('a', 5), leave('b', 5), join('a', 4));
  solo.hear(aliveOf('a'));
  assert.equal(status(solo, 'a'), 'leaving');
  solo.pass(301_000);
  solo.hear(aliveOf('b'));
  assert.equal(status(solo, 'b'), 'alive');
});

test('a member that is told to leave and does not says so with a newer join', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), leave('self', 20));
  assert.equal(status(solo, 'self'), 'alive');
  const said = intents(solo.gossip());
  assert.deepEqual(
    said.filter((intent) => intent.type === 'leave'),
    [],
    'the accusation is not passed on',
  );
  assert.equal(said[0]?.type, 'join');
  assert.equal(said[0]?.lTime, 21);
});

test('a leave intent with the very time of the last join is answered too, an older one is not', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'));
  solo.act((core, nowMs) => core.announceJoin(nowMs));
  const joined = solo.core.roster.statusLTime('self');
  solo.gossip();
  solo.hear(leave('self', joined));
  assert.ok(solo.core.roster.statusLTime('self') > joined);
  const answered = solo.core.roster.statusLTime('self');
  solo.gossip();
  solo.hear(leave('self', joined));
  assert.equal(solo.core.roster.statusLTime('self'), answered);
});

test('after a join the intent is newer than all that the pool knew of this name', () => {
  const solo = new Solo();
  const serf: SerfState = {
    lTime: 47,
    eventLTime: 1,
    queryLTime: 1,
    statusLTimes: new Map([['self', 44]]),
    leftMembers: ['self'],
    events: [],
  };
  solo.act((core, nowMs) => {
    core.merge(nowMs, { join: true, nodes: [{ ...aliveOf('a'), name: 'a', state: 0 }], serf }, true);
    core.announceJoin(nowMs);
  });
  const [intent] = intents(solo.gossip()).filter((one) => one.type === 'join' && one.node === 'self');
  assert.ok(intent!.lTime > 45, `its time is ${intent!.lTime}`);
  assert.equal(status(solo, 'self'), 'alive');
});

test('in a push/pull left members are left, and the others joined at their times', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), aliveOf('b'), leave('b', 3));
  const serf: SerfState = {
    lTime: 10,
    eventLTime: 4,
    queryLTime: 5,
    statusLTimes: new Map([
      ['a', 7],
      ['b', 8],
    ]),
    leftMembers: ['a'],
    events: [],
  };
  solo.act((core, nowMs) => core.merge(nowMs, { join: false, nodes: [], serf }, false));
  assert.equal(status(solo, 'a'), 'leaving');
  assert.equal(status(solo, 'b'), 'alive');
  assert.deepEqual(solo.core.clocks, { member: 10, event: 4, query: 5 });
  assert.equal(solo.core.roster.statusLTimes().get('a'), 8);
});

test('failed and left members are forgotten after their times', () => {
  const solo = new Solo({ reconnectTimeoutMs: 60_000, tombstoneTimeoutMs: 120_000 });
  solo.hear(aliveOf('a'), aliveOf('b'), leave('b', 5), dead('a', 'self'), dead('b', 'b'));
  solo.pass(80_000);
  assert.equal(status(solo, 'a'), undefined);
  assert.equal(status(solo, 'b'), 'left');
  solo.pass(60_000);
  assert.equal(status(solo, 'b'), undefined);
  assert.equal(solo.eventTypes().filter((type) => type === 'member-reap').length, 2);
});

test('names that come and go do not fill the memory', () => {
  const solo = new Solo({ maxMembers: 20, gossipToTheDeadMs: 1 });
  for (let i = 0; i < 200; i++) {
    solo.hear(aliveOf(`m${i}`), dead(`m${i}`, 'self'));
    if (i % 15 === 14) solo.pass(30_000);
  }
  assert.ok(solo.core.roster.size > 20 && solo.core.roster.size <= 41, `${solo.core.roster.size} are known`);
  assert.equal(status(solo, 'self'), 'alive');
  assert.equal(status(solo, 'm0'), undefined);
});

test('a failed member is tried again, so that one without seeds is found', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), dead('a', 'self'));
  solo.pass(65_000);
  assert.ok(solo.pushPulls.includes('a'));
});

test('a leave says the intent first, the goodbye after it, and answers for a while yet', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), aliveOf('b'));
  solo.gossip();
  solo.act((core, nowMs) => core.leave(nowMs));
  const order: string[] = [];
  for (let step = 0; step < 800 && !solo.eventTypes().includes('left'); step++) {
    solo.pass(10);
    for (const said of solo.said()) {
      const kind = said.type === 'user' ? said.body.type : said.type;
      if ((kind === 'leave' || kind === 'dead') && order.at(-1) !== kind) order.push(kind);
    }
    if (order.at(-1) === 'dead') {
      solo.hear({ type: 'ping', seqNo: 1, node: 'self', source: endpointOf('a') });
      assert.ok(solo.said().some((message) => message.type === 'ack'));
    }
  }
  assert.deepEqual(order, ['leave', 'dead']);
  assert.ok(solo.eventTypes().includes('left'));
  solo.hear({ type: 'suspect', node: 'self', incarnation: 1, from: 'a' });
  assert.equal(solo.record('self')?.incarnation, 1, 'who has left refutes nothing');
});

test('who is alone leaves at once', () => {
  const solo = new Solo();
  solo.act((core, nowMs) => core.leave(nowMs));
  assert.ok(solo.eventTypes().includes('left'));
});
