import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually } from '@dcache/testing';
import { Cluster, clientBin, Node, run } from './harness.js';

let cluster: Cluster;

before(async () => {
  cluster = await Cluster.start(2);
});

after(() => cluster.destroy());

/** Runs `dcache-client` and gives exit code, standard output and standard error. */
async function cli(args: readonly string[], input?: string | Buffer): Promise<[number | null, string, string]> {
  const all = [clientBin, '--addr', `localhost:${cluster.nodes[0]!.rpcPort}`, ...args];
  const { code, stdout, stderr } = await run(process.execPath, all, input === undefined ? {} : { input });
  return [code, stdout, stderr];
}

test('set, get and delete tell by their exit code what happened', async () => {
  assert.deepEqual(await cli(['set', 'k', 'value', '--ttl', '10m']), [0, '', '']);
  assert.deepEqual(await cli(['get', 'k']), [0, 'value', '']);
  const [code, stdout] = await cli(['get', 'k', '--json', '--consistency', 'lease']);
  assert.equal(code, 0);
  const { value, revision, ttlMs } = JSON.parse(stdout);
  assert.equal(Buffer.from(value, 'base64').toString(), 'value');
  assert.ok(ttlMs > 0 && ttlMs <= 600_000);
  assert.deepEqual(await cli(['set', 'k', 'x', '--if-absent']), [
    4,
    '',
    `dcache-client: nothing was written: the key's revision is ${revision} [precondition-failed]\n`,
  ]);
  assert.equal((await cli(['set', 'k', '--if-revision', String(revision), '--json'], 'from a pipe'))[0], 0);
  assert.equal((await cli(['get', 'k']))[1], 'from a pipe');
  assert.deepEqual(await cli(['delete', 'k']), [0, '', '']);
  const none = 'dcache-client: there is no key "k" [not-found]\n';
  assert.deepEqual(await cli(['delete', 'k']), [3, '', none]);
  assert.deepEqual(await cli(['get', 'k']), [3, '', none]);
  assert.deepEqual(await cli(['get', 'k', '--json']), [3, '{"key":"k","found":false}\n', '']);
});

test('a key is not emptied by an input that holds nothing, unless it was asked for', async () => {
  await cli(['set', 'full', 'value']);
  const [code, stdout, stderr] = await cli(['set', 'full'], '');
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, /^dcache-client: there is no value: .*\n$/);
  assert.equal((await cli(['get', 'full']))[1], 'value');
  // Each of these asks for what it gets; --key is the original's, where an empty file is an empty value.
  for (const args of [
    ['set', 'full', ''],
    ['set', 'full', '--file', '-'],
    ['--key', 'full'],
  ]) {
    await cli(['set', 'full', 'value']);
    assert.deepEqual(await cli(args, ''), [0, '', ''], args.join(' '));
    assert.deepEqual(await cli(['get', 'full']), [0, '', ''], args.join(' '));
  }
});

test('servers and status say who there is and what each sees', async () => {
  const [, servers] = await cli(['servers', '--json']);
  assert.deepEqual(
    JSON.parse(servers).map((server: { id: string }) => server.id),
    ['node1', 'node2'],
  );
  const [, table] = await cli(['status']);
  assert.match(table, /^id +address +role +ready/);
  assert.equal(table.trimEnd().split('\n').length, 3);
  const [, views] = await cli(['status', '--json']);
  assert.deepEqual(
    JSON.parse(views)
      .map((view: { role: string }) => view.role)
      .toSorted(),
    ['follower', 'leader'],
  );
});

test('leadership is handed over by name', async () => {
  const [next] = (await cluster.followers()) as [Node];
  assert.deepEqual(await cli(['transfer-leadership', next.name]), [0, `${next.name} leads\n`, '']);
  const [code, , stderr] = await cli(['transfer-leadership', 'nobody']);
  assert.equal(code, 3);
  assert.match(stderr, /no voter is called nobody \[not-found\]\n$/);
});

test('bench measures reads and writes', async () => {
  const [code, stdout] = await cli(['bench', '--duration', '300ms', '--keys', '20', '--clients', '4', '--json']);
  assert.equal(code, 0);
  const { reads, writes, misses, errors, keys, ttlMs } = JSON.parse(stdout);
  assert.ok(reads.operations > 0 && writes.operations > 0, stdout);
  assert.ok(reads.p50Us > 0 && reads.p50Us <= reads.p99Us && reads.p99Us <= reads.maxUs, stdout);
  assert.equal(misses, 0);
  assert.deepEqual(errors, {});
  assert.equal(keys, 20);
  const [, left] = await cli(['get', 'dcache-bench-0', '--json']);
  assert.ok(ttlMs <= 601_000 && JSON.parse(left).ttlMs <= ttlMs, `${left}: it ends by itself`);
});

test('a wrong command line is exit code 2, a server that is not there 5, and help 0', async () => {
  assert.equal((await cli(['nonsense']))[0], 2);
  assert.equal((await cli(['--addr', 'nonsense', 'servers']))[0], 2);
  const [code, , stderr] = await cli(['--addr', '127.0.0.1:1', '--timeout', '3s', 'servers']);
  assert.equal(code, 5);
  assert.match(stderr, /^dcache-client: .*127\.0\.0\.1:1.*ECONNREFUSED/);
  const [helpCode, help] = await cli(['--help']);
  assert.equal(helpCode, 0);
  for (const name of ['get', 'set', 'delete', 'servers', 'status', 'transfer-leadership', 'leave', 'snapshot-save'])
    assert.match(help, new RegExp(`^  ${name} `, 'm'));
  assert.match(help, /Exit codes:/);
});

test('status ends well while a leader and a majority answer, and names who does not', async () => {
  const three = await Cluster.start(3);
  try {
    const addresses = three.nodes.map((node) => `localhost:${node.rpcPort}`).join(',');
    const status = () => run(process.execPath, [clientBin, '--addr', addresses, '--timeout', '4s', 'status']);
    assert.equal((await status()).code, 0);
    await three.nodes[2]!.kill();
    await eventually('two of three are enough', async () => {
      const { code, stdout } = await status();
      return code === 0 && /^node3 .*no answer/m.test(stdout);
    });
    await three.nodes[1]!.kill();
    const { code, stderr } = await status();
    assert.equal(code, 5);
    assert.match(stderr, /^dcache-client: 1 of 3 voters answer/);
  } finally {
    await three.destroy();
  }
});

test('who stops reading the output ends the client without a word', async () => {
  await cli(['set', 'big'], Buffer.alloc(900_000, 'x'));
  const line = `"${process.execPath}" "${clientBin}" --addr localhost:${cluster.nodes[0]!.rpcPort} get big | head -c 1`;
  assert.deepEqual(await run('sh', ['-c', line]), { code: 0, stdout: 'x', stderr: '' });
});

test('a durable member leaves for good, and is taken in again when it comes back', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dcache-test-'));
  const durable = await Node.create('node3', ['--in-memory=false', '--data-dir', folder]);
  try {
    cluster.nodes.push(durable);
    durable.start('--join', cluster.nodes[0]!.serfAddress);
    await cluster.formed(3);
    assert.deepEqual(await cli(['leave', 'node3']), [0, 'node3 left\n', '']);
    assert.equal(await durable.exited(), 0);
    await cluster.formed(2);
    durable.start('--join', cluster.nodes[0]!.serfAddress);
    await cluster.formed(3);
    assert.equal((await cli(['leave', 'node3']))[0], 0);
    await durable.exited();
  } finally {
    await durable.kill();
    await rm(folder, { recursive: true });
  }
});

test('a member leaves by name', async () => {
  const [, second] = cluster.nodes as [Node, Node];
  assert.deepEqual(await cli(['leave', second.name]), [0, `${second.name} left\n`, '']);
  assert.equal(await second.exited(), 0);
  await eventually('one is left', async () => JSON.parse((await cli(['servers', '--json']))[1]).length === 1);
  const [code, , stderr] = await cli(['leave', 'node1']);
  assert.equal(code, 4);
  assert.match(stderr, /last voter/);
});
