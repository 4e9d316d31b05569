/**
 * The ten faults of the original server, one test each: what it did wrong stands in the comment, what ours does in the
 * name.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '@dcache/base';
import { Client } from '@dcache/client';
import { eventually, freePort, TestCa } from '@dcache/testing';
import { Server } from 'dcache';
import { Cluster, dcacheBin, http, Node, run } from './harness.js';

const isMissing = spawnSync('openssl', ['version']).error !== undefined;
if (isMissing && process.env['DCACHE_CI'])
  throw new Error('openssl is not installed; on Debian: apt-get install openssl');
const skip = isMissing ? 'openssl is not on the PATH' : false;

const folder = mkdtempSync(join(tmpdir(), 'dcache-faults-'));
let cluster: Cluster;

before(async () => {
  // A short log, so that a newcomer is healed by a snapshot; a short grace time, so that the dead are removed soon.
  cluster = await Cluster.start(3, ['--trailing-entries', '20', '--remove-failed-after', '2s']);
});

after(async () => {
  await cluster.destroy();
  rmSync(folder, { recursive: true });
});

const addressOf = (node: Node): string => `127.0.0.1:${node.rpcPort}`;

// Fault 3: one GetServers call ended the whole process.
test('GetServers is answered on every node, again and again, and every process lives on', async () => {
  const pids = cluster.nodes.map((node) => node.pid);
  for (const node of cluster.nodes) {
    await using client = new Client({ address: addressOf(node), discover: false });
    for (let i = 0; i < 20; i++) {
      const servers = await client.servers();
      assert.deepEqual(
        servers.map((server) => server.id),
        ['node1', 'node2', 'node3'],
      );
      assert.equal(servers.filter((server) => server.isLeader).length, 1);
    }
  }
  assert.ok(cluster.nodes.every((node, i) => node.isRunning && node.pid === pids[i]));
});

// Fault 4: a write sent to a follower failed with 500, and so did the read of a missing key.
test('a follower takes writes, and a missing key is 404 on every node', async () => {
  for (const follower of await cluster.followers()) {
    const key = `via-${follower.name}`;
    const written = await follower.set(key, 'v');
    assert.equal(written.status, 200, written.text);
    for (const node of cluster.nodes) {
      assert.equal((await node.get(key)).text, 'v');
      assert.equal((await node.get('never-written')).status, 404);
      assert.equal((await http(node.rpcPort, 'DELETE', '/never-written')).status, 404);
    }
  }
});

// Fault 7: only Set and Get.
test('keys can be deleted, live for a time of their own, be written on a condition, and many at once', async () => {
  await using client = new Client({ address: cluster.nodes.map(addressOf) });
  await client.set('gone', 'x');
  assert.equal(await client.delete('gone'), true);
  assert.equal(await client.get('gone'), undefined);

  await client.setMany([
    { key: 'brief', value: 'x', ttlMs: 200 },
    { key: 'long', value: 'x', ttlMs: 3_600_000 },
  ]);
  await eventually('the brief one expires', async () => (await client.get('brief')) === undefined);
  const many = await client.getMany(['brief', 'long']);
  assert.deepEqual(
    many.map((entry) => entry !== undefined),
    [false, true],
  );

  const revision = await client.set('once', 'first', { ifAbsent: true });
  await assert.rejects(client.set('once', 'second', { ifAbsent: true }), { code: 'precondition-failed' });
  await assert.rejects(client.set('once', 'second', { ifRevision: revision - 1 }), { code: 'precondition-failed' });
  await client.set('once', 'second', { ifRevision: revision });
  assert.equal(Buffer.from((await client.get('once'))!).toString(), 'second');
});

// Fault 9: reads were stale, and the strong mode could not be switched on.
test('a read on any node sees every write acknowledged before it, unless it asks for less', async () => {
  for (let i = 0; i < 90; i++) {
    const [writer, reader] = [cluster.nodes[i % 3]!, cluster.nodes[(i + 1 + (i % 2)) % 3]!];
    await writer.set('fresh', String(i));
    assert.equal((await reader.get('fresh', i % 3 === 0 ? 'lease' : undefined)).text, String(i), `write ${i}`);
  }
  assert.equal((await cluster.nodes[0]!.get('fresh', 'local')).status, 200);
  const unknown = await cluster.nodes[0]!.get('fresh', 'perhaps');
  assert.equal(unknown.status, 400);
  assert.match(unknown.text, /it takes local, lease, linearizable/);
});

// Fault 1: a follower that was healed by a snapshot got none of 30,000 keys.
test('a node that is healed by a snapshot has all 30,000 keys', async () => {
  await using client = new Client({ address: cluster.nodes.map(addressOf) });
  for (let at = 0; at < 30_000; at += 500) {
    const some = Array.from({ length: 500 }, (_, i) => ({ key: `healed-${at + i}`, value: `value ${at + i}` }));
    await client.setMany(some);
  }
  const newcomer = await Node.create('node4', ['--trailing-entries', '20', '--remove-failed-after', '2s']);
  cluster.nodes.push(newcomer);
  newcomer.start('--join', cluster.nodes[0]!.serfAddress);
  await cluster.formed(4);
  assert.match(newcomer.output, /a snapshot was installed/);
  assert.ok((await newcomer.status()).entries >= 30_000);
  for (let at = 0; at < 30_000; at += 997)
    assert.equal((await newcomer.get(`healed-${at}`, 'local')).text, `value ${at}`);
  await cluster.converged();
});

// Fault 5: crashed nodes were never removed, and a join that came while there was no leader was forgotten.
test('a crashed node is removed, and a join that comes while there is no leader is made up for', async () => {
  const crashed = cluster.nodes.pop()!;
  await crashed.kill();
  await cluster.formed(cluster.nodes.length);

  const [awake, ...asleep] = cluster.nodes as [Node, ...Node[]];
  for (const node of asleep) node.signal('SIGSTOP');
  await eventually('no leader is left', async () => (await awake.status()).leader === undefined);
  const newcomer = await Node.create('node5', ['--remove-failed-after', '2s']);
  newcomer.start('--join', awake.serfAddress);
  // Its join is known to the one node that is awake; nobody can act on it yet.
  const known = (await awake.status()).cluster;
  await eventually('it joined', async () => (await newcomer.status()).cluster === known);
  assert.equal((await awake.status()).leader, undefined);
  for (const node of asleep) node.signal('SIGCONT');
  cluster.nodes.push(newcomer);
  await cluster.formed(cluster.nodes.length);
});

// Fault 2: term, vote and log were always in memory; --in-memory and --data-dir were never read.
test('with --in-memory=false a killed cluster comes back with everything, and in memory nothing is on disk', async () => {
  const unused = join(folder, 'unused');
  const memory = await Node.create('memory', ['--data-dir', unused]);
  const disk = await Node.create('disk', ['--in-memory=false', '--data-dir', join(folder, 'disk')]);
  try {
    for (const node of [memory, disk]) node.start('--bootstrap');
    for (const node of [memory, disk])
      await eventually(`${node.name} takes a write`, async () => (await node.set('kept', 'v')).status === 200);
    const before = await disk.status();
    await Promise.all([memory.kill(), disk.kill()]);
    for (const node of [memory, disk]) node.start('--bootstrap');
    await eventually('both are ready', async () => (await disk.status()).isReady && (await memory.status()).isReady);
    assert.equal((await disk.get('kept')).text, 'v');
    assert.equal((await memory.get('kept')).status, 404);
    const now = await disk.status();
    assert.equal(now.raftId, before.raftId, 'it is who it was');
    assert.ok(now.appliedIndex > before.appliedIndex, 'the log goes on where it was');
    assert.equal(existsSync(unused), false);
  } finally {
    await Promise.all([memory.kill(), disk.kill()]);
  }
});

// Fault 6: TLS covered Raft alone; gRPC, HTTP and Serf were plaintext.
test('with TLS and a Serf key no protocol takes plaintext, and every one of them works encrypted', {
  skip,
}, async () => {
  const ca = new TestCa(folder, 'nodes');
  const key = Buffer.alloc(32, 9).toString('base64');
  const secured = (name: string): string[] => {
    const own = ca.issue(name);
    return [
      ...['--server-tls-cert-file', own.cert, '--server-tls-key-file', own.key, '--encrypt', key],
      ...['--peer-tls-cert-file', own.cert, '--peer-tls-key-file', own.key, '--peer-tls-ca-file', ca.cert],
    ];
  };
  const [first, second] = [await Node.create('tls1', secured('tls1')), await Node.create('tls2', secured('tls2'))];
  const stranger = await Node.create('keyless');
  try {
    first.start('--bootstrap');
    second.start('--join', first.serfAddress);
    await using client = new Client({ address: addressOf(first), tls: { ca: readFileSync(ca.cert) } });
    await eventually('gRPC and the peers speak TLS', async () => (await client.servers()).length === 2);
    await client.set('k', 'v');
    const curl = await run('curl', ['-sS', '--cacert', ca.cert, `https://127.0.0.1:${second.rpcPort}/k`]);
    assert.equal(curl.stdout, 'v', curl.stderr);

    assert.equal((await http(second.rpcPort, 'GET', '/k')).status, 400);
    await using plain = new Client({ address: addressOf(second), timeoutMs: 2_000 });
    await assert.rejects(plain.get('k'));
    stranger.start('--join', first.serfAddress);
    await eventually('gossip without the key is not heard', () => stranger.output.includes('nobody answers at'));
    assert.equal((await client.servers()).length, 2);
  } finally {
    await Promise.all([first.kill(), second.kill(), stranger.kill()]);
  }
});

// Fault 8: entries expired after a fixed ten minutes by each node's own clock, so replicas disagreed.
test('nodes whose clocks are an hour apart agree on what has expired', async () => {
  const servers: Server[] = [];
  let seed = '';
  try {
    for (const [name, hours] of [
      ['early', -1],
      ['right', 0],
      ['late', 1],
    ] as const) {
      const addr = `127.0.0.1:${await freePort()}`;
      const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + hours * 3_600_000 };
      const options = { addr, id: name, http: true, rpcPort: 0 };
      servers.push(new Server({ ...options, ...(seed ? { join: [seed] } : { bootstrap: true }) }, { clock }));
      seed ||= addr;
    }
    for (const server of servers) await server.start();
    const ports = (): number[] => servers.map((server) => Number(server.rpcAddr.split(':')[1]));
    await eventually('three voters', () => servers.every((server) => server.isReady && server.servers().length === 3));
    const [first] = ports();
    await http(first!, 'POST', '/brief?ttl=300ms', { body: 'x' });
    await http(first!, 'POST', '/half-an-hour?ttl=30m', { body: 'x' });
    await http(first!, 'POST', '/for-ever', { body: 'x' });
    for (const port of ports())
      await eventually('the brief one is gone', async () => (await http(port, 'GET', '/brief')).status === 404);
    // The local read comes last: by then the write has arrived there.
    for (const key of ['half-an-hour', 'for-ever'])
      for (const port of ports())
        for (const level of ['linearizable', 'lease', 'local'])
          assert.equal((await http(port, 'GET', `/${key}?consistency=${level}`)).status, 200, `${key} at ${level}`);
    await eventually('equal states', () => {
      const views = servers.map((server) => server.status());
      return new Set(views.map((view) => `${view.appliedIndex} ${view.stateHash}`)).size === 1;
    });
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
});

// Fault 10: no metrics, no health probe, no authentication, no limits on key, value or request size.
test('there are metrics, probes, tokens, and limits on keys, values and requests', async () => {
  const tokens = join(folder, 'tokens');
  writeFileSync(tokens, 'the-only-token-1\n');
  const node = await Node.create('guarded', ['--auth-token-file', tokens, '--max-value-bytes', '1000']);
  node.start('--bootstrap');
  try {
    await eventually('the probe says ready', async () => (await http(node.rpcPort, 'GET', '/-/ready')).status === 200);
    assert.equal((await http(node.rpcPort, 'GET', '/-/live')).status, 200);
    assert.equal((await http(node.rpcPort, 'GET', '/k')).status, 401);
    const headers = { authorization: 'Bearer the-only-token-1' };
    const metrics = await http(node.rpcPort, 'GET', '/-/metrics', { headers });
    assert.match(metrics.text, /^# TYPE dcache_\w+ histogram$/m);
    const sent = (path: string, body: string) => http(node.rpcPort, 'POST', path, { body, headers });
    assert.equal((await sent('/k', 'x'.repeat(1_000))).status, 200);
    assert.equal((await sent(`/${'k'.repeat(65_536)}`, 'x')).status, 200);
    // By whom it is refused matters: before anything of it is in the log.
    const refused: [path: string, body: string, message: RegExp][] = [
      ['/k', 'x'.repeat(1_001), /^the value has 1001 bytes; at most 1000 are allowed \(--max-value-bytes\)\n$/],
      [`/${'k'.repeat(65_537)}`, 'x', /^the key has 65537 bytes; at most 65536 are allowed\n$/],
    ];
    const revision = async (): Promise<number> =>
      JSON.parse((await http(node.rpcPort, 'GET', '/-/status', { headers })).text).revision;
    const before = await revision();
    for (const [path, body, message] of refused) {
      const answer = await sent(path, body);
      assert.equal(answer.status, 413);
      assert.match(answer.text, message);
    }
    assert.equal(await revision(), before);
    const long = await http(node.rpcPort, 'GET', '/k', { headers: { ...headers, 'x-long': 'x'.repeat(300_000) } });
    assert.equal(long.status, 431);
  } finally {
    await node.kill();
  }
  const nothing = await run(process.execPath, [dcacheBin, '--max-value-bytes', '0', '--http']);
  assert.match(nothing.stderr, /--max-value-bytes is 0; it takes an integer from 1/);
});
