import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client } from '@dcache/client';
import { Cluster, clientBin, type Node, run } from './harness.js';

let cluster: Cluster;

before(async () => {
  cluster = await Cluster.start(3);
});

after(() => cluster.destroy());

test('dcache-client --get-servers prints every server, one a line, asked on any node', async () => {
  const leader = await cluster.leader();
  for (const node of cluster.nodes) {
    for (const flag of ['--addr', '-addr']) {
      const { code, stdout, stderr } = await run(process.execPath, [
        ...[clientBin, flag, `localhost:${node.rpcPort}`, '--get-servers'],
      ]);
      assert.equal(code, 0, stderr);
      const expected = cluster.nodes.map((one) => {
        const isLeader = one === leader ? '  is_leader:true' : '';
        return `id:"${one.name}"  rpc_addr:"127.0.0.1:${one.rpcPort}"${isLeader}  vote_status:"Voter"`;
      });
      assert.deepEqual(stdout.split('\n'), [...expected, '']);
    }
  }
});

test('dcache-client --key K < file writes the file under K, through any node', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dcache-test-'));
  try {
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7) % 256));
    await writeFile(join(folder, 'file'), bytes);
    for (const node of cluster.nodes) {
      const command = `"${process.execPath}" "${clientBin}" --addr localhost:${node.rpcPort} --key K-${node.name} < file`;
      const { code, stderr } = await run('sh', ['-c', command], { cwd: folder });
      assert.equal(code, 0, stderr);
      for (const reader of cluster.nodes) {
        const read = await reader.get(`K-${node.name}`);
        assert.ok(read.body.equals(bytes), `written on ${node.name}, read on ${reader.name}`);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the reference's curl lines work as written", async () => {
  const [first, second] = cluster.nodes as [Node, Node];
  const port = first.rpcPort;
  const post = await run('curl', ['-sS', '-X', 'POST', '-d', 'this is the value', `http://localhost:${port}/hello`]);
  assert.deepEqual(post, { code: 0, stdout: '', stderr: '' });
  const get = await run('curl', ['-sS', `http://localhost:${second.rpcPort}/hello`]);
  assert.deepEqual(get, { code: 0, stdout: 'this is the value', stderr: '' });
});

test('gRPC Set, Get and GetServers work on every node, and a miss is NOT_FOUND', async () => {
  for (const node of cluster.nodes) {
    await using client = new Client({ address: `127.0.0.1:${node.rpcPort}` });
    await client.set(`grpc-${node.name}`, `value of ${node.name}`);
    for (const other of cluster.nodes) {
      await using reader = new Client({ address: `127.0.0.1:${other.rpcPort}` });
      assert.equal(Buffer.from((await reader.get(`grpc-${node.name}`))!).toString(), `value of ${node.name}`);
    }
    assert.equal(await client.get('never written'), undefined);
    assert.equal((await client.servers()).length, 3);
    await assert.rejects(client.set('', 'x'), { code: 'bad-argument', message: /the key is empty/ });
    await assert.rejects(client.set('large', Buffer.alloc(1_048_577)), { message: /at most 1048576 are allowed/ });
  }
});
