import assert from 'node:assert/strict';
import { until } from '@dcache/testing';
import type { Check } from './check.js';
import { Lab, type LabOptions, pass } from './lab.js';

/** Leaves, rejoins and forced leaves: checks 25 to 27 and 29. `waitMs` is how long a rejoin must hold. */
export async function checkLeaving(check: Check, options: LabOptions = {}, waitMs = 36_000): Promise<void> {
  await using lab = new Lab(options);
  const { alpha, bravo, charlie, ts1 } = await lab.pool();
  const agents = [alpha, bravo, charlie];

  await check(27, 'a live node of ours that is forced to leave stays', async () => {
    await alpha.cli('force-leave', 'ts1');
    await pass(2000);
    for (const agent of agents) await agent.sees('ts1', 'alive');
    assert.equal((await ts1.sees('ts1', 'alive')).status, 'alive');
  });
  await check(25, 'a graceful leave of ours is a leave on all agents', async () => {
    await ts1.ask('leave');
    for (const agent of agents) {
      await agent.sees('ts1', 'left');
      assert.equal(agent.lines(/EventMemberLeave: ts1/).length, 1);
      assert.deepEqual(agent.lines(/EventMemberFailed: ts1/), []);
    }
  });
  await check(26, 'after a leave our node comes back and stays over a push/pull', async () => {
    await ts1.ended();
    await ts1.start();
    await ts1.join(alpha.address);
    for (const agent of agents) await agent.sees('ts1', 'alive');
    await pass(waitMs);
    for (const agent of agents) {
      assert.equal((await agent.shows('ts1'))?.status, 'alive');
      assert.equal(agent.lines(/EventMemberLeave: ts1/).length, 1);
    }
  });
  await check(29, 'our node follows a leave of an agent, and a forced leave that prunes', async () => {
    await charlie.cli('leave');
    await ts1.sees('charlie', 'left');
    bravo.signal('SIGKILL');
    await Promise.all([ts1.sees('bravo', 'failed', 40_000), alpha.sees('bravo', 'failed', 40_000)]);
    const { code } = await alpha.cli('force-leave', '-prune', 'bravo');
    assert.equal(code, 0);
    await until('bravo to be gone', async () => !(await ts1.members()).some((member) => member.name === 'bravo'));
    assert.equal(ts1.events('member-reap', 'bravo').length, 1);
  });
}
