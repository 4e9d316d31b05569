import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { type DcacheError, ReplyType } from '@dcache/protocol';
import { NotAppendedError } from './log/replicated-log.js';
import { FakeLeader, make, self, set, text, turns, watch } from './router.test.helper.js';

test('the leader proposes a write itself', async () => {
  const { log, router } = make();
  assert.equal((await router.write(set('a', '1'))).type, ReplyType.ok);
  assert.equal(text(log.machine, 'a'), '1');
  assert.equal(log.appended, 1);
});

test('a follower forwards a write to the leader, and opens one session for all of them', async () => {
  const { log, leaders, router } = make();
  const leader = new FakeLeader();
  leaders.set(2, leader);
  log.lead(2);
  const replies = await Promise.all(['a', 'b', 'c'].map((key) => router.write(set(key, key))));
  assert.deepEqual(
    replies.map((reply) => reply.revision),
    [2, 3, 4],
    'after the session, in order',
  );
  assert.equal(leader.machine.sessionCount, 1);
  assert.equal(leader.frames, 2, 'the session, then all writes of the turn in one frame');
  assert.equal(log.appended, 0);
});

test('a request waits through an election, and thousands of them share one listener', async () => {
  const { log, clock, router } = make();
  log.lead(0);
  const writes = Array.from({ length: 3_000 }, (_, i) => router.write(set(`k${i}`, 'v')));
  log.barrierFailures.push(new NotAppendedError('no leader'));
  const read = router.read(utf8('k1'));
  await turns();
  assert.equal(log.listeners.size, 1);
  log.lead(self);
  assert.ok((await Promise.all(writes)).every((reply) => reply.type === ReplyType.ok));
  await read;
  assert.equal(log.listeners.size, 0, 'nobody waits, so nobody listens');
  assert.equal(clock.pendingTimers, 0);
});

test('without a leader in its time a request ends with no-leader, and nothing was done', async () => {
  const { log, clock, router } = make();
  log.lead(0);
  log.barrierFailures.push(new NotAppendedError('no leader'));
  const write = watch(router.write(set('a', '1')));
  const read = watch(router.read(utf8('a')));
  await turns();
  clock.pass(4_999);
  await turns();
  assert.deepEqual([write.settled, read.settled], [false, false]);
  clock.pass(1);
  await turns();
  for (const { error } of [write, read]) {
    assert.equal((error as DcacheError).code, 'no-leader');
    assert.match((error as DcacheError).message, /within 5000 ms; nothing was done/);
  }
  assert.equal(log.listeners.size, 0);
  assert.equal(clock.pendingTimers, 0);
});

test('a request waits no longer than its client does, is not sent after that, and holds nothing', async () => {
  const { log, clock, leaders, forwarder, router } = make();
  const deadlineMs = clock.monotonicMs() + 300;
  log.lead(0);
  log.barrierFailures.push(new NotAppendedError('no leader'));
  const write = watch(router.write(set('a', '1'), { deadlineMs }));
  const read = watch(router.read(utf8('a'), { deadlineMs }));
  const many = watch(router.readMany([utf8('a')], { deadlineMs: clock.monotonicMs() + 60_000 }));
  await turns();
  clock.pass(299);
  await turns();
  assert.deepEqual([write.settled, read.settled], [false, false]);
  clock.pass(1);
  await turns();
  for (const { error } of [write, read]) {
    assert.equal((error as DcacheError).code, 'timeout');
    assert.equal((error as DcacheError).grpcStatus, 4);
    assert.match((error as DcacheError).message, /the time that its client gave it; nothing was done/);
  }
  log.lead(self);
  await turns();
  assert.equal(log.appended, 0);
  assert.equal(many.settled, true, 'the others go on');
  assert.equal(log.listeners.size, 0);
  assert.equal(clock.pendingTimers, 0);

  // What was sent may be applied: then the end of the time says so, and nothing is sent again.
  const leader = new FakeLeader();
  leaders.set(2, leader);
  log.lead(2);
  await router.write(set('warm', 'up'));
  leader.script.push('apply');
  const sent = watch(router.write(set('n', 'once'), { deadlineMs: clock.monotonicMs() + 300 }));
  await turns();
  clock.pass(300);
  const { frames } = leader;
  forwarder.linkDown(2);
  await turns();
  assert.equal((sent.error as DcacheError | undefined)?.code, 'unknown-outcome');
  clock.pass(60_000);
  await turns();
  assert.equal(leader.frames, frames);
});

test('writes under way are bounded in bytes, wherever they wait; past the bound they are busy', async () => {
  const { log, router } = make({ maxInFlightBytes: 10_000 });
  log.lead(0);
  const first = router.write(set('a', 'x'.repeat(20_000)));
  await assert.rejects(router.write(set('b', 'x')), { code: 'busy' });
  log.lead(self);
  await first;
  const five = await Promise.allSettled(Array.from({ length: 12 }, () => router.write(set('c', 'x'))));
  assert.equal(five.filter(({ status }) => status === 'fulfilled').length, 9);
  await router.write(set('d', 'x'));
});

test('the servers are told by name, sorted, with who leads; one that nobody named has its number', () => {
  const { log, router } = make();
  log.lead(2);
  assert.deepEqual(router.servers(), [
    { id: '1', rpcAddr: '', isLeader: false, voteStatus: 'Voter', raftId: 1 },
    { id: '2', rpcAddr: '', isLeader: true, voteStatus: 'Voter', raftId: 2 },
    { id: '3', rpcAddr: '', isLeader: false, voteStatus: 'Nonvoter', raftId: 3 },
  ]);
});
