import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lan, type Timing } from '../core/config.js';
import { minSuspicionMs } from '../core/lifeguard.js';
import { SimulatedPool } from './pool.js';

/** How many seeds the long simulation runs; the tests of every day take few. */
const seeds = Number(process.env['SERF_SIMULATION_SEEDS'] ?? 2);
/** The first of them, so that several processes can share the work. */
const firstSeed = Number(process.env['SERF_SIMULATION_FIRST_SEED'] ?? 1);
/** Simulated minutes of each. */
const minutes = Number(process.env['SERF_SIMULATION_MINUTES'] ?? (seeds > 2 ? 60 : 2));
/** Each so many seeds one runs on the bytes of the wire, which takes several times as long. */
const onWireEvery = 100;

interface Scenario {
  readonly seed: number;
  readonly size: number;
  readonly durationMs: number;
  readonly timing?: Partial<Timing>;
  readonly onWire?: boolean;
}

interface Outcome {
  /** Members in good order that somebody declared dead, and who. */
  readonly wronged: string[];
  /** How long after the crash each member that is left heard of it, in ms; undefined for never. */
  readonly heardMs: { readonly healthy: (number | undefined)[]; readonly starved: (number | undefined)[] };
}

/** A pool of which a quarter is starved and every fifth packet is lost; half-way a healthy member crashes. */
function simulate({ seed, size, durationMs, timing = {}, onWire = false }: Scenario): Outcome {
  const wronged: string[] = [];
  const heard = new Map<string, number>();
  let crashedAtMs = Number.POSITIVE_INFINITY;
  const pool = new SimulatedPool({
    seed,
    size,
    loss: 0.2,
    starved: size / 4,
    timing,
    onWire,
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
  pool.crash(pool.members[(3 * seed) % (size * 0.75)]!);
  pool.time.run(durationMs / 2);
  const heardBy = (areStarved: boolean): (number | undefined)[] =>
    pool.members
      .filter((member) => member.isStarved === areStarved && !member.crashed)
      .map((member) => heard.get(member.name));
  return { wronged, heardMs: { healthy: heardBy(false), starved: heardBy(true) } };
}

/**
 * The longest that healthy members may take to know of a crash. Somebody probes the victim within a few intervals, in
 * poor health up to eight times slower; the suspicion is at most as long as without any confirmation; then the verdict
 * spreads in a few rounds.
 */
function longestMs(size: number): number {
  const { suspicionMult, suspicionMaxTimeoutMult, probeIntervalMs } = lan();
  return 16_000 + suspicionMaxTimeoutMult * minSuspicionMs(suspicionMult, size, probeIntervalMs) + 4000;
}

/** Those who heard of the crash after that time, or never. */
function late({ heardMs }: Outcome, size: number): (number | undefined)[] {
  return heardMs.healthy.filter((tookMs) => tookMs === undefined || tookMs > longestMs(size));
}

for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
  const onWire = seed % onWireEvery === 0;
  test(`of 100 members, a quarter starved and every fifth packet lost, no healthy one is declared dead in ${minutes} minutes, and a crash is known in time (seed ${seed}${onWire ? ', on the wire' : ''})`, () => {
    const outcome = simulate({ seed, size: 100, durationMs: minutes * 60_000, onWire });
    assert.deepEqual(outcome.wronged, []);
    assert.equal(outcome.heardMs.healthy.length, 74);
    assert.deepEqual(late(outcome, 100), []);
    // Who hardly runs may miss all the gossip and find out by its own probes, two rounds of them at the latest (SWIM
    // §4.3); each pause stretches its suspicions. Short runs end before that.
    if (minutes >= 60) assert.ok(outcome.heardMs.starved.every((tookMs) => tookMs !== undefined));
  });
}

test('the same holds where every packet and stream goes over the wire as bytes', () => {
  const outcome = simulate({ seed: 50, size: 20, durationMs: 120_000, onWire: true });
  assert.deepEqual(outcome.wronged, []);
  assert.equal(outcome.heardMs.healthy.length, 14);
  assert.deepEqual(late(outcome, 20), []);
});

// Two contrasts show that the runs above can fail: the same network, but other rules.

test('suspicions too short for a refutation make the pool declare healthy members dead', () => {
  // SWIM without help of others, without local health, and two seconds to answer an accusation.
  const timing = { suspicionMult: 1, suspicionMaxTimeoutMult: 1, awarenessMaxMultiplier: 1, indirectChecks: 0 };
  const wronged = [1, 2, 3].flatMap((seed) => simulate({ seed, size: 40, durationMs: 120_000, timing }).wronged);
  assert.ok(wronged.length > 0);
});

test('a pool that suspects for longer knows of a crash too late', () => {
  const outcome = simulate({ seed: 1, size: 40, durationMs: 240_000, timing: { suspicionMult: 40 } });
  assert.ok(late(outcome, 40).length > 0);
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

test('a pool that was cut in two, long enough to forget, becomes one again', () => {
  const pool = new SimulatedPool({ seed: 12, size: 20 });
  const shown = (status: string): number[] => pool.members.map((member) => member.core.roster.count(status as 'alive'));
  pool.joinAll();
  pool.time.run(10_000);
  pool.cut = (from, to) => from.index < 8 !== to.index < 8;
  pool.time.run(120_000);
  for (const [index, alive] of shown('alive').entries()) assert.equal(alive, index < 8 ? 8 : 12);
  assert.equal(pool.members[0]!.core.record('m15'), undefined, 'the lower layer has forgotten the others');
  pool.cut = undefined;
  pool.time.run(240_000, () => shown('alive').every((alive) => alive === 20));
  assert.deepEqual(new Set(shown('alive')), new Set([20]));
  assert.deepEqual(new Set(shown('failed')), new Set([0]));
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
  const pool = new SimulatedPool({ seed: 9, size: 40, loss: 0.1, onWire: true });
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
