import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cluster, http, type Node } from './harness.js';

let cluster: Cluster;

before(async () => {
  cluster = await Cluster.start(3);
});

after(() => cluster.destroy());

const write = (node: Node, key: string, body: string, headers: Record<string, string> = {}) =>
  http(node.rpcPort, 'POST', '/k', { body, headers: { 'idempotency-key': key, ...headers } });

test('a write retried at another node after its leader was killed is applied once and answered the same', async () => {
  const leader = await cluster.leader();
  const [second, third] = cluster.nodes.filter((node) => node !== leader) as [Node, Node];
  const first = await write(leader, '"created"', 'one', { 'if-none-match': '*' });
  assert.equal(first.status, 200, first.text);
  const removed = await http(leader.rpcPort, 'DELETE', '/k', { headers: { 'idempotency-key': 'removed' } });
  assert.equal(removed.status, 200);
  const last = await write(second, 'last', 'two');
  await leader.kill();

  for (const node of [second, third]) {
    const again = await write(node, 'created', 'one', { 'if-none-match': '*' });
    assert.equal(again.status, 200, 'not 412, though the key exists by now');
    assert.equal(again.headers.etag, first.headers.etag);
    const removedAgain = await http(node.rpcPort, 'DELETE', '/k', { headers: { 'idempotency-key': 'removed' } });
    assert.equal(removedAgain.status, 200);
    assert.equal(removedAgain.headers.etag, removed.headers.etag);
    const read = await node.get('k');
    assert.equal(read.text, 'two', 'neither the write nor the delete was applied a second time');
    assert.equal(read.headers.etag, last.headers.etag);
  }
  await cluster.converged();
});

test('a refusal is told again, and another request under the same key is 422 and changes nothing', async () => {
  const node = cluster.nodes.find((one) => one.isRunning)!;
  const before = await node.get('k');
  const failed = await write(node, 'refused', 'x', { 'if-match': '"999999"' });
  assert.equal(failed.status, 412);
  const again = await write(node, 'refused', 'x', { 'if-match': '"999999"' });
  assert.deepEqual([again.status, again.text], [412, failed.text]);
  const other = await write(node, 'refused', 'y');
  assert.equal(other.status, 422);
  assert.equal(other.headers['dcache-error'], 'key-reused');
  assert.match(other.text, /^this Idempotency-Key was used for another request before; nothing was done/);
  assert.equal((await node.get('k')).headers.etag, before.headers.etag);
});

test('many retries at once through all nodes are one write', async () => {
  const running = cluster.nodes.filter((node) => node.isRunning);
  const revision = (await running[0]!.status()).revision;
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => write(running[i % 2]!, 'at-once', 'three')));
  assert.equal(new Set(answers.map(({ status, headers }) => `${status} ${headers.etag}`)).size, 1);
  assert.equal(answers[0]?.status, 200);
  const last = await write(running[0]!, 'after', 'four');
  const passed = Number(JSON.parse(last.headers.etag!)) - revision;
  // A follower may have opened its session meanwhile, which takes a revision too.
  assert.ok(passed <= 3, `${passed} revisions for two writes`);
});
