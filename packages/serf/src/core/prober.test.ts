import assert from 'node:assert/strict';
import { test } from 'node:test';
import { aliveOf, endpointOf, Solo } from '../simulation/solo.js';
import { type IndirectPing, NodeState, type Ping, type SwimMessage } from './message.js';

/** A pool of `self` and members that answer only what the test makes them answer. */
function pool(...names: string[]): Solo {
  const solo = new Solo();
  solo.hear(...names.map((name) => aliveOf(name)));
  return solo;
}

function pings(messages: readonly SwimMessage[]): Ping[] {
  return messages.filter((message) => message.type === 'ping');
}

/** Passes time in small steps until something of the type was said, and returns all that was said in the last step. */
function until(solo: Solo, type: SwimMessage['type']): SwimMessage[] {
  for (let step = 0; step < 1000; step++) {
    solo.pass(10);
    const said = solo.said();
    if (said.some((message) => message.type === type)) return said;
  }
  throw new Error(`nothing of type ${type} was said in 10 s`);
}

test('members are probed in turn, each once in a round (SWIM §4.3)', () => {
  const solo = pool('a', 'b', 'c');
  const probed: string[] = [];
  for (let i = 0; i < 9; i++) {
    const ping = pings(until(solo, 'ping'))[0]!;
    probed.push(ping.node);
    solo.hear({ type: 'ack', seqNo: ping.seqNo });
  }
  for (const name of ['a', 'b', 'c']) assert.ok(probed.filter((node) => node === name).length >= 2, probed.join());
  assert.equal(solo.core.counters.probesFailed, 0);
});

test('without an ack others are asked and a stream is tried, then the member is suspected', () => {
  const solo = pool('a', 'b', 'c', 'd', 'e');
  const ping = pings(until(solo, 'ping'))[0]!;
  const startMs = solo.nowMs;
  const asked = until(solo, 'indirect-ping').filter(
    (message): message is IndirectPing => message.type === 'indirect-ping',
  );
  assert.ok(Math.abs(solo.nowMs - startMs - 500) <= 20, `asked after ${solo.nowMs - startMs} ms`);
  assert.equal(asked.length, 3);
  for (const request of asked) {
    assert.equal(request.seqNo, ping.seqNo);
    assert.equal(request.node, ping.node);
    assert.deepEqual(request.target, endpointOf(ping.node));
    assert.equal(request.nack, true);
  }
  assert.equal(solo.streamPings, 1);
  assert.equal(solo.record(ping.node)?.state, NodeState.alive);
  solo.pass(510);
  assert.equal(solo.record(ping.node)?.state, NodeState.suspect);
});

test('an ack before the deadline, or one over a stream, saves the member', () => {
  for (const over of ['packet', 'stream'] as const) {
    const solo = pool('a', 'b', 'c');
    const ping = pings(until(solo, 'ping'))[0]!;
    until(solo, 'indirect-ping');
    if (over === 'packet') solo.hear({ type: 'ack', seqNo: ping.seqNo });
    else solo.act((core, nowMs) => core.streamAck(nowMs, ping.seqNo));
    solo.pass(600);
    assert.equal(solo.record(ping.node)?.state, NodeState.alive, over);
    assert.equal(solo.core.counters.probesFailed, 0);
  }
});

test('an ack of another number saves nobody', () => {
  const solo = pool('a', 'b');
  const ping = pings(until(solo, 'ping'))[0]!;
  solo.hear({ type: 'ack', seqNo: ping.seqNo + 7 });
  solo.pass(1100);
  assert.equal(solo.record(ping.node)?.state, NodeState.suspect);
});

test('helpers that do not even send a nack cost this member its own health (Lifeguard §IV-A)', () => {
  const fails = (nacks: number): number => {
    const solo = pool('a', 'b', 'c', 'd');
    const ping = pings(until(solo, 'ping'))[0]!;
    until(solo, 'indirect-ping');
    for (let i = 0; i < nacks; i++) solo.hear({ type: 'nack', seqNo: ping.seqNo });
    solo.pass(510);
    assert.equal(solo.core.counters.probesFailed, 1);
    return solo.core.healthScore;
  };
  assert.equal(fails(0), 3);
  assert.equal(fails(2), 1);
  assert.equal(fails(3), 0);
});

test('a member in poor health probes more slowly', () => {
  const solo = pool('a', 'b', 'c');
  for (let i = 1; i <= 3; i++) solo.hear({ type: 'suspect', node: 'self', incarnation: i, from: 'a' });
  assert.equal(solo.core.healthScore, 3);
  const ping = pings(until(solo, 'ping'))[0]!;
  solo.pass(3900);
  assert.equal(solo.record(ping.node)?.state, NodeState.alive, 'the probe lasts four intervals');
  solo.pass(200);
  assert.equal(solo.record(ping.node)?.state, NodeState.suspect);
});

test('a ping is answered to its source, one for another name not at all', () => {
  const solo = new Solo();
  solo.hear({ type: 'ping', seqNo: 5, node: 'self', source: endpointOf('a') });
  assert.deepEqual(solo.sends.at(-1)?.to, endpointOf('a'));
  assert.equal(solo.said().filter((message) => message.type === 'ack').length, 1);
  solo.hear({ type: 'ping', seqNo: 6, node: '' });
  assert.deepEqual(solo.sends.at(-1)?.to, endpointOf('anybody'));
  solo.said();
  solo.hear({ type: 'ping', seqNo: 7, node: 'other' });
  assert.deepEqual(solo.said(), []);
});

test('who is pinged by a stranger asks him for the pool, once it is plain that no news of him is on its way', () => {
  const solo = new Solo();
  const ping = (from: string, more: Partial<Ping> = {}): Ping =>
    ({ type: 'ping', seqNo: 5, node: 'self', source: endpointOf(from), sourceNode: from, ...more }) as const;
  solo.hear(aliveOf('known'), ping('known'), ping('a', { node: '' }), ping(''));
  solo.hear({ type: 'ping', seqNo: 5, node: 'self', source: endpointOf('a') });
  solo.hear({ type: 'ping', seqNo: 5, node: 'self', sourceNode: 'a' });
  solo.pass(600);
  assert.deepEqual(solo.pushPulls, []);
  solo.hear(ping('new'));
  solo.pass(400);
  solo.hear(aliveOf('new'));
  solo.pass(600);
  assert.deepEqual(solo.pushPulls, [], 'he had only just joined');
  for (let i = 0; i < 100; i++) {
    solo.hear(ping(`stranger${i}`));
    solo.pass(20);
  }
  assert.deepEqual(solo.pushPulls, ['stranger0', 'stranger25', 'stranger50', 'stranger75'], 'one at a time');
});

test('strangers are met neither by who leaves nor where the table is full', () => {
  for (const isFull of [true, false]) {
    const solo = isFull ? new Solo({ maxMembers: 1 }) : new Solo();
    const ping = { type: 'ping', seqNo: 5, node: 'self', source: endpointOf('a'), sourceNode: 'a' } as const;
    solo.hear(ping);
    if (!isFull) solo.act((core, nowMs) => core.leave(nowMs));
    solo.hear(ping);
    solo.pass(5_000);
    assert.deepEqual(solo.pushPulls, [], `${isFull}`);
  }
});

test('for another member the target is pinged, and its ack or a nack sent back', () => {
  const request = (seqNo: number): SwimMessage => ({
    type: 'indirect-ping',
    seqNo,
    node: 'x',
    target: endpointOf('x'),
    nack: true,
    source: endpointOf('a'),
  });
  const solo = new Solo();
  solo.hear(request(77));
  const ping = pings(solo.said())[0]!;
  assert.notEqual(ping.seqNo, 77);
  solo.hear({ type: 'ack', seqNo: ping.seqNo });
  assert.deepEqual(solo.sends.at(-1)?.to, endpointOf('a'));
  assert.deepEqual(solo.said()[0], { type: 'ack', seqNo: 77 });
  solo.hear(request(78));
  solo.said();
  solo.pass(501);
  assert.deepEqual(
    solo.said().filter((message) => message.type === 'nack'),
    [{ type: 'nack', seqNo: 78 }],
  );
});

test('a member about to be declared dead is asked once more, and an answer holds the verdict', () => {
  const solo = pool('a', 'b', 'c', 'd');
  const claim: SwimMessage = { type: 'suspect', node: 'a', incarnation: 1, from: 'b' };
  solo.hear(claim, { ...claim, from: 'c' }, { ...claim, from: 'd' });
  // The suspicion lasts 4 s. Whoever asks `a` gets an answer, but its refutation is lost each time.
  for (let step = 0; step < 1000; step++) {
    solo.pass(10);
    for (const ping of pings(solo.said())) solo.hear({ type: 'ack', seqNo: ping.seqNo });
  }
  assert.equal(solo.record('a')?.state, NodeState.suspect);
  assert.ok(solo.core.counters.suspicionsHeld > 0);
  assert.ok(solo.pushPulls.includes('a'), 'the member itself tells what was missed');
  solo.pass(8000);
  assert.equal(solo.record('a')?.state, NodeState.dead, 'once it is silent the verdict comes');
});

test('a process that stood still blames nobody for it', () => {
  const solo = pool('a', 'b', 'c', 'd');
  const claim: SwimMessage = { type: 'suspect', node: 'a', incarnation: 1, from: 'b' };
  solo.hear(claim, { ...claim, from: 'c' }, { ...claim, from: 'd' });
  until(solo, 'ping');
  // Ten seconds without running: the deadline of the suspicion and of the probe passed meanwhile.
  solo.nowMs += 10_000;
  solo.act((core, nowMs) => core.tick(nowMs));
  assert.equal(solo.record('a')?.state, NodeState.suspect);
  assert.equal(solo.core.counters.probesFailed, 0);
  assert.equal(solo.core.counters.stalls, 1);
  solo.hear(aliveOf('a', 2));
  assert.equal(solo.record('a')?.state, NodeState.alive);
});
