import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RaftStatus } from '@dcache/raft';
import { HandClock, turn } from '@dcache/testing';
import type { ReplicatedLog } from '../log/replicated-log.js';
import { ForwardFrame } from '../peers/forwarder.js';
import { Departure, departureResponse } from './departure.js';

function make(voters: number[], leader: number, learners: number[] = []) {
  const clock = new HandClock();
  const asked: number[] = [];
  const state = {
    voters,
    learners,
    leader,
    transfers: 0,
    transferArguments: [] as unknown[],
    transfer: async (): Promise<void> => {},
  };
  const log = {
    id: 1,
    leader: () => state.leader,
    status: () => ({ confState: { voters: state.voters, learners: state.learners } }) as unknown as RaftStatus,
    transferLeadership: async (...asked: unknown[]) => {
      state.transferArguments = asked;
      state.transfers++;
      await state.transfer();
    },
  } as unknown as ReplicatedLog;
  const sender = {
    sendFrame: (to: number, kind: number) => {
      assert.equal(kind, ForwardFrame.leaveRequest);
      asked.push(to);
      return 'sent' as const;
    },
  };
  const departure = new Departure(log, sender, clock);
  return { clock, asked, state, departure };
}

/** Lets the clock run until the promise settles; gives its result and how long that took. */
async function run<Result>(clock: HandClock, promise: Promise<Result>): Promise<{ result: Result; tookMs: number }> {
  const startMs = clock.monotonicMs();
  let settled: { result: Result } | undefined;
  void promise.then((result) => {
    settled = { result };
  });
  for (let i = 0; i < 100; i++) {
    await turn();
    if (settled) return { ...settled, tookMs: clock.monotonicMs() - startMs };
    clock.pass(50);
  }
  return assert.fail('it never settled');
}

test('a node that is no member has nothing to leave, and the last voter stays', async () => {
  const stranger = make([2, 3], 0);
  assert.equal(await stranger.departure.leave(), 'left');
  const last = make([1], 1);
  assert.equal(await last.departure.leave(), 'last');
  assert.deepEqual([...stranger.asked, ...last.asked], []);
});

test('a follower asks the leader and has left when the leader says so', async () => {
  const { clock, asked, departure } = make([1, 2, 3], 2);
  const leaving = departure.leave();
  assert.deepEqual(asked, [2]);
  departure.receive(departureResponse(true));
  assert.equal(await leaving, 'left');
  assert.equal(clock.pendingTimers, 0);
});

test('a learner asks as well', async () => {
  const { asked, departure } = make([2, 3], 2, [1]);
  const leaving = departure.leave();
  assert.deepEqual(asked, [2]);
  departure.receive(departureResponse(true));
  assert.equal(await leaving, 'left');
});

test('a node that is led but has not applied its own addition asks too: it may be a voter already', async () => {
  const { asked, departure } = make([2], 2);
  const leaving = departure.leave();
  assert.deepEqual(asked, [2]);
  departure.receive(departureResponse(true));
  assert.equal(await leaving, 'left');
});

test('a refusal, or silence, is followed by another question after a moment, to whoever leads then', async () => {
  const { clock, asked, state, departure } = make([1, 2, 3], 2);
  const leaving = departure.leave();
  departure.receive(departureResponse(false));
  await turn();
  assert.deepEqual(asked, [2]);
  state.leader = 3;
  clock.pass(250);
  await turn();
  assert.deepEqual(asked, [2, 3]);
  departure.receive(departureResponse(true));
  assert.equal(await leaving, 'left');
});

test('a node whose removal was applied has left, also when the answer was lost', async () => {
  const { clock, state, departure } = make([1, 2, 3], 2);
  const leaving = departure.leave();
  state.voters = [2, 3];
  assert.equal((await run(clock, leaving)).result, 'left');
});

test('the leader hands over first and then asks its successor', async () => {
  const { clock, asked, state, departure } = make([1, 2, 3], 1);
  state.transfer = async () => {
    state.leader = 3;
  };
  const leaving = departure.leave();
  clock.pass(300);
  await turn();
  assert.deepEqual(asked, [3]);
  departure.receive(departureResponse(true));
  assert.equal(await leaving, 'left');
});

test('a leader that leaves gives others that leave a moment, and does not hand over to them', async () => {
  const { clock, state, departure } = make([1, 2], 1);
  const leaving = departure.leave();
  clock.pass(299);
  await turn();
  assert.equal(state.transfers, 0);
  state.voters = [1];
  clock.pass(1);
  assert.equal(await leaving, 'last');
  assert.equal(state.transfers, 0);
});

test('nobody who answers is waited for three seconds at most, whoever leads', async () => {
  for (const leader of [0, 2]) {
    const { clock, departure } = make([1, 2, 3], leader);
    const { result, tookMs } = await run(clock, departure.leave());
    assert.equal(result, 'unheard');
    assert.ok(tookMs >= 3_000 && tookMs <= 3_300, `${tookMs} ms`);
    assert.equal(clock.pendingTimers, 0);
  }
});

test('a hand-over that fails is tried again with pauses, one that hangs is not waited for beyond the time', async () => {
  const failing = make([1, 2], 1);
  failing.state.transfer = async () => {
    throw new Error('no other voter');
  };
  assert.equal((await run(failing.clock, failing.departure.leave())).result, 'unheard');
  assert.ok(failing.state.transfers >= 5 && failing.state.transfers <= 13, `${failing.state.transfers} tries`);

  const stopping = make([1, 2, 3], 1);
  await stopping.departure.handOver();
  assert.deepEqual(stopping.state.transferArguments, [undefined, { mayBeFull: true }], 'reads go on under a full disk');
  const hanging = make([1, 2], 1);
  hanging.state.transfer = () => new Promise(() => {});
  const { result, tookMs } = await run(hanging.clock, hanging.departure.leave());
  assert.equal(result, 'unheard');
  assert.ok(tookMs <= 3_300, `${tookMs} ms`);
});

test('a durable node only hands over, where it leads and somebody else can', async () => {
  for (const [voters, leader, transfers] of [
    [[1, 2, 3], 1, 1],
    [[1, 2, 3], 2, 0],
    [[1], 1, 0],
  ] as const) {
    const { asked, state, departure } = make([...voters], leader);
    await departure.handOver();
    assert.equal(state.transfers, transfers);
    assert.deepEqual(asked, []);
  }
  const hanging = make([1, 2], 1);
  hanging.state.transfer = () => new Promise(() => {});
  assert.ok((await run(hanging.clock, hanging.departure.handOver())).tookMs <= 3_000);
});

test('an answer that nobody waits for, or an empty one, is told apart from a yes', async () => {
  const { departure } = make([1, 2], 2);
  departure.receive(departureResponse(true));
  const leaving = departure.leave();
  assert.throws(() => departure.receive(new Uint8Array()), { name: 'BytesError' });
  departure.receive(departureResponse(true));
  assert.equal(await leaving, 'left');
});
