import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from '@dcache/client';
import { eventually } from '@dcache/testing';
import { Cluster, clientBin, type Node, run } from './harness.js';

let cluster: Cluster;
let client: Client;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dcache-test-'));
  cluster = await Cluster.start(3);
  client = new Client({ address: cluster.nodes.map(addressOf), timeoutMs: 25_000 });
});

after(async () => {
  await client.close();
  await cluster.destroy();
  await rm(folder, { recursive: true });
});

function addressOf(node: Node): string {
  return `127.0.0.1:${node.rpcPort}`;
}

async function cli(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return run(process.execPath, [clientBin, '--addr', addressOf(cluster.nodes[1]!), ...args]);
}

/** Enough that a restore takes many batches, and that no two pairs are alike. */
function tail(at: number): string {
  return 'x'.repeat(20_000 + at);
}

/** Pairs of keys that are always written together. */
const pairs = 300;
async function writePair(at: number, round: number): Promise<void> {
  const value = `${round}-${tail(at)}`;
  await client.setMany([
    { key: `left-${at}`, value },
    { key: `right-${at}`, value },
  ]);
}

/** The values of one side of all pairs. */
async function side(name: string): Promise<string[]> {
  const entries = await client.getMany(Array.from({ length: pairs }, (_, at) => `${name}-${at}`));
  return entries.map((entry) => Buffer.from(entry!.value).toString());
}

async function textOf(key: string): Promise<string | undefined> {
  const value = await client.get(key);
  return value && Buffer.from(value).toString();
}

test('a snapshot saved under load is one moment, and has every write acknowledged before', async () => {
  await Promise.all(Array.from({ length: pairs }, (_, at) => writePair(at, 0)));
  await client.set('long', 'y', { ttlMs: 3_600_000 });
  await client.set('large', Buffer.alloc(900_000, 3));
  let isDone = false;
  const load = (async () => {
    for (let round = 1; !isDone; round++) for (let at = 0; at < 20 && !isDone; at++) await writePair(at, round);
  })();
  const file = join(folder, 'saved');
  await client.set('brief', 'gone before it is restored', { ttlMs: 15_000 });
  const saved = await cli('snapshot-save', file, '--json');
  isDone = true;
  await load;
  assert.equal(saved.code, 0, saved.stderr);
  assert.equal(saved.stderr, '', 'no progress where no terminal is');
  const { entries, bytes } = JSON.parse(saved.stdout);
  assert.ok(entries >= pairs * 2 + 3, saved.stdout);
  assert.equal((await readFile(file)).length, bytes);
});

test('it is not restored over what is there, unless it is asked to replace', async () => {
  const before = await client.admin.status();
  const refused = await cli('snapshot-restore', join(folder, 'saved'));
  assert.equal(refused.code, 4);
  assert.match(
    refused.stderr,
    /the cluster holds \d+ entries; restore into an empty one.*--replace.*\[precondition-failed\]/,
  );
  const file = await readFile(join(folder, 'saved'));
  await writeFile(join(folder, 'cut'), file.subarray(0, file.length - 1));
  const cut = await cli('snapshot-restore', join(folder, 'cut'), '--replace');
  assert.equal(cut.code, 1);
  assert.match(cut.stderr, /the snapshot cannot be read/);
  assert.ok(cut.stderr.includes(join(folder, 'cut')), cut.stderr);
  await writeFile(join(folder, 'text'), 'a text file, say');
  const { stderr } = await cli('snapshot-restore', join(folder, 'text'), '--replace');
  assert.ok(
    stderr.startsWith(`dcache-client: ${join(folder, 'text')}: `) && stderr.includes('is not a dcache'),
    stderr,
  );
  // The brief one may expire meanwhile.
  const after = await client.admin.status();
  assert.ok(after.entries >= before.entries - 1, 'and nothing was deleted for it');
});

test('a restore while the leader dies and clients write brings everything back, alike on every node', async () => {
  await eventually('the brief one expires', async () => (await client.get('brief')) === undefined);
  await client.set('after', 'was not saved');
  const file = await readFile(join(folder, 'saved'));
  // Through a node that does not lead, and that outlives the leader.
  const leader = await cluster.leader();
  const [intake, other] = (await cluster.followers()) as [Node, Node];
  const direct = new Client({ address: addressOf(intake), discover: false });
  let isRestoring = true;
  const writes = (async () => {
    for (let n = 0; isRestoring; n++) await client.set('large', `newer ${n}`);
  })();
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield file;
  };
  const restoring = direct.admin.restoreSnapshot(source(), { replace: true });
  await Promise.race([
    restoring,
    eventually('all was deleted, and is coming back', async () => (await other.status()).entries < pairs),
  ]);
  await leader.kill();
  const result = await restoring;
  isRestoring = false;
  await writes;
  await direct.close();
  assert.equal(result.expired, 1, JSON.stringify(result));
  assert.equal(result.restored + result.skipped, pairs * 2 + 2);
  assert.equal(await textOf('after'), undefined);
  assert.match((await textOf('large'))!, /^newer/, 'a write during the restore is not lost under an older value');
  assert.equal(await textOf('long'), 'y');
  const ttlMs = (await client.getEntry('long'))!.ttlMs!;
  assert.ok(ttlMs > 3_000_000 && ttlMs < 3_600_000, 'it keeps the time that it had');
  const [left, right] = (await Promise.all(['left', 'right'].map(side))) as [string[], string[]];
  for (let at = 0; at < pairs; at++) {
    assert.ok(left[at]!.endsWith(`-${tail(at)}`), `pair ${at}`);
    assert.equal(right[at], left[at], `pair ${at} was saved in one moment`);
  }
  leader.start('--join', other.serfAddress);
  await cluster.formed(3);
  await cluster.converged();
});

test('a snapshot goes through a pipe, and into another cluster', async () => {
  const [target] = (await Cluster.start(1)).nodes as [Node];
  try {
    const bin = `"${process.execPath}" "${clientBin}"`;
    const from = `${bin} --addr ${addressOf(cluster.nodes[0]!)} snapshot-save -`;
    const into = `${bin} --addr ${addressOf(target)} --json snapshot-restore -`;
    const { code, stdout, stderr } = await run('sh', ['-c', `${from} | ${into}`]);
    assert.equal(code, 0, stderr);
    const { entries } = await client.admin.status();
    assert.deepEqual(JSON.parse(stdout), { restored: entries, expired: 0, skipped: 0 });
    await using there = new Client({ address: addressOf(target) });
    assert.deepEqual((await there.get('left-7'))?.length, (await client.get('left-7'))?.length);
  } finally {
    await target.kill();
  }
});
