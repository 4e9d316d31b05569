import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { eventually, turn } from '@dcache/testing';
import { Cluster, http, type Node } from './harness.js';

/** The least that a node takes; most of what is written must go again. */
const maxBytes = 1_048_576;
const keys = 1000;

let cluster: Cluster;

before(async () => {
  cluster = await Cluster.start(3, ['--max-bytes', String(maxBytes), '--trailing-entries', '50']);
});

after(() => cluster.destroy());

/** Clients that write, read and delete at random nodes until they are stopped. */
function startLoad(nodes: readonly Node[], seed: number): () => Promise<void> {
  let isStopped = false;
  const client = async (random: SeededRandom): Promise<void> => {
    while (!isStopped) {
      const node = nodes[random.below(nodes.length)]!;
      const path = `/key-${Math.floor(random.next() ** 2 * keys)}`;
      const kind = random.below(10);
      const ttl = random.below(2) === 0 ? `?ttl=${1 + random.below(1000)}ms` : '';
      try {
        if (kind < 6) await http(node.rpcPort, 'POST', path + ttl, { body: Buffer.alloc(random.below(20_000), kind) });
        else if (kind < 9) await http(node.rpcPort, 'GET', `${path}?consistency=local`);
        else await http(node.rpcPort, 'DELETE', path);
      } catch {
        // The node is being killed.
        await turn(1);
      }
    }
  };
  const clients = Array.from({ length: 8 }, (_, i) => client(new SeededRandom(seed * 100 + i)));
  return async () => {
    isStopped = true;
    await Promise.all(clients);
  };
}

/** The value of a metric without labels. */
async function metric(node: Node, name: string): Promise<number> {
  const { text } = await http(node.rpcPort, 'GET', '/-/metrics');
  const line = new RegExp(`^${name} (\\d+)$`, 'm').exec(text);
  assert.ok(line !== null, `${node.name} has the metric ${name}`);
  return Number(line[1]);
}

/** Waits until each node has evicted and let expire so many more entries than now. */
async function worked(nodes: readonly Node[], count: number): Promise<void> {
  for (const node of nodes)
    for (const name of ['store_evictions_total', 'store_expirations_total']) {
      const least = (await metric(node, name)) + count;
      await eventually(`${name} of ${node.name} is ${least}`, async () => (await metric(node, name)) >= least);
    }
}

test('three processes under random load with times to live and eviction have equal states', async () => {
  const stop = startLoad(cluster.nodes, 1);
  await worked(cluster.nodes, 40);
  await stop();
  await cluster.converged();
  for (const node of cluster.nodes) assert.ok((await metric(node, 'store_live_bytes')) <= maxBytes);
});

test('one that lost everything is healed by a snapshot under load, and goes on evicting the same entries', async () => {
  const [victim] = (await cluster.followers()) as [Node];
  const others = cluster.nodes.filter((node) => node !== victim);
  let stop = startLoad(others, 2);
  await victim.kill();
  await worked(others, 40);
  victim.start('--join', others[0]!.serfAddress);
  await cluster.formed(3);
  await eventually(
    'a snapshot was installed',
    async () => (await metric(victim, 'raft_snapshots_installed_total')) > 0,
  );
  await stop();
  await cluster.converged();
  // What the snapshot brought besides the entries (their order, what was touched, what expires when) decides this.
  stop = startLoad(cluster.nodes, 3);
  await worked(cluster.nodes, 40);
  await stop();
  await cluster.converged();
});
