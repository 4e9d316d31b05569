import assert from 'node:assert/strict';
import { until } from '@dcache/testing';
import type { Check } from './check.js';
import { Lab, serfCli } from './lab.js';

/** The `serf` command line against the RPC of our own node; beyond the list, check 36. */
export async function checkRpc(check: Check): Promise<void> {
  await using lab = new Lab();
  const { alpha, ts1 } = await lab.pool();
  await check(36, 'the serf command line talks to our node as to an agent', async () => {
    const rpc = await ts1.ask<string>('rpc');
    const cli = async (command: string, ...args: string[]): Promise<string> => {
      const { code, out } = await serfCli([command, `-rpc-addr=${rpc}`, ...args]);
      assert.equal(code, 0, `${command}: ${out}`);
      return out;
    };
    const { members } = JSON.parse(await cli('members', '-format', 'json', '-status', 'alive')) as {
      members: { name: string }[];
    };
    assert.deepEqual(members.map((member) => member.name).sort(), ['alpha', 'bravo', 'charlie', 'ts1']);
    assert.match(await cli('members', '-tag', 'role=web'), /alpha/);
    await cli('event', 'from-cli', 'x');
    await until('alpha to hear the event', () => alpha.lines(/messageUserEventType: from-cli/).length > 0);
    const { Acks, Responses } = JSON.parse(await cli('query', '-format', 'json', 'hello')) as {
      Acks: string[];
      Responses: Record<string, string>;
    };
    assert.deepEqual(Acks.sort(), ['alpha', 'bravo', 'charlie', 'ts1']);
    assert.equal(Responses['ts1'], 'hello from ts1');
    await cli('tags', '-set', 'zone=z');
    await until('the tag', async () => (await alpha.shows('ts1'))?.tags['zone'] === 'z');
    assert.match(await cli('reachability'), /Successfully contacted all live nodes/);
    await until('a coordinate', async () => (await serfCli(['rtt', `-rpc-addr=${rpc}`, 'alpha'])).code === 0);
    assert.equal((JSON.parse(await cli('info', '-format', 'json')) as { agent: { name: string } }).agent.name, 'ts1');
    await cli('force-leave', 'nobody');
    await cli('leave');
    await alpha.sees('ts1', 'left');
    return 'members, event, query, tags, reachability, rtt, info, force-leave, leave';
  });
}
