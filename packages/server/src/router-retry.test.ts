import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Command, CommandType, DcacheError, ReplyType } from '@dcache/protocol';
import { NotAppendedError } from './log/replicated-log.js';
import { FakeLeader, make, self, set, text, turns, watch } from './router.test.helper.js';

test('what is certainly not in the log is proposed again; an outcome that is unknown is told', async () => {
  const { log, clock, router } = make();
  log.appendFailures.push(new NotAppendedError('another term took its place'));
  const retried = watch(router.write(set('a', '1')));
  await turns();
  assert.equal(retried.settled, false, 'it does not spin while the same leader refuses');
  clock.pass(20);
  await turns();
  assert.equal(retried.result?.type, ReplyType.ok);
  log.appendFailures.push(new DcacheError('unknown-outcome', 'leadership was lost'));
  await assert.rejects(router.write(set('a', '2')), { code: 'unknown-outcome' });
  assert.equal(text(log.machine, 'a'), '1');
});

test('a write whose answer was lost with the leader is asked for at the next one and applied once', async () => {
  const { log, clock, leaders, forwarder, router } = make();
  const first = new FakeLeader();
  leaders.set(2, first);
  log.lead(2);
  await router.write(set('warm', 'up'));
  first.script.push('apply');
  const write = watch(router.write(set('n', 'once')));
  await turns();
  assert.equal(text(first.machine, 'n'), 'once');
  const { revision } = first.machine;

  // The state is replicated: the next leader has what the first had committed.
  leaders.set(3, new FakeLeader(first.machine));
  log.lead(3);
  forwarder.leaderIs(3);
  await turns();
  clock.pass(20);
  await turns();
  assert.deepEqual(write.result, { type: ReplyType.ok, revision }, 'the answer of that time');
  assert.equal(first.machine.revision, revision, 'applied once');
});

test('a write that never reached the old leader is applied by the next', async () => {
  const { log, clock, leaders, forwarder, router } = make();
  const first = new FakeLeader();
  leaders.set(2, first);
  log.lead(2);
  await router.write(set('warm', 'up'));
  first.script.push('drop');
  const write = watch(router.write(set('n', 'once')));
  await turns();
  const { revision } = first.machine;
  log.lead(0);
  forwarder.linkDown(2);
  await turns();
  assert.equal(write.settled, false);
  // This node itself is elected.
  await log.machine.restore(
    (async function* () {
      yield* first.machine.snapshot().chunks();
    })(),
  );
  log.lead(self);
  await turns();
  clock.pass(20);
  await turns();
  assert.deepEqual(write.result, { type: ReplyType.ok, revision: revision + 1 });
  assert.equal(text(log.machine, 'n'), 'once');
});

test('once an answer was lost, a later refusal never says that nothing was done', async () => {
  for (const refusal of ['busy', 'no-link', 'refuse'] as const) {
    const { log, clock, leaders, forwarder, router } = make();
    const leader = new FakeLeader();
    leaders.set(2, leader);
    log.lead(2);
    await router.write(set('warm', 'up'));
    leader.script.push('apply', ...Array.from({ length: 1_000 }, () => refusal));
    const write = watch(router.write(set('n', 'once')));
    await turns();
    forwarder.linkDown(2);
    for (let i = 0; i < 600 && !write.settled; i++) {
      await turns(2);
      clock.pass(10);
    }
    assert.equal((write.error as DcacheError | undefined)?.code, 'unknown-outcome', refusal);
    assert.equal(text(leader.machine, 'n'), 'once');
  }
});

test('a lost answer to the opening of the session is no unknown outcome of the write that wanted it', async () => {
  const { log, clock, leaders, forwarder, router } = make();
  const leader = new FakeLeader();
  leaders.set(2, leader);
  log.lead(2);
  leader.script.push('apply');
  const write = watch(router.write(set('a', '1')));
  await turns();
  forwarder.linkDown(2);
  await turns();
  clock.pass(20);
  await turns();
  assert.equal(write.result?.type, ReplyType.ok);
  assert.equal(text(leader.machine, 'a'), '1');
});

test('a session that expired is replaced without the client noticing', async () => {
  const { log, clock, leaders, router } = make();
  const leader = new FakeLeader();
  leaders.set(2, leader);
  log.lead(2);
  const { revision } = await router.write(set('a', '1'));
  await leader.appendAll([{ type: CommandType.closeSession, id: revision - 1 }]);
  const write = watch(router.write(set('a', '2')));
  for (let i = 0; i < 5; i++) {
    await turns();
    clock.pass(20);
  }
  assert.equal(write.result?.type, ReplyType.ok);
  assert.equal(text(leader.machine, 'a'), '2');
});

test("a client's own session is passed through, once", async () => {
  const { log, leaders, forwarder, router } = make();
  const leader = new FakeLeader();
  leaders.set(2, leader);
  log.lead(2);
  const { revision: session } = await router.write({ type: CommandType.openSession, ttlMs: 10_000 });
  leader.script.push('apply');
  const write = router.write({ ...set('a', '1'), session: { session, sequence: 1, lowestUnanswered: 1 } } as Command);
  const rejected = assert.rejects(write, { code: 'unknown-outcome' });
  await turns();
  forwarder.linkDown(2);
  await rejected;
  assert.equal(leader.machine.sessionCount, 1, 'no session of the node was opened for it');
});
