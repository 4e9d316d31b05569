/** The address of a dead member is given to another program: it must not be pulled into the pool of the dead one's cluster. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '@dcache/testing';
import { Cluster, http, Node } from './harness.js';

/** Members in the gossip pool of the node that have the status. */
async function inPool(node: Node, status: string): Promise<number> {
  const { text } = await http(node.rpcPort, 'GET', '/-/metrics');
  return Number(new RegExp(`^serf_members\\{status="${status}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? -1);
}

/** Dials of a peer that were refused because another cluster lives there. */
function refusals({ output }: Node): number {
  const dials = output.split('\n').filter((line) => line.includes('a dial of a peer failed'));
  return dials.filter((line) => line.includes('refused: this node belongs to cluster')).length;
}

test('an unrelated node at the RPC address of a dead member keeps its data, and neither pool hears of the other', async () => {
  const cluster = await Cluster.start(3, ['--log-level', 'debug']);
  const dead = (await cluster.followers())[0]!;
  const [one, two] = cluster.nodes.filter((node) => node !== dead) as [Node, Node];
  const other = new Node('other-app', dead.rpcPort, (await Node.create('')).serfPort, []);
  try {
    await dead.kill();
    await eventually('both have given it up', async () =>
      (await Promise.all([inPool(one, 'failed'), inPool(two, 'failed')])).every((failed) => failed === 1),
    );
    other.start('--bootstrap');
    await eventually('a write there', async () => (await other.set('own', 'kept')).status === 200);
    const before = refusals(one) + refusals(two);
    await eventually('dials that it refused since', () => refusals(one) + refusals(two) >= before + 6);
    assert.deepEqual([await inPool(other, 'alive'), await inPool(other, 'failed')], [1, 0]);
    for (const node of [one, two])
      assert.deepEqual([await inPool(node, 'alive'), await inPool(node, 'failed')], [2, 1]);
    assert.equal((await other.get('own')).text, 'kept');
    assert.doesNotMatch(other.output, /several clusters/);
  } finally {
    await Promise.all([cluster.destroy(), other.kill()]);
  }
});
