import assert from 'node:assert/strict';
import { until } from '@dcache/testing';
import type { Check } from './check.js';
import { type Agent, Lab, type LabOptions, pass } from './lab.js';

/** Pauses, crashes and restarts: checks 20 to 24 and 28. */
export async function checkFaults(check: Check, options: LabOptions = {}): Promise<void> {
  await using lab = new Lab(options);
  const { alpha, bravo, charlie, ts1 } = await lab.pool();

  await check(20, 'a paused agent costs nobody its place, and we send a nack', async () => {
    // Which member is asked for help is random, so the pause is repeated until it was us.
    const nacksOf = async (): Promise<number> => (await ts1.ask<{ nacks: number }>('stats')).nacks;
    await until(
      'a nack of ours',
      async () => {
        bravo.signal('SIGSTOP');
        await pass(3200);
        bravo.signal('SIGCONT');
        await alpha.sees('bravo', 'alive');
        return (await nacksOf()) > 0;
      },
      60_000,
    );
    await ts1.sees('bravo', 'alive');
    assert.deepEqual(failures(alpha, 'bravo'), []);
    assert.deepEqual(ts1.events('member-failed'), []);
  });
  await check(21, 'our node, paused until it is suspected, refutes and stays', async () => {
    const before = await ts1.ask<{ refutes: number }>('stats');
    const seen = [alpha, charlie].map((agent) => failures(agent, 'ts1').length);
    // With two to confirm, a suspicion lasts 4 s here; a pause of 4.5 s is suspected and still in time to refute.
    ts1.signal('SIGSTOP');
    await until('a suspicion', () => suspicions([alpha, bravo, charlie], 'ts1') > 0, 10_000);
    await pass(2000);
    ts1.signal('SIGCONT');
    await until('a refutation', async () => (await ts1.ask<{ refutes: number }>('stats')).refutes > before.refutes);
    await alpha.sees('ts1', 'alive');
    assert.deepEqual(
      [alpha, charlie].map((agent) => failures(agent, 'ts1').length),
      seen,
    );
  });
  await check(22, 'our node, paused until it counts as failed, is alive again within seconds', async () => {
    ts1.signal('SIGSTOP');
    await alpha.sees('ts1', 'failed', 40_000);
    const startMs = performance.now();
    ts1.signal('SIGCONT');
    await Promise.all([alpha, bravo, charlie].map((agent) => agent.sees('ts1', 'alive')));
    // It did not run for many seconds: what it did not hear in that time it holds against nobody.
    assert.deepEqual(ts1.events('member-failed'), []);
    return `alive everywhere ${Math.round(performance.now() - startMs)} ms after it went on`;
  });
  await check(23, 'our node, killed, is failed in about the formula time', async () => {
    ts1.signal('SIGKILL');
    const startMs = performance.now();
    await alpha.sees('ts1', 'failed', 30_000);
    const tookMs = performance.now() - startMs;
    assert.ok(tookMs < 26_000, `it took ${tookMs} ms`);
    return `${(tookMs / 1000).toFixed(1)} s`;
  });
  await check(24, 'our node, restarted on its port, is alive at once above its old incarnation', async () => {
    await ts1.ended();
    await ts1.start();
    await ts1.join(alpha.address);
    await Promise.all([alpha, bravo, charlie].map((agent) => agent.sees('ts1', 'alive', 5000)));
    const { refutes } = await ts1.ask<{ refutes: number }>('stats');
    assert.ok(refutes > 0, 'nothing was refuted');
  });
  await check(28, 'our node sees a crashed agent fail together with the agents', async () => {
    charlie.signal('SIGKILL');
    const startMs = performance.now();
    const seenBy = async (wait: Promise<unknown>): Promise<number> => {
      await wait;
      return performance.now() - startMs;
    };
    const times = await Promise.all([
      seenBy(alpha.sees('charlie', 'failed', 40_000)),
      seenBy(bravo.sees('charlie', 'failed', 40_000)),
      seenBy(until('ours', () => ts1.events('member-failed', 'charlie').length > 0, 40_000)),
    ]);
    const spreadMs = Math.max(...times) - Math.min(...times);
    assert.ok(spreadMs < 1500, `the three saw it ${spreadMs} ms apart`);
    return `after ${(times[0]! / 1000).toFixed(1)} s, ours ${Math.round(times[2]! - times[0]!)} ms from the first agent`;
  });
}

function failures(agent: Agent, name: string): string[] {
  return agent.lines(new RegExp(`EventMemberFailed: ${name}`));
}

function suspicions(agents: readonly Agent[], name: string): number {
  return agents.reduce((sum, agent) => sum + agent.lines(new RegExp(`Suspect ${name} has failed`)).length, 0);
}
