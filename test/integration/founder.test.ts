/** A founder in memory that is killed and started again alone: it must not serve an empty cache beside the running one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '@dcache/testing';
import { http, Node } from './harness.js';

/** Three voters, of which the founder is looked for by nobody; `kept` is written. */
async function formed(): Promise<{ founder: Node; others: [Node, Node] }> {
  const others: [Node, Node] = [await Node.create('n1'), await Node.create('n2')];
  const founder = await Node.create('n0');
  others[0].start();
  others[1].start('--join', others[0].serfAddress);
  founder.start('--bootstrap', '--join', others[0].serfAddress);
  await eventually('three voters', async () => {
    const { servers } = await others[0].status();
    return servers.filter(({ voteStatus }) => voteStatus === 'Voter').length === 3;
  });
  await eventually(
    'a write',
    async () => (await http(others[0].rpcPort, 'PUT', '/k', { body: 'kept' })).status === 200,
  );
  return { founder, others };
}

test('a founder that comes back alone at once ends, though nobody looks for it: those that still probe it are met', async () => {
  const { founder, others } = await formed();
  const [{ rpcPort }] = others;
  try {
    const { cluster } = await others[0].status();
    await founder.kill();
    founder.start('--bootstrap');
    await eventually('it has ended', () => !founder.isRunning);
    assert.equal(await founder.exited(), 1);
    assert.match(founder.output, new RegExp(`alone, but cluster ${cluster} of 2 nodes was there already; .*--join`));
    assert.equal((await http(rpcPort, 'GET', '/k')).text, 'kept');
  } finally {
    await Promise.all([founder, ...others].map((node) => node.kill()));
  }
});
