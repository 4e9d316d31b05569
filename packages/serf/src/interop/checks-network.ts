import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { until } from '@dcache/testing';
import { type Check, Skip } from './check.js';
import { Lab } from './lab.js';

/** A pool on the loopback of IPv6, from the first join to a leave; beyond the list, check 38. */
export async function checkIpv6(check: Check): Promise<void> {
  await check(38, 'two agents and our node are one pool on ::1', async () => {
    const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    if (!addresses.some((address) => address.address === '::1')) throw new Skip('this machine has no ::1');
    await using lab = new Lab({ host: '::1' });
    const alpha = await lab.agent('alpha', ['-tag', 'role=web']);
    const ts1 = await lab.peer('ts1', { tags: { role: 'ts' } });
    await ts1.join(alpha.address);
    const bravo = await lab.agent('bravo', ['-join', ts1.address]);
    const agents = [alpha, bravo];
    for (const agent of agents) {
      const shown = await agent.sees('ts1', 'alive');
      assert.equal(shown.addr, ts1.address);
      assert.deepEqual(shown.tags, { role: 'ts' });
      const { address, port } = await ts1.sees(agent.name, 'alive');
      assert.equal(`[${address}]:${port}`, agent.address);
    }
    await alpha.cli('event', 'deploy', 'v1');
    await until('the event here', () => ts1.events('user', 'deploy').length === 1);
    await ts1.ask('event', { name: 'ours', payload: 'x' });
    for (const agent of agents)
      await until(`${agent.name} to hear ours`, () => agent.lines(/messageUserEventType: ours/).length > 0);
    const { out } = await alpha.cli('query', '-format', 'json', 'hello');
    const { Acks, Responses } = JSON.parse(out) as { Acks: string[]; Responses: Record<string, string> };
    assert.deepEqual(Acks.sort(), ['alpha', 'bravo', 'ts1']);
    assert.equal(Responses['ts1'], 'hello from ts1');
    bravo.signal('SIGKILL');
    await until('our node to see the crash', () => ts1.events('member-failed', 'bravo').length > 0, 40_000);
    await alpha.sees('bravo', 'failed', 40_000);
    await ts1.ask('leave');
    await alpha.sees('ts1', 'left');
    assert.deepEqual(alpha.lines(/\[ERR\]/), []);
    return undefined;
  });
}

/** Agents of this age know no labels, so a labelled pool and they must stay apart; beyond the list, check 39. */
export async function checkLabel(check: Check): Promise<void> {
  await check(39, 'a labelled pool of ours and an agent without labels stay apart and unharmed', async () => {
    await using lab = new Lab();
    const alpha = await lab.agent('alpha');
    const [one, two] = [await lab.peer('one', { label: 'blue' }), await lab.peer('two', { label: 'blue' })];
    await two.join(one.address);
    await one.sees('two', 'alive');
    await assert.rejects(one.join(alpha.address));
    assert.notEqual((await alpha.cli(`join ${two.address}`)).code, 0);
    assert.deepEqual(
      (await alpha.members()).map((member) => member.name),
      ['alpha'],
    );
    for (const peer of [one, two])
      assert.deepEqual((await peer.members()).map((member) => member.name).sort(), ['one', 'two']);
    const unlabelled = await lab.peer('unlabelled');
    await unlabelled.join(alpha.address);
    await alpha.sees('unlabelled', 'alive');
    return undefined;
  });
}
