import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { aliveOf, endpointOf, Solo } from '../simulation/solo.js';
import type { QueryMessage, SwimMessage, User, UserEventMessage } from './message.js';

const nothing = new Uint8Array(0);

function event(lTime: number, name = 'deploy', payload = 'v1'): User {
  return { type: 'user', body: { type: 'user-event', lTime, name, payload: utf8(payload), coalesce: true } };
}

function query(changes: Partial<QueryMessage> = {}): User {
  const body: QueryMessage = {
    type: 'query',
    lTime: 3,
    id: 77,
    origin: endpointOf('asker'),
    sourceNode: 'asker',
    filters: [],
    flags: 1,
    relayFactor: 0,
    timeoutMs: 1000,
    name: 'uptime',
    payload: nothing,
    ...changes,
  };
  return { type: 'user', body };
}

function bodies<Type extends string>(messages: readonly SwimMessage[], type: Type) {
  return messages.flatMap((message) =>
    message.type === 'user' && message.body.type === type
      ? [message.body as Extract<typeof message.body, { type: Type }>]
      : [],
  );
}

function delivered(solo: Solo): { lTime: number; name: string }[] {
  return solo.events.flatMap((one) => (one.type === 'user' ? [one.event] : []));
}

test('an event is delivered once, however often it comes, and passed on', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), event(5), event(5), event(5, 'deploy', 'v2'), event(6));
  assert.deepEqual(
    delivered(solo).map(({ lTime }) => lTime),
    [5, 5, 6],
  );
  assert.equal(solo.core.clocks.event, 7);
  const passed = new Set(bodies(solo.gossip(), 'user-event').map((body: UserEventMessage) => `${body.lTime}`));
  assert.deepEqual([...passed].sort(), ['5', '6']);
});

test('an event that is older than the buffer reaches is dropped', () => {
  const solo = new Solo({ eventBuffer: 16 });
  solo.hear(event(100), event(90), event(84), event(70));
  assert.deepEqual(
    delivered(solo).map(({ lTime }) => lTime),
    [100, 90],
  );
});

test('a flood of events with one time is bounded', () => {
  const solo = new Solo();
  for (let i = 0; i < 2000; i++) solo.hear(event(5, `e${i}`, 'x'.repeat(400)));
  assert.ok(delivered(solo).length <= 256);
  const bytes = solo.core.localState(false).serf!.events[5]!.events.reduce((sum, one) => sum + one.payload.length, 0);
  assert.ok(bytes <= 32_768);
});

test('a queue that floods is cut to twice its depth at most', () => {
  const solo = new Solo({ maxQueueDepth: 100 });
  for (let i = 1; i < 1000; i++) solo.hear(event(i));
  assert.ok(solo.core.queueLengths.events <= 200);
});

test('a joining member asks not to hear what happened before', () => {
  const solo = new Solo();
  const slot = { lTime: 4, events: [{ name: 'old', payload: nothing }] };
  const serf = { lTime: 1, eventLTime: 5, queryLTime: 1, statusLTimes: new Map(), leftMembers: [], events: [slot] };
  solo.act((core, nowMs) => core.merge(nowMs, { join: true, nodes: [], serf }, true));
  assert.deepEqual(delivered(solo), []);
  solo.hear(event(5, 'new'));
  assert.equal(delivered(solo).length, 1);
});

test('a query is acked and delivered once, and passed on as it came', () => {
  const solo = new Solo();
  const raw = Uint8Array.of(4, 0x80);
  solo.hear(aliveOf('a'), { ...query(), raw }, query());
  const acks = bodies(solo.said(), 'query-response');
  assert.deepEqual(acks, [{ type: 'query-response', lTime: 3, id: 77, from: 'self', flags: 1, payload: nothing }]);
  assert.equal(solo.eventTypes().filter((type) => type === 'query').length, 1);
  const passed = solo.gossip().filter((message) => message.type === 'user' && message.body.type === 'query');
  assert.ok(passed.length > 0 && passed.every((message) => (message as User).raw === raw));
});

test('a query for others is passed on, but neither acked nor delivered', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), query({ filters: [{ kind: 'nodes', names: ['other'] }] }));
  solo.hear(query({ id: 78, filters: [{ kind: 'tag', tag: 'role', expression: 'x' }] }));
  solo.hear({ ...query({ id: 79, filters: [{ kind: 'unknown' }] }), raw: Uint8Array.of(4, 0x80) });
  assert.ok(!solo.eventTypes().includes('query'));
  const said = solo.gossip();
  assert.equal(bodies(said, 'query-response').length, 0);
  assert.equal(new Set(bodies(said, 'query').map((body) => body.id)).size, 3);
});

test('a query that asks not to be passed on is not', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), query({ flags: 2 }));
  assert.ok(solo.eventTypes().includes('query'));
  assert.equal(bodies(solo.gossip(), 'query').length, 0);
});

test('a query takes one answer, and none after its time', () => {
  const solo = new Solo();
  solo.hear(query(), query({ id: 78 }));
  solo.said();
  solo.act((core, nowMs) => {
    assert.equal(core.respond(nowMs, 3, 77, utf8('yes')), true);
    assert.equal(core.respond(nowMs, 3, 77, utf8('again')), false);
  });
  assert.deepEqual(solo.sends.at(-1)?.to, endpointOf('asker'));
  assert.equal(bodies(solo.said(), 'query-response').length, 1);
  solo.pass(1001);
  solo.act((core, nowMs) => assert.equal(core.respond(nowMs, 3, 78, nothing), false));
});

test('answers are relayed over other members, and relayed ones passed on unchanged', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), aliveOf('b'), aliveOf('c'), query({ relayFactor: 2 }));
  const relays = bodies(solo.said(), 'relay');
  assert.equal(relays.length, 2);
  assert.deepEqual(relays[0]!.destination, endpointOf('asker'));
  const inner = Uint8Array.of(5, 0x80);
  solo.hear({ type: 'user', body: { ...relays[0]!, destination: endpointOf('far'), inner } });
  assert.deepEqual(solo.sends.at(-1)?.to, endpointOf('far'));
  assert.equal((solo.sends.at(-1)!.messages[0] as User).raw, inner);
  assert.equal(solo.core.relays, 1);
});

test('the answers to an own query come once each, until its time is over', () => {
  const solo = new Solo();
  const request = { name: 'q', payload: nothing, filters: [], ack: true, relayFactor: 0, timeoutMs: 1000 };
  let sent = { lTime: 0, id: 0 };
  solo.act((core, nowMs) => {
    sent = core.query(nowMs, request);
  });
  const answer = (from: string, flags: number, id = sent.id): User => ({
    type: 'user',
    body: { type: 'query-response', lTime: sent.lTime, id, from, flags, payload: nothing },
  });
  solo.hear(answer('a', 1), answer('a', 1), answer('a', 0), answer('a', 0), answer('b', 0, sent.id + 1));
  const kinds = solo.eventTypes().filter((type) => type.startsWith('query-'));
  assert.deepEqual(kinds, ['query-ack', 'query-ack', 'query-response'], 'the first ack is our own');
  solo.pass(1001);
  solo.hear(answer('c', 0));
  assert.equal(solo.eventTypes().at(-1), 'query-done');
});

test('the default time of a query grows with the pool', () => {
  const solo = new Solo();
  assert.equal(solo.core.defaultQueryTimeoutMs, 3200);
  for (let i = 0; i < 20; i++) solo.hear(aliveOf(`m${i}`));
  assert.equal(solo.core.defaultQueryTimeoutMs, 6400);
});
