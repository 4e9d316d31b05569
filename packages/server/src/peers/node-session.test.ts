import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Command, CommandType, DcacheError, type Reply, ReplyType } from '@dcache/protocol';
import { maxUnanswered, SessionTable } from '../state/session-table.js';
import { NodeSession } from './node-session.js';

/** Opens sessions with the ids 100, 200, … and counts how often it was asked. */
class FakeLeader {
  opened = 0;
  failure: Error | undefined;

  open = async (command: Command): Promise<Reply> => {
    assert.equal(command.type, CommandType.openSession);
    await Promise.resolve();
    if (this.failure) throw this.failure;
    return { type: ReplyType.ok, revision: ++this.opened * 100 };
  };
}

test('the first writes share one opening, and each has the next sequence', async () => {
  const leader = new FakeLeader();
  const session = new NodeSession();
  const stamps = await Promise.all([1, 2, 3].map(() => session.begin(leader.open)));
  assert.equal(leader.opened, 1);
  assert.deepEqual(
    stamps,
    [1, 2, 3].map((sequence) => ({ session: 100, sequence, lowestUnanswered: 1 })),
  );
});

test('the lowest unanswered sequence follows the writes that were answered, in whatever order', async () => {
  const leader = new FakeLeader();
  const session = new NodeSession();
  const [a, b, c] = await Promise.all([1, 2, 3].map(() => session.begin(leader.open)));
  session.end(b!);
  assert.equal((await session.begin(leader.open)).lowestUnanswered, 1);
  session.end(a!);
  assert.equal((await session.begin(leader.open)).lowestUnanswered, 3);
  session.end(c!);
  assert.equal((await session.begin(leader.open)).lowestUnanswered, 4);
});

test('an opening that fails is everybody’s failure, and the next write tries anew', async () => {
  const leader = new FakeLeader();
  const session = new NodeSession();
  leader.failure = new Error('no leader');
  const both = await Promise.allSettled([session.begin(leader.open), session.begin(leader.open)]);
  assert.ok(both.every(({ status }) => status === 'rejected'));
  leader.failure = undefined;
  assert.equal((await session.begin(leader.open)).session, 100);
});

test('an expired session is replaced once, and what was sent under the old one does not touch the new', async () => {
  const leader = new FakeLeader();
  const session = new NodeSession();
  const [a, b] = await Promise.all([session.begin(leader.open), session.begin(leader.open)]);
  session.expired(a!);
  const fresh = await session.begin(leader.open);
  assert.deepEqual(fresh, { session: 200, sequence: 1, lowestUnanswered: 1 });
  session.expired(b!);
  session.end(b!);
  assert.deepEqual(await session.begin(leader.open), { session: 200, sequence: 2, lowestUnanswered: 1 });
  assert.equal(leader.opened, 2);
});

test('4,000 writes without an answer are the most; more are busy until one is answered', async () => {
  const leader = new FakeLeader();
  const session = new NodeSession();
  const stamps = await Promise.all(Array.from({ length: 4_000 }, () => session.begin(leader.open)));
  await assert.rejects(session.begin(leader.open), (error: unknown) => {
    assert.ok(error instanceof DcacheError);
    assert.equal(error.code, 'busy');
    return true;
  });
  session.end(stamps[17]!);
  await session.begin(leader.open);
});

test('the bound holds also for writes that come while the session is being opened', async () => {
  const leader = new FakeLeader();
  const session = new NodeSession();
  const results = await Promise.allSettled(Array.from({ length: 4_100 }, () => session.begin(leader.open)));
  assert.equal(results.filter(({ status }) => status === 'rejected').length, 100);
});

test('one write that hangs never makes the state machine refuse those that come after it', async () => {
  const leader = new FakeLeader();
  const session = new NodeSession();
  const table = new SessionTable();
  for (let id = 100; id <= 1_000; id += 100) table.open(id, 1e9, 0);
  const hanging = await session.begin(leader.open);
  for (let i = 0; i < 3 * maxUnanswered; i++) {
    const stamp = await session.begin(leader.open);
    const reply = table.once(stamp, 0, () => ({ type: ReplyType.ok, revision: i }));
    assert.equal(reply.type, ReplyType.ok, `write ${i} was refused`);
    session.end(stamp);
  }
  assert.equal(leader.opened, 2, 'one more session, for all that came after');
  assert.equal(table.once(hanging, 0, () => ({ type: ReplyType.ok, revision: 7 })).revision, 7, 'nor that one');
});
