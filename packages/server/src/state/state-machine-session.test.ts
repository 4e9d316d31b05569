import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Command, CommandType, ConditionType, ReplyType, type SetCommand } from '@dcache/protocol';
import { cut, failed, Machine, ok, set } from './state-machine.test.helper.js';

test('a session applies a repeated write once, across entries and after a snapshot', async () => {
  const machine = new Machine();
  const session = machine.one({ type: CommandType.openSession, ttlMs: 10_000 }).revision;
  const write = set('n', '1', { session: { session, sequence: 1, lowestUnanswered: 1 } });
  const first = machine.one(write);
  machine.one(set('n', '2'));
  assert.deepEqual(machine.one(write), first);
  assert.equal(machine.get('n'), '2', 'the repetition did not write over what came later');

  const copy = new Machine();
  await copy.inner.restore(cut(machine.bytes()));
  assert.deepEqual(copy.one(write), first);
  assert.equal(copy.get('n'), '2');
});

test('a failed condition is remembered by the session too, so that a retry gets the same answer', () => {
  const machine = new Machine();
  const session = machine.one({ type: CommandType.openSession, ttlMs: 10_000 }).revision;
  const condition = { type: ConditionType.present, revision: 0 };
  const write = set('n', '1', { condition, session: { session, sequence: 1, lowestUnanswered: 1 } });
  assert.deepEqual(machine.one(write), failed(0));
  machine.one(set('n', '0'));
  assert.deepEqual(machine.one(write), failed(0));
});

test('a session that was closed, or not used for its time, refuses and does not apply', () => {
  const machine = new Machine();
  const expired = { type: ReplyType.sessionExpired, revision: 0 };
  const a = machine.one({ type: CommandType.openSession, ttlMs: 1_000 }).revision;
  const b = machine.one({ type: CommandType.openSession, ttlMs: 1_000 }).revision;
  assert.notEqual(a, b);
  assert.equal(machine.one({ type: CommandType.closeSession, id: a }).type, ReplyType.ok);
  assert.deepEqual(machine.one({ type: CommandType.closeSession, id: a }), { type: ReplyType.notFound, revision: 0 });
  assert.deepEqual(machine.one(set('x', '1', { session: { session: a, sequence: 1, lowestUnanswered: 1 } })), expired);
  machine.nowMs += 1_001;
  assert.deepEqual(machine.one(set('x', '1', { session: { session: b, sequence: 1, lowestUnanswered: 1 } })), expired);
  assert.equal(machine.get('x'), undefined);
});

test('a request with an idempotency key is applied once, also by a node that was healed by a snapshot', async () => {
  const machine = new Machine();
  const keyed = (value: string): Command => ({
    ...(set('k', value) as SetCommand),
    idempotency: { key: Buffer.alloc(16, 1), fingerprint: Buffer.alloc(16, value) },
  });
  assert.deepEqual(machine.one(keyed('first')), ok(1));
  assert.deepEqual(machine.one(set('k', 'second')), ok(2));
  const healed = new Machine();
  await healed.inner.restore(cut(machine.bytes()));
  for (const one of [machine, healed]) {
    assert.deepEqual(one.one(keyed('first')), ok(1));
    assert.deepEqual(one.one(keyed('other')), { type: ReplyType.keyReused, revision: 0 });
    assert.equal(one.get('k'), 'second');
  }
  assert.equal(healed.inner.stateHash(), machine.inner.stateHash());
  const without = new Machine();
  without.apply(set('k', 'first'), set('k', 'second'));
  assert.notEqual(without.inner.stateHash(), machine.inner.stateHash(), 'the keys are in the state hash');
});
