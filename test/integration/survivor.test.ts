/** Two of three nodes are lost for good: what the third still holds is saved, and is a cluster again. */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from '@dcache/client';
import { eventually } from '@dcache/testing';
import { Cluster, clientBin, type Node, run } from './harness.js';

let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dcache-test-'));
});

after(() => rm(folder, { recursive: true }));

const addressOf = (node: Node): string => `127.0.0.1:${node.rpcPort}`;

const cli = (node: Node, ...args: string[]) => run(process.execPath, [clientBin, '--addr', addressOf(node), ...args]);

/** What the node holds of these keys, without asking anybody. */
async function heldBy(node: Node, keys: readonly string[]): Promise<Map<string, string>> {
  await using client = new Client({ address: addressOf(node), discover: false });
  const held = new Map<string, string>();
  for (let at = 0; at < keys.length; at += 1_000) {
    const part = keys.slice(at, at + 1_000);
    const entries = await client.getMany(part, { level: 'local' });
    for (const [i, entry] of entries.entries()) if (entry) held.set(part[i]!, Buffer.from(entry.value).toString());
  }
  return held;
}

/** Writes until `isDone`; every key once, with itself as value. Keys come in order: those acknowledged, those sent. */
async function writeUntil(
  cluster: Cluster,
  isDone: () => boolean,
): Promise<{ acknowledged: string[]; sent: string[] }> {
  const acknowledged: string[] = [];
  const sent: string[] = [];
  await using client = new Client({ address: cluster.nodes.map(addressOf), timeoutMs: 2_000 });
  for (let n = 0; !isDone(); n++) {
    const key = `key-${n}`;
    sent.push(key);
    try {
      await client.set(key, `value of ${key}`);
      acknowledged.push(key);
    } catch {
      // Nobody is left to take it: it may be there or not.
    }
  }
  return { acknowledged, sent };
}

/** Kills two of three under load; gives the third, and what was written. */
async function loseTwo(cluster: Cluster) {
  let isDone = false;
  const writing = writeUntil(cluster, () => isDone);
  const [survivor] = (await cluster.followers()) as [Node];
  await eventually('much was written', async () => (await survivor.status()).entries > 300);
  await Promise.all(cluster.nodes.filter((node) => node !== survivor).map((node) => node.kill()));
  isDone = true;
  return { survivor, ...(await writing) };
}

/** Restores a file into a new cluster of one and gives what is there then. */
async function restored(file: string, keys: readonly string[]): Promise<Map<string, string>> {
  const cluster = await Cluster.start(1);
  const [node] = cluster.nodes as [Node];
  try {
    const { code, stderr } = await cli(node, 'snapshot-restore', file);
    assert.equal(code, 0, stderr);
    return await heldBy(node, keys);
  } finally {
    await cluster.destroy();
  }
}

test('in memory, the survivor of three saves all that it holds, and a new cluster has it', async () => {
  const cluster = await Cluster.start(3);
  try {
    const { survivor, acknowledged, sent } = await loseTwo(cluster);
    const file = join(folder, 'memory');
    const refused = await cli(survivor, 'snapshot-save', file);
    assert.equal(refused.code, 5, 'without a majority nothing proves what was acknowledged last');
    assert.match(refused.stderr, /without a majority .* ask at consistency local/);
    const saved = await cli(survivor, '--json', 'snapshot-save', '--consistency', 'local', file);
    assert.equal(saved.code, 0, saved.stderr);
    const { id, cluster: of, entries, appliedIndex, appliedTerm, stampMs, level } = JSON.parse(saved.stdout);
    const status = await survivor.status();
    assert.deepEqual([id, of, level], [survivor.name, status.cluster, 'local']);
    assert.deepEqual([appliedIndex, entries], [status.appliedIndex, status.entries]);
    assert.ok(appliedTerm > 0 && Math.abs(stampMs - Date.now()) < 3_600_000, saved.stdout);

    const held = await heldBy(survivor, sent);
    assert.equal(held.size, entries);
    // It was told of all commits but those of the last moment, and has no gaps.
    const missing = acknowledged.filter((key) => !held.has(key));
    assert.ok(held.size > 300, `${held.size} of ${acknowledged.length}`);
    assert.deepEqual(acknowledged.slice(acknowledged.length - missing.length), missing, 'only the last may be missing');
    assert.deepEqual(await restored(file, sent), held);

    const text = await cli(survivor, 'snapshot-save', '--consistency', 'local', file);
    assert.match(
      text.stdout,
      new RegExp(`as ${id} alone has them: applied index ${appliedIndex}, term ${appliedTerm},`),
    );
    assert.match(text.stdout, /the last acknowledged writes may be missing/);
  } finally {
    await cluster.destroy();
  }
});

test('in memory, a survivor whose others are started again says that they are others now, and what to do', async () => {
  const cluster = await Cluster.start(3);
  const [first, second, third] = cluster.nodes as [Node, Node, Node];
  const lost = /cluster \w+ cannot elect a leader as it is: node1, node2, 2 of its 3 voters, .* without their data/;
  try {
    // One comes back and is a member again: that is no loss.
    await second.kill();
    second.start('--join', first.serfAddress);
    await cluster.formed(3);
    await Promise.all([first.kill(), second.kill()]);
    for (const node of [first, second]) node.start('--join', third.serfAddress);
    await eventually('the survivor says it', () => lost.test(third.output));
    assert.match(third.output, /save what this node holds before you stop it: .*Lost quorum/);
  } finally {
    await cluster.destroy();
  }
});

test('on disk, a survivor that was restarted alone saves what it knows to be committed', async () => {
  const cluster = await Cluster.start(3, (name) => ['--in-memory=false', '--data-dir', join(folder, name)]);
  try {
    const { survivor, sent } = await loseTwo(cluster);
    await survivor.kill();
    survivor.start();
    const file = join(folder, 'disk');
    const saved = await eventually('it serves', async () => {
      const { code, stdout } = await cli(survivor, '--json', 'snapshot-save', '--consistency', 'local', file);
      return code === 0 && stdout;
    });
    const held = await heldBy(survivor, sent);
    assert.equal(held.size, JSON.parse(saved).entries);
    assert.ok(held.size > 250, `${held.size} of ${sent.length}`);
    assert.deepEqual(await restored(file, sent), held);
  } finally {
    await cluster.destroy();
  }
});

test('a newcomer that has no data yet saves none, at no level', async () => {
  const cluster = await Cluster.start(1);
  const lonely = cluster.nodes[0]!;
  try {
    await cluster.destroy();
    lonely.start();
    await eventually('it says what it lacks', async () => {
      const { code, stderr } = await cli(lonely, 'snapshot-save', '--consistency', 'local', join(folder, 'none'));
      return code !== 0 && /has none of the data yet/.test(stderr);
    });
  } finally {
    await cluster.destroy();
  }
});

test('in memory, a majority that was restarted is told from one that may come back, and who knows nobody says so', async () => {
  const cluster = await Cluster.start(3);
  try {
    const [first, second, survivor] = cluster.nodes as [Node, Node, Node];
    await Promise.all([first.kill(), second.kill()]);
    for (const node of [first, second]) node.start('--join', survivor.serfAddress);
    await eventually('both are up', async () => {
      for (const node of [first, second]) await node.status();
      return true;
    });
    const { cluster: id } = await survivor.status();
    const lost = `node1 and node2 answer as others than the members of cluster ${id}`;
    const others = cluster.nodes.map(addressOf).join(',');
    // One that knows no members is not the last to be asked, if there are others to ask.
    for (const address of [addressOf(survivor), `${addressOf(first)},${addressOf(survivor)}`, others]) {
      const { code, stderr } = await run(process.execPath, [clientBin, '--addr', address, 'status']);
      assert.equal(code, 5);
      assert.ok(stderr.includes(lost) && stderr.includes('Lost quorum'), stderr);
    }
    const { code, stdout, stderr } = await cli(first, 'status');
    assert.equal(code, 5);
    assert.match(stdout, /\nnode1 .* follower .* no /, 'its own view is shown');
    assert.match(stderr, /node1 belongs to no cluster yet, .*--addr.*Lost quorum/);
  } finally {
    await cluster.destroy();
  }
});
