import assert from 'node:assert/strict';
import { until } from '@dcache/testing';
import type { Check } from './check.js';
import { Agent, Lab, type Peer } from './lab.js';

type Kind = 'agent' | 'ours';

/** Rounds in each pool; a single round depends on whose turn it is to probe. */
const rounds = 6;
const probeIntervalMs = 1000;

/** How long pools of agents, of our nodes, and of both take to notice a crash: beyond the list, check 37. */
export async function checkDetection(check: Check): Promise<void> {
  await check(37, 'a mixed pool notices a crash as soon as a pure one, within a probe interval', async () => {
    const [agents, mixed, ours] = await Promise.all([
      detect(['agent', 'agent', 'agent', 'agent']),
      detect(['agent', 'ours', 'agent', 'ours']),
      detect(['ours', 'ours', 'ours', 'ours']),
    ]);
    const text = `agents ${seconds(agents)}, mixed ${seconds(mixed)}, ours ${seconds(ours)} s on average`;
    assert.ok(Math.abs(mean(mixed) - mean(agents)) <= probeIntervalMs, text);
    assert.ok(Math.abs(mean(ours) - mean(agents)) <= probeIntervalMs, text);
    return text;
  });
}

/** Crashes one member after the other and returns how long the others took on average, for each round. */
async function detect(kinds: readonly Kind[]): Promise<number[]> {
  await using lab = new Lab();
  const members: (Agent | Peer)[] = [];
  for (const [i, kind] of kinds.entries()) {
    const name = `m${i}`;
    members.push(kind === 'agent' ? await lab.agent(name) : await lab.peer(name));
  }
  const seed = members[0]!;
  for (const member of members.slice(1)) await join(member, seed);
  await allAlive(members);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const victim = members[1 + (round % (members.length - 1))]!;
    const others = members.filter((member) => member !== victim);
    const before = others.map((member) => failures(member, victim.name));
    victim.signal('SIGKILL');
    const startMs = performance.now();
    const noticed = await Promise.all(
      others.map(async (member, i) => {
        const what = `${member.name} to notice`;
        await until(what, () => failures(member, victim.name) > before[i]!, 40_000);
        return performance.now() - startMs;
      }),
    );
    times.push(mean(noticed));
    await victim.ended();
    if (victim instanceof Agent) victim.log = '';
    await victim.start();
    await join(victim, seed);
    await allAlive(members);
  }
  return times;
}

async function join(member: Agent | Peer, seed: Agent | Peer): Promise<void> {
  if (member instanceof Agent) await member.cli(`join ${seed.address}`);
  else await member.join(seed.address);
}

async function allAlive(members: readonly (Agent | Peer)[]): Promise<void> {
  for (const one of members) for (const other of members) await one.sees(other.name, 'alive', 30_000);
}

function failures(member: Agent | Peer, name: string): number {
  return member instanceof Agent
    ? member.lines(new RegExp(`EventMemberFailed: ${name} `)).length
    : member.events('member-failed', name).length;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function seconds(values: readonly number[]): string {
  return (mean(values) / 1000).toFixed(2);
}
