import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client } from '@dcache/client';
import { eventually } from '@dcache/testing';
import { Cluster, http, Node } from './harness.js';
import { Load } from './load.js';

let cluster: Cluster;

before(async () => {
  // A short log, so that a newcomer cannot be healed by entries alone.
  cluster = await Cluster.start(3, ['--trailing-entries', '50']);
});

after(() => cluster.destroy());

test('what is written on each node is read on each, at once and at every level', async () => {
  for (const writer of cluster.nodes) {
    const key = `from-${writer.name}`;
    const written = await writer.set(key, `value of ${writer.name}`);
    assert.equal(written.status, 200, written.text);
    for (const reader of cluster.nodes) {
      for (const level of ['linearizable', 'lease']) {
        const read = await reader.get(key, level);
        assert.equal(read.status, 200);
        assert.equal(read.text, `value of ${writer.name}`);
        assert.equal(read.headers.etag, written.headers.etag, 'the revision of the write is the ETag of the read');
      }
      await eventually('the local store has it too', async () => (await reader.get(key, 'local')).status === 200);
    }
  }
});

test('a value keeps its Content-Type to the letter, usual or not, and gRPC reads the value alone', async () => {
  const [first, second] = cluster.nodes as [Node, Node];
  await using client = new Client({ address: `127.0.0.1:${second.rpcPort}`, discover: false });
  for (const type of ['application/json', 'Text/Plain;charset=UTF-8', 'application/vnd.example+cbor; v=2']) {
    await http(first.rpcPort, 'PUT', '/typed', { body: 'the value', headers: { 'content-type': type } });
    const read = await second.get('typed');
    assert.deepEqual([read.text, read.headers['content-type']], ['the value', type]);
    const head = await http(second.rpcPort, 'HEAD', '/typed');
    assert.deepEqual([head.headers['content-length'], head.headers['content-type']], ['9', type]);
    assert.equal(Buffer.from((await client.get('typed'))!).toString(), 'the value');
  }
  await client.set('typed', 'plain');
  assert.equal((await second.get('typed')).headers['content-type'], 'application/octet-stream');
  const long = { 'content-type': `x/${'y'.repeat(254)}` };
  const refused = await http(first.rpcPort, 'PUT', '/typed', { body: 'v', headers: long });
  assert.equal(refused.status, 400);
  assert.match(refused.text, /the Content-Type has 256 bytes; at most 255 are allowed/);
});

test('a deleted key is gone everywhere, and a missing one is 404', async () => {
  const [first, second, third] = cluster.nodes as [Node, Node, Node];
  await first.set('gone', 'x');
  assert.equal((await http(second.rpcPort, 'DELETE', '/gone')).status, 200);
  assert.equal((await third.get('gone')).status, 404);
  assert.equal((await http(second.rpcPort, 'DELETE', '/gone')).status, 404);
});

test('a value lives as long as its ttl by log time, on every node alike', async () => {
  const [first, second] = cluster.nodes as [Node, Node, Node];
  assert.equal((await http(first.rpcPort, 'POST', '/brief?ttl=300ms', { body: 'x' })).status, 200);
  assert.equal((await second.get('brief')).status, 200);
  await eventually('it expires without another write', async () => (await second.get('brief')).status === 404);
  await cluster.converged();
});

test('the leader is killed under load: no acknowledged write is missing or stale, and it comes back', async () => {
  const leader = await cluster.leader();
  const survivors = cluster.nodes.filter((node) => node !== leader);
  const load = new Load(cluster.nodes, 8);
  await eventually('some writes', () => load.acknowledged > 200);
  await leader.kill();
  const before = load.acknowledged;
  await eventually('writes go on without it', () => load.acknowledged > before + 200);
  await load.checkEveryRead(survivors);

  leader.start('--join', survivors[0]!.serfAddress);
  await cluster.formed(3);
  await eventually('writes go on with it', () => load.acknowledged > before + 400);
  await load.stop();
  await load.checkEveryRead(cluster.nodes);
  await cluster.converged();
});

test('a fourth node joins by snapshot and has the data', async () => {
  const [first] = cluster.nodes as [Node];
  const big = Buffer.alloc(100_000, 7);
  for (let i = 0; i < 100; i++) assert.equal((await first.set(`snap-${i}`, big)).status, 200);
  const fourth = await Node.create('node4', ['--trailing-entries', '50']);
  cluster.nodes.push(fourth);
  fourth.start('--join', first.serfAddress);
  await cluster.formed(4);
  assert.match(fourth.output, /snapshot/, 'its log says that a snapshot was installed');
  for (let i = 0; i < 100; i += 9) {
    const read = await fourth.get(`snap-${i}`, 'local');
    assert.equal(read.status, 200);
    assert.ok(read.body.equals(big));
  }
  await cluster.converged();
});

test('a node that is told to stop leaves, and the rest goes on as a smaller cluster', async () => {
  const fourth = cluster.nodes.at(-1)!;
  assert.equal(await fourth.stop(), 0);
  await cluster.formed(3);
  const leader = await cluster.leader();
  assert.equal(await leader.stop(), 0, 'the leader hands over before it goes');
  await cluster.formed(2);
  const written = await (await cluster.leader()).set('after', 'x');
  assert.equal(written.status, 200, written.text);
});
