import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Timing } from '../core/config.js';
import { minSuspicionMs } from '../core/lifeguard.js';
import { SimulatedPool } from './pool.js';

/** How many seeds the long simulation runs; the tests of every day take few. */
const seeds = Number(process.env['SERF_SIMULATION_SEEDS'] ?? 2);
/** Simulated minutes of each. */
const minutes = Number(process.env['SERF_SIMULATION_MINUTES'] ?? (seeds > 2 ? 60 : 3));

interface Outcome {
  /** Members in good order that somebody declared dead, and who. */
  readonly wronged: string[];
  /** When each member that runs heard of the crash, after it, in ms. */
  readonly heardMs: number[];
  readonly members: number;
}

function simulate(seed: number, durationMs: number, timing: Partial<Timing> = {}, size = 100): Outcome {
  const wronged: string[] = [];
  const heard = new Map<string, number>();
  let crashedAtMs = Number.POSITIVE_INFINITY;
  const victim = 3;
  const pool = new SimulatedPool({
    seed,
    size,
    loss: 0.2,
    starved: size / 4,
    timing,
    onEvent(at, event, nowMs) {
      if (event.type !== 'member-failed') return;
      const index = Number(event.member.name.slice(1));
      const failed = pool.members[index]!;
      if (failed.crashed) {
        if (!heard.has(at.name)) heard.set(at.name, nowMs - crashedAtMs);
      } else if (!failed.isStarved) wronged.push(`${at.name} declares ${failed.name} dead at ${nowMs} ms`);
    },
  });
  pool.joinAll();
  pool.time.run(durationMs / 2);
  crashedAtMs = pool.time.nowMs;
  pool.crash(pool.members[victim]!);
  pool.time.run(durationMs / 2);
  return { wronged, heardMs: [...heard.values()], members: size - 1 };
}

for (let seed = 1; seed <= seeds; seed++)
  test(`of 100 members, a quarter starved and every fifth packet lost, no healthy one is declared dead in ${minutes} minutes (seed ${seed})`, () => {
    const { wronged, heardMs, members } = simulate(seed, minutes * 60_000);
    assert.deepEqual(wronged, []);
    assert.equal(heardMs.length, members, 'every member hears of the crash');
    // Somebody probes the victim within a few intervals, in poor health up to eight times slower; the suspicion is at
    // most as long as without any confirmation; the verdict spreads in a few rounds, slower to those who starve.
    const longestMs = 16_000 + 6 * minSuspicionMs(4, members + 1, 1000) + 20_000;
    assert.ok(Math.max(...heardMs) <= longestMs, `the last hears of it after ${Math.max(...heardMs)} ms`);
  });

test('suspicions too short for a refutation make the pool declare healthy members dead', () => {
  // The contrast shows that the runs above can fail: the same network, but two seconds to answer an accusation.
  const { wronged } = simulate(1, 120_000, { suspicionMult: 1, suspicionMaxTimeoutMult: 1 }, 40);
  assert.ok(wronged.length > 0);
});

test('equal seeds give equal runs, to the last packet', () => {
  const run = (seed: number): string => {
    const log: string[] = [];
    const pool = new SimulatedPool({
      seed,
      size: 20,
      loss: 0.2,
      starved: 5,
      onEvent: (at, event, nowMs) => log.push(`${nowMs} ${at.name} ${event.type}`),
    });
    pool.joinAll();
    pool.time.run(60_000);
    return `${pool.datagrams} ${log.join()}`;
  };
  assert.equal(run(5), run(5));
  assert.notEqual(run(5), run(6));
});

test('in a quiet pool a crash is known everywhere within the suspicion of the formula and a few rounds', () => {
  for (const size of [3, 10, 50]) {
    const heard: number[] = [];
    const pool = new SimulatedPool({
      seed: size,
      size,
      onEvent: (_at, event, nowMs) => {
        if (event.type === 'member-failed') heard.push(nowMs);
      },
    });
    pool.joinAll();
    pool.time.run(30_000);
    assert.deepEqual(heard, []);
    pool.crash(pool.members[1]!);
    pool.time.run(40_000);
    assert.equal(heard.length, size - 1);
    const least = minSuspicionMs(4, size, 1000);
    const times = heard.map((atMs) => atMs - 30_000);
    assert.ok(Math.min(...times) >= least, `${size} members: first after ${Math.min(...times)} ms`);
    // At most a round of probing in a small pool, the probe itself, a suspicion with its confirmations, and gossip.
    const most = Math.min(size, 8) * 1000 + 1000 + 6 * least + 2000;
    assert.ok(Math.max(...times) <= most, `${size} members: last after ${Math.max(...times)} ms`);
  }
});

test('no packet passes the packet size, in a storm of claims, events and queries', () => {
  const pool = new SimulatedPool({ seed: 9, size: 60, loss: 0.1, measurePackets: true });
  pool.joinAll();
  pool.time.run(3000);
  const payload = new Uint8Array(300);
  for (const member of pool.members)
    pool.act(member, (core, nowMs) => {
      for (let i = 0; i < 5; i++) core.userEvent(nowMs, `storm${i}`, payload, true);
      core.query(nowMs, { name: 'q', payload, filters: [], ack: true, relayFactor: 2, timeoutMs: 3000 });
    });
  pool.time.run(10_000);
  assert.ok(pool.largestPacketBytes > 1200, 'packets are filled');
  assert.ok(pool.largestPacketBytes <= 1400, `the largest has ${pool.largestPacketBytes} bytes`);
});
