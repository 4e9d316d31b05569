import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually } from '@dcache/testing';
import { type Answer, Cluster, clientBin, http, type Node, run } from './harness.js';

const mebibyte = 1_048_576;
/** A file of the log has 16 MiB, and there are always two: the third does not fit. */
const smallBytes = 40 * mebibyte;
const largeBytes = 400 * mebibyte;

/** A folder for this test whose disks can be made, if this system lets us. */
function mountable(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'dcache-test-'));
  try {
    mountDisk(folder, mebibyte);
    execFileSync('umount', [folder], { stdio: 'ignore' });
    return folder;
  } catch {
    rmdirSync(folder);
    return undefined;
  }
}

function mountDisk(path: string, bytes: number, ...more: string[]): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', [`size=${bytes}`, ...more].join(), 'tmpfs', path], { stdio: 'ignore' });
}

const folder = mountable();
const skip = folder === undefined ? 'a disk of a given size takes the right to mount one' : false;

describe('full disks', { skip }, () => {
  const diskOf = (name: string): string => join(folder!, name);
  const disks: string[] = [];
  let cluster: Cluster;

  before(async () => {
    cluster = await Cluster.start(3, (name) => {
      const path = diskOf(name);
      mkdirSync(path);
      // The founder, which leads at first, has the small one.
      mountDisk(path, disks.length === 0 ? smallBytes : largeBytes);
      disks.push(path);
      return ['--in-memory=false', '--data-dir', join(path, 'data')];
    });
  });

  after(async () => {
    await cluster?.destroy();
    for (const path of disks) execFileSync('umount', [path]);
    rmSync(folder!, { recursive: true });
  });

  const value = 'x'.repeat(200_000);
  let writes = 0;
  /** Writes at this node until `isEnough`; every answer that is no 200 is in the result. */
  async function writeAt(node: Node, isEnough: () => Promise<boolean> | boolean): Promise<Answer[]> {
    const refused: Answer[] = [];
    for (let i = 0; !(await isEnough()); i++) {
      assert.ok(i < 400, 'it was not enough after 80 MB');
      const answer = await node.set(`key${++writes % 20}`, `${value}${writes}`);
      if (answer.status !== 200) refused.push(answer);
    }
    return refused;
  }

  async function isFull(node: Node): Promise<boolean> {
    const { isDiskFull } = await node.status();
    const metrics = await http(node.rpcPort, 'GET', '/-/metrics');
    return isDiskFull && /^raft_disk_full 1$/m.test(metrics.text);
  }

  /** What `dcache-client status` says at this node. */
  const clientStatus = (node: Node, ...flags: string[]): ReturnType<typeof run> =>
    run(process.execPath, [clientBin, '--addr', `127.0.0.1:${node.rpcPort}`, ...flags, 'status']);

  const resize = (node: Node, bytes: number): void => mountDisk(diskOf(node.name), bytes, 'remount');

  test('the leader gives way where its own disk is the only full one: clients see a short wait', async () => {
    const [founder, other] = cluster.nodes as [Node, Node, Node];
    assert.equal((await cluster.leader()).name, founder.name);
    const refused = await writeAt(founder, async () => (await founder.status()).role !== 'leader');
    assert.equal(await isFull(founder), true);
    // More than the full disk has room for, at the full node and at another.
    for (const node of [founder, other]) {
      const until = writes + 50;
      refused.push(...(await writeAt(node, () => writes >= until)));
    }
    assert.deepEqual(
      refused.map(({ status, text }) => `${status} ${text}`),
      [],
    );
    const leader = await cluster.leader();
    const address = `127.0.0.1:${leader.rpcPort}`;
    const back = await run(process.execPath, [clientBin, '--addr', address, 'transfer-leadership', founder.name]);
    assert.match(back.stderr, new RegExp(`no room for more log on the disk of ${founder.name}`));
    assert.equal((await cluster.leader()).name, leader.name);
  });

  test('an operator sees whose disk is full, at the full node and at the leader', async () => {
    const [founder] = cluster.nodes as [Node, Node, Node];
    const leader = await cluster.leader();
    for (const node of [founder, leader]) {
      const { code, stdout, stderr } = await clientStatus(node);
      assert.equal(code, 0, stderr);
      assert.deepEqual(stdout.match(/^the disk of .* is full/gm), [`the disk of ${founder.name} is full`], stdout);
      const views = JSON.parse((await clientStatus(node, '--json')).stdout) as { id: string; isDiskFull: boolean }[];
      assert.deepEqual(
        views.filter(({ isDiskFull }) => isDiskFull).map(({ id }) => id),
        [founder.name],
      );
      const { members } = JSON.parse((await http(node.rpcPort, 'GET', '/-/overview')).text) as {
        members: { id: string; isDiskFull?: boolean }[];
      };
      const others = node === leader ? false : undefined;
      assert.deepEqual(
        members.map(({ id, isDiskFull }) => [id, isDiskFull]),
        cluster.nodes.map(({ name }) => [name, name === founder.name ? true : others]),
      );
    }
  });

  test('with the disks of two of three full, every write is refused at once and says whose they are', async () => {
    const [first, second, third] = cluster.nodes as [Node, Node, Node];
    const { bsize, blocks, bfree } = statfsSync(diskOf(second.name));
    resize(second, (blocks - bfree) * bsize + mebibyte);
    await writeAt(third, () => isFull(second));
    const answer = await eventually('a refusal that names both', async () => {
      const answered = await third.set('key1', value);
      return answered.text.includes(second.name) && answered.text.includes(first.name) && answered;
    });
    assert.equal(answer.status, 507, answer.text);
    assert.ok(!answer.text.includes(third.name), answer.text);
    const { leader } = await third.status();
    for (let i = 0; i < 20; i++)
      for (const node of cluster.nodes) assert.equal((await node.set('key1', value)).status, 507);
    assert.equal((await third.get('key2')).status, 200);
    assert.equal((await third.status()).leader, leader, 'nobody gave way for nothing');
    const said = await clientStatus(third, '--json');
    assert.equal(said.code, 1, said.stderr);
    const { error } = JSON.parse(said.stderr) as { error: { code: string; message: string } };
    assert.equal(error.code, 'disk-full');
    assert.match(error.message, /^1 of 3 voters have room/);
  });

  test('with room again all is as before, without a restart', async () => {
    for (const node of cluster.nodes) resize(node, largeBytes);
    await eventually('a write at every node', async () => {
      const answers = await Promise.all(cluster.nodes.map((node) => node.set('last', 'one')));
      return answers.every(({ status }) => status === 200);
    });
    await eventually('no disk is full', async () => {
      const views = await Promise.all(cluster.nodes.map((node) => node.status()));
      return views.every(({ isDiskFull }) => !isDiskFull);
    });
    await cluster.converged();
    const { code, stdout, stderr } = await clientStatus(cluster.nodes[0]!);
    assert.deepEqual([code, stderr], [0, '']);
    assert.doesNotMatch(stdout, /disk/);
  });
});
