import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8, utf8 } from '@dcache/base';
import {
  type Command,
  CommandType,
  DcacheError,
  encodeLogEntry,
  ReadLevel,
  type Reply,
  ReplyType,
} from '@dcache/protocol';
import type { ConfState, RaftStatus } from '@dcache/raft';
import { HandClock, turn } from '@dcache/testing';
import { decodeForwardRequest, encodeForwardResponse } from './forward-codec.js';
import { answerForwarded, Forwarder } from './forwarder.js';
import { GroupCommit, type Settled } from './group-commit.js';
import { LogTime } from './log-time.js';
import { NotAppendedError, type ReplicatedLog } from './replicated-log.js';
import { Router, type RouterParts } from './router.js';
import { CacheStateMachine } from './state-machine.js';

const self = 1;
const set = (key: string, value: string, ttlMs = 0): Command => ({
  type: CommandType.set,
  key: utf8(key),
  value: utf8(value),
  ttlMs,
  flags: 0,
});

/** This node's log: the test says who leads and what goes wrong. */
class FakeLog implements ReplicatedLog {
  readonly id = self;
  readonly machine = new CacheStateMachine({ maxBytes: 1_048_576 });
  readonly listeners = new Set<() => void>();
  /** What the next calls fail with, in order. */
  readonly appendFailures: Error[] = [];
  readonly barrierFailures: Error[] = [];
  readonly barriers: string[] = [];
  appended = 0;
  leases: boolean[] = [];
  onBarrier: () => void = () => {};
  #leader = self;

  leader(): number {
    return this.#leader;
  }

  lead(leader: number): void {
    this.#leader = leader;
    for (const listener of [...this.listeners]) listener();
  }

  async append(data: Uint8Array): Promise<readonly Reply[]> {
    const failure = this.appendFailures.shift();
    if (failure) throw failure;
    this.appended++;
    return this.machine.apply({ data: data.slice() });
  }

  async readBarrier(level: Exclude<ReadLevel, 'local'>): Promise<void> {
    this.barriers.push(level);
    const failure = this.barrierFailures.shift();
    if (failure) throw failure;
    this.onBarrier();
  }

  isLeaseValid(): boolean {
    return this.leases.shift() ?? true;
  }

  onLeaderChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  status(): RaftStatus {
    return { id: this.id, isReadable: true, confState: { voters: [1, 2], learners: [3] } } as unknown as RaftStatus;
  }

  changeMember(): Promise<ConfState> {
    return assert.fail();
  }

  transferLeadership(): Promise<void> {
    return assert.fail();
  }
}

/** Another node that leads: applies what it is sent, and answers unless the test says otherwise. */
class FakeLeader {
  readonly machine: CacheStateMachine;
  /** What to do with the next frames: answer, apply without an answer, or drop. */
  readonly script: ('answer' | 'apply' | 'drop' | 'busy' | 'no-link' | 'refuse')[] = [];
  frames = 0;

  constructor(machine = new CacheStateMachine({ maxBytes: 1_048_576 })) {
    this.machine = machine;
  }

  appendAll = async (commands: readonly Command[]): Promise<readonly Settled[]> =>
    this.machine
      .apply({ data: encodeLogEntry({ stampMs: 1_700_000_000_000, commands }).slice() })
      .map((reply) => ({ reply }));
}

function make(more: Partial<RouterParts> = {}) {
  const log = new FakeLog();
  const clock = new HandClock();
  const time = new LogTime(clock);
  const leaders = new Map<number, FakeLeader>();
  const forwarder: Forwarder = new Forwarder(
    {
      sendFrame(to, _kind, payload) {
        const leader = leaders.get(to);
        const what = leader?.script.shift() ?? 'answer';
        if (!leader || what === 'no-link') return 'no-link';
        if (what === 'busy') return 'busy';
        leader.frames++;
        const bytes = payload.slice();
        if (what === 'refuse') {
          const { batch, commands } = decodeForwardRequest(bytes);
          const outcomes = commands.map(() => new DcacheError('no-leader', 'I do not lead'));
          setImmediate(() => forwarder.receive(to, encodeForwardResponse({ batch, outcomes })));
        } else if (what !== 'drop')
          void answerForwarded(bytes, leader.appendAll).then((response) => {
            if (what === 'answer') setImmediate(() => forwarder.receive(to, response));
          });
        return 'sent';
      },
    },
    clock,
    5_000,
  );
  const router = new Router({
    log,
    groupCommit: new GroupCommit((data) => log.append(data), time, 1_000_000),
    forwarder,
    stateMachine: log.machine,
    time,
    clock,
    readConsistency: ReadLevel.linearizable,
    requestTimeoutMs: 5_000,
    ...more,
  });
  return { log, clock, time, leaders, forwarder, router };
}

/** How a request ended; `settled` tells whether it has. */
function watch<Result>(promise: Promise<Result>): { result?: Result; error?: unknown; settled: boolean } {
  const outcome: { result?: Result; error?: unknown; settled: boolean } = { settled: false };
  promise.then(
    (result) => Object.assign(outcome, { result, settled: true }),
    (error) => Object.assign(outcome, { error, settled: true }),
  );
  return outcome;
}

const turns = async (count = 6): Promise<void> => {
  for (let i = 0; i < count; i++) await turn();
};

const text = (machine: CacheStateMachine, key: string): string | undefined => {
  const found = machine.read(utf8(key));
  return found && fromUtf8(found.value);
};

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

test('a linearizable read takes a barrier and then sees what was applied while it waited', async () => {
  const { log, router } = make();
  log.onBarrier = () => {
    log.machine.apply({ data: encodeLogEntry({ stampMs: 1, commands: [set('a', 'new')] }).slice() });
  };
  const found = await router.read(utf8('a'));
  assert.equal(found && fromUtf8(found.value), 'new');
  assert.deepEqual(log.barriers, ['linearizable']);
});

test('a read under a lease that ended meanwhile is not used, but made again with a round', async () => {
  const { log, router } = make();
  await router.write(set('a', 'old'));
  log.leases.push(false, false, false, false);
  log.onBarrier = () => {
    if (log.barriers.at(-1) === 'linearizable')
      log.machine.apply({ data: encodeLogEntry({ stampMs: 1, commands: [set('a', 'new')] }).slice() });
  };
  const found = await router.read(utf8('a'), { level: ReadLevel.lease });
  assert.equal(found && fromUtf8(found.value), 'new');
  // A leader that once offered to hand over has no lease for the rest of its term: that must not loop.
  assert.deepEqual(log.barriers, ['lease', 'linearizable']);
});

test('a local read takes no barrier, and hides what has expired by this node’s own clock', async () => {
  const { log, clock, time, router } = make();
  const stampMs = clock.wallMs();
  time.observe(stampMs);
  log.machine.apply({ data: encodeLogEntry({ stampMs, commands: [set('a', '1', 1_000), set('b', '2')] }).slice() });
  const local = { level: ReadLevel.local };
  clock.pass(999);
  assert.ok(await router.read(utf8('a'), local));
  clock.pass(1);
  assert.equal(await router.read(utf8('a'), local), undefined);
  assert.ok(await router.read(utf8('b'), local));
  assert.ok(await router.read(utf8('a')), 'other levels go by the applied stamp');
  assert.deepEqual(log.barriers, ['linearizable']);
});

test('a newcomer without data refuses local reads until it is a member, and answers them from then on', async () => {
  const { log, router } = make();
  const local = { level: ReadLevel.local };
  const { status } = log;
  for (const strange of [{ id: 9 }, { isReadable: false }]) {
    log.status = () => ({ ...status.call(log), ...strange });
    await assert.rejects(router.read(utf8('a'), local), {
      code: 'not-ready',
      message: /it is joining the cluster; ask/,
    });
    await assert.rejects(router.readMany([utf8('a')], local), { code: 'not-ready' });
  }
  log.status = status;
  assert.equal(await router.read(utf8('a'), local), undefined);
  log.status = () => ({ ...status.call(log), isReadable: false });
  assert.equal(await router.read(utf8('a'), local), undefined, 'what it has stays readable');
});

test('an error of the log that is not about leadership ends a read at once', async () => {
  const { log, router } = make();
  log.barrierFailures.push(new DcacheError('busy', 'too many reads'));
  await assert.rejects(router.read(utf8('a')), { code: 'busy' });
  assert.deepEqual(log.barriers, ['linearizable']);
});

test('the servers are told by name, sorted, with who leads; one that nobody named has its number', () => {
  const { log, router } = make();
  log.lead(2);
  assert.deepEqual(router.servers(), [
    { id: '1', rpcAddr: '', isLeader: false, voteStatus: 'Voter' },
    { id: '2', rpcAddr: '', isLeader: true, voteStatus: 'Voter' },
    { id: '3', rpcAddr: '', isLeader: false, voteStatus: 'Nonvoter' },
  ]);
});
