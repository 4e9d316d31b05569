import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually, freePort } from '@dcache/testing';
import { Cluster, Node } from './harness.js';
import { Load } from './load.js';

let folder: string;
let cluster: Cluster;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dcache-test-'));
  cluster = await Cluster.start(3, (name) => ['--in-memory=false', '--data-dir', join(folder, name)]);
});

after(async () => {
  await cluster.destroy();
  await rm(folder, { recursive: true });
});

test('all nodes are killed at once under load, and nothing acknowledged is missing when they are back', async () => {
  const load = new Load(cluster.nodes, 8);
  await eventually('some writes', () => load.acknowledged > 200);
  await Promise.all(cluster.nodes.map((node) => node.kill()));
  await load.stop();
  // The same commands, the founder's with --bootstrap: it resumes and founds no second cluster.
  cluster.nodes[0]!.start('--bootstrap');
  for (const node of cluster.nodes.slice(1)) node.start('--join', cluster.nodes[0]!.serfAddress);
  await cluster.formed(3);
  await load.checkEveryRead(cluster.nodes);
  await cluster.converged();
});

test('they find each other again without --join, and are who they were', async () => {
  const before = new Map<string, string>();
  for (const node of cluster.nodes) before.set(node.name, JSON.stringify((await node.status()).raftId));
  for (const node of cluster.nodes) assert.equal(await node.stop(), 0);
  for (const node of cluster.nodes) node.start();
  await cluster.formed(3);
  for (const node of cluster.nodes) assert.equal(JSON.stringify((await node.status()).raftId), before.get(node.name));
  assert.equal((await cluster.nodes[1]!.get('load-0')).status, 200);
});

test('a node that stops stays a member, and catches up when it is back', async () => {
  const leader = await cluster.leader();
  assert.equal(await leader.stop(), 0);
  const rest = cluster.nodes.filter((node) => node !== leader);
  const load = new Load(rest, 4, 'while-away');
  await eventually('writes go on without it', () => load.acknowledged > 100);
  await load.stop();
  assert.equal((await rest[0]!.status()).servers.length, 3, 'it is still a member');
  leader.start();
  await cluster.formed(3);
  await load.checkEveryRead([leader]);
  await cluster.converged();
});

test('a folder of another node, or one that is in use, is refused and named', async () => {
  const [first, second] = cluster.nodes as [Node, Node];
  const other = new Node('other', await freePort(), await freePort(), [
    ...['--in-memory=false', '--data-dir', join(folder, second.name)],
  ]);
  other.start();
  assert.equal(await other.exited(), 1);
  assert.match(other.output, new RegExp(`dcache: .*${second.name} belongs to node ${second.name}, not to other`));
  const twice = new Node(first.name, await freePort(), await freePort(), [
    ...['--in-memory=false', '--data-dir', join(folder, first.name)],
  ]);
  twice.start();
  assert.equal(await twice.exited(), 1);
  assert.match(twice.output, new RegExp(`dcache: .*${join(folder, first.name)}.*process`));
});
