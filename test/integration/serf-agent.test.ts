import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { eventually, freePort } from '@dcache/testing';
import { Cluster, run } from './harness.js';

const isMissing = spawnSync('serf', ['version']).error !== undefined;
if (isMissing && process.env['DCACHE_CI']) throw new Error('serf is not installed; on Debian: apt-get install serf');
const skip = isMissing ? 'serf is not on the PATH' : false;

let cluster: Cluster;
let agent: ChildProcess;
let rpcAddress: string;

before(async () => {
  if (isMissing) return;
  cluster = await Cluster.start(2);
  rpcAddress = `127.0.0.1:${await freePort()}`;
  const bind = `127.0.0.1:${await freePort()}`;
  agent = spawn(
    'serf',
    [
      ...['agent', '-node', 'real', '-bind', bind, '-rpc-addr', rpcAddress],
      ...['-join', cluster.nodes[1]!.serfAddress, '-tag', 'role=watcher'],
    ],
    { stdio: 'ignore' },
  );
});

after(async () => {
  agent?.kill('SIGKILL');
  await cluster?.destroy();
});

interface SerfMember {
  readonly name: string;
  readonly status: string;
  readonly tags: Record<string, string>;
}

async function members(): Promise<Map<string, SerfMember>> {
  const { stdout } = await run('serf', ['members', '-rpc-addr', rpcAddress, '-format', 'json']);
  const { members: list } = JSON.parse(stdout) as { members: SerfMember[] };
  return new Map(list.map((member) => [member.name, member]));
}

test('a real serf agent that joins one node sees all of them alive, with their tags', { skip }, async () => {
  const seen = await eventually('the agent sees both nodes', async () => {
    const all = await members();
    return all.get('node1')?.status === 'alive' && all.get('node2')?.status === 'alive' ? all : undefined;
  });
  for (const node of cluster.nodes) {
    const tags = seen.get(node.name)!.tags;
    assert.equal(tags['rpc_addr'], `127.0.0.1:${node.rpcPort}`);
    assert.match(tags['raft_id'] ?? '', /^[1-9]\d*$/);
    assert.equal(tags['cluster'], seen.get('node1')!.tags['cluster']);
  }
});

test('a member of the pool that is no dcache node does not become a voter', { skip }, async () => {
  await eventually('the nodes are a cluster', async () => (await cluster.nodes[0]!.status()).servers.length === 2);
  await cluster.formed(2);
  const { servers } = await cluster.nodes[0]!.status();
  assert.deepEqual(
    servers.map((server) => server.id),
    ['node1', 'node2'],
  );
});

test('a node that is told to stop is left, not failed, for the agent', { skip }, async () => {
  assert.equal(await cluster.nodes[1]!.stop(), 0);
  const status = await eventually('the agent hears of it', async () => {
    const member = (await members()).get('node2');
    return member?.status === 'alive' || member?.status === 'leaving' ? undefined : member?.status;
  });
  assert.equal(status, 'left');
});

test('a node that is killed is failed for the agent', { skip }, async () => {
  await cluster.nodes[0]!.kill();
  const status = await eventually('the agent finds out', async () => {
    const member = (await members()).get('node1');
    return member?.status === 'alive' ? undefined : member?.status;
  });
  assert.equal(status, 'failed');
});
