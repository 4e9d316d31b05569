import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { eventually, freePort, TestCa } from '@dcache/testing';
import { parse } from 'yaml';
import { Cluster, dcacheBin, http, Node, run } from './harness.js';

const isMissing = spawnSync('openssl', ['version']).error !== undefined;
if (isMissing && process.env['DCACHE_CI'])
  throw new Error('openssl is not installed; on Debian: apt-get install openssl');
const skip = isMissing ? 'openssl is not on the PATH' : false;

const folder = mkdtempSync(join(tmpdir(), 'dcache-secure-'));
const full = 'full-access-token-1';
const reader = 'read-only-token-22';
let nodesCa: TestCa;
let clientsCa: TestCa;
let cluster: Cluster;
const serfKey = Buffer.alloc(32, 7).toString('base64');

/** What every node of the cluster is given; `name` is on its certificate. */
function flagsOf(name: string): string[] {
  const own = nodesCa.issue(name);
  copyFileSync(own.cert, join(folder, `${name}.pem`));
  copyFileSync(own.key, join(folder, `${name}.key`));
  return [
    ...['--server-tls-cert-file', join(folder, `${name}.pem`), '--server-tls-key-file', join(folder, `${name}.key`)],
    ...['--peer-tls-cert-file', join(folder, `${name}.pem`), '--peer-tls-key-file', join(folder, `${name}.key`)],
    ...['--peer-tls-ca-file', nodesCa.cert, '--auth-token-file', join(folder, 'tokens'), '--encrypt', serfKey],
  ];
}

/** curl against a node, with a token. */
function curl(node: Node, path: string, ...args: string[]) {
  return run('curl', [
    '-sS',
    '--cacert',
    nodesCa.cert,
    '-w',
    '\n%{http_code}',
    ...args,
    `https://127.0.0.1:${node.rpcPort}${path}`,
  ]);
}

const bearer = (token: string): string[] => ['-H', `authorization: Bearer ${token}`];

before(async () => {
  if (isMissing) return;
  nodesCa = new TestCa(folder, 'nodes');
  clientsCa = new TestCa(folder, 'clients');
  writeFileSync(join(folder, 'tokens'), `${full}\nread ${reader}\n`);
  const nodes: Node[] = [];
  for (const name of ['node1', 'node2', 'node3']) nodes.push(await Node.create(name, flagsOf(name)));
  cluster = new Cluster(nodes);
  nodes[0]!.start('--bootstrap');
  for (const node of nodes.slice(1)) node.start('--join', nodes[0]!.serfAddress);
  await eventually('three voters over TLS', async () => {
    const { stdout } = await curl(nodes[2]!, '/-/servers', ...bearer(reader));
    return stdout.match(/"voteStatus":"Voter"/g)?.length === 3;
  });
});

after(async () => {
  await cluster?.destroy();
  rmSync(folder, { recursive: true });
});

test('three nodes over TLS take a write on one and give it on another, with a token', { skip }, async () => {
  const [first, second] = cluster.nodes as [Node, Node];
  assert.match((await curl(first, '/k', '-d', 'v', ...bearer(full))).stdout, /\n200$/);
  assert.equal((await curl(second, '/k', ...bearer(reader))).stdout, 'v\n200');
});

test('plaintext is refused on a TLS port, and a person is told why', { skip }, async () => {
  const answer = await http(cluster.nodes[0]!.rpcPort, 'GET', '/k');
  assert.equal(answer.status, 400);
  assert.equal(answer.text, 'this port speaks TLS: use https://\n');
});

test('HTTP/2 and HTTP/1.1 are offered by ALPN', { skip }, async () => {
  for (const protocol of ['h2', 'http/1.1']) {
    const chosen = await new Promise((resolve, reject) => {
      const socket = connectTls(
        { port: cluster.nodes[0]!.rpcPort, host: '127.0.0.1', ALPNProtocols: [protocol], rejectUnauthorized: false },
        () => {
          resolve(socket.alpnProtocol);
          socket.destroy();
        },
      );
      socket.on('error', reject);
    });
    assert.equal(chosen, protocol);
  }
  const { stdout } = await curl(cluster.nodes[1]!, '/-/live', '--http1.1');
  assert.match(stdout, /"live":true/);
});

test('without a token 401, with a reading one no write, and probes need none', { skip }, async () => {
  const [first] = cluster.nodes as [Node];
  assert.match((await curl(first, '/k')).stdout, /asks for a token.*\n\n401$/);
  assert.match((await curl(first, '/k', ...bearer('some-other-token-3'))).stdout, /does not know the token\n\n401$/);
  assert.match((await curl(first, '/k', '-d', 'x', ...bearer(reader))).stdout, /may only read\n\n403$/);
  assert.match((await curl(first, '/-/status')).stdout, /401$/);
  assert.match((await curl(first, '/-/ready')).stdout, /"ready":true\}\n\n200$/);
  assert.equal((await curl(first, '/k', ...bearer(reader))).stdout, 'v\n200');
});

test('a node whose certificate is of another CA, or that has none, is no peer', { skip }, async () => {
  const first = cluster.nodes[0]!;
  const peerCa = ['--peer-tls-ca-file', nodesCa.cert];
  const cases: [string, string[], RegExp][] = [
    [
      'stranger',
      [...withCertificate(new TestCa(folder, 'elsewhere').issue('stranger')), ...peerCa],
      /no certificate of a known CA|--peer-tls-cert-file/,
    ],
    ['plain', ['--insecure'], /it may speak TLS/],
  ];
  for (const [name, tls, why] of cases) {
    const node = await Node.create(name, [...tls, '--encrypt', serfKey]);
    const said = cluster.nodes.map((one) => one.output.length);
    node.start('--join', first.serfAddress);
    try {
      await eventually(`${name} is refused`, () =>
        cluster.nodes.some((one, i) => /a peer cannot be reached|a peer was refused/.test(one.output.slice(said[i]))),
      );
      await eventually(`${name} says so itself`, () => /a peer cannot be reached/.test(node.output));
      assert.match(node.output, why);
      const { stdout } = await curl(first, '/-/servers', ...bearer(reader));
      assert.doesNotMatch(stdout, new RegExp(`"id":"${name}"`), 'it is not even a learner');
    } finally {
      await node.stop();
    }
  }
});

test('certificates and tokens that are replaced count from then on, without a restart', { skip }, async () => {
  const first = cluster.nodes[0]!;
  const shown = async (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ port: first.rpcPort, host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  const old = await shown();
  const renewed = nodesCa.issue('node1');
  copyFileSync(renewed.cert, join(folder, 'node1.pem'));
  copyFileSync(renewed.key, join(folder, 'node1.key'));
  writeFileSync(join(folder, 'tokens'), `${full}\n`);
  first.signal('SIGHUP');
  await eventually('the new certificate is shown', async () => (await shown()) !== old);
  await eventually('every node forgets the token', async () => {
    const answers = await Promise.all(cluster.nodes.map((node) => curl(node, '/k', ...bearer(reader))));
    return answers.every(({ stdout }) => stdout.endsWith('401'));
  });
  assert.equal((await curl(first, '/k', ...bearer(full))).stdout, 'v\n200');
});

test('with a CA for clients, who shows no certificate of it gets no connection', { skip }, async () => {
  const own = nodesCa.issue('mutual');
  const node = await Node.create('mutual', [...withCertificate(own), '--server-tls-ca-file', clientsCa.cert]);
  node.start('--bootstrap');
  try {
    const client = clientsCa.issue('client');
    const shown = ['--cert', client.cert, '--key', client.key];
    await eventually('it is ready', async () => (await curl(node, '/-/ready', ...shown)).stdout.endsWith('200'));
    assert.match((await curl(node, '/k', '-d', 'v', ...shown)).stdout, /\n200$/);
    assert.notEqual((await curl(node, '/k')).code, 0);
    const other = nodesCa.issue('client');
    assert.notEqual((await curl(node, '/k', '--cert', other.cert, '--key', other.key)).code, 0);
  } finally {
    await node.kill();
  }
});

test('with CAs for clients and for peers a certificate of either is let in, as the documented probe has one', {
  skip,
}, async () => {
  const own = nodesCa.issue('both');
  const ca = ['--server-tls-ca-file', clientsCa.cert, '--peer-tls-ca-file', nodesCa.cert];
  const node = await Node.create('both', [...withCertificate(own), ...ca]);
  const manual = readFileSync(fileURLToPath(new URL('../../../docs/security.md', import.meta.url)), 'utf8');
  const { readinessProbe } = parse(/```yaml\n([\s\S]*?)```/.exec(manual)![1]!);
  const [, ...args] = (readinessProbe.exec.command as string[]).map((word) =>
    word
      .replace('/tls/nodes-ca.pem', nodesCa.cert)
      .replace('/tls/node.pem', own.cert)
      .replace('/tls/node.key', own.key)
      .replace('9200', String(node.rpcPort)),
  );
  const probe = async () => (await run(process.execPath, args)).code;
  node.start('--bootstrap');
  try {
    await eventually('the probe says ready', async () => (await probe()) === 0);
    for (const { cert, key } of [clientsCa.issue('client'), nodesCa.issue('node9')])
      assert.match((await curl(node, '/k', '-d', 'v', '--cert', cert, '--key', key)).stdout, /\n200$/);
    const other = new TestCa(folder, 'strangers').issue('client');
    assert.notEqual((await curl(node, '/k', '--cert', other.cert, '--key', other.key)).code, 0);
    assert.notEqual((await curl(node, '/-/live')).code, 0, 'a probe without a certificate');
  } finally {
    await node.kill();
  }
  assert.equal(await probe(), 1);
});

test('files that cannot be used, and a bind that is open to all, are refused in one line', { skip }, async () => {
  const good = nodesCa.issue('x');
  const expired = nodesCa.issue('x', -1);
  const cases: [string[], RegExp][] = [
    [withCertificate(expired), /--server-tls-cert-file .* expired on .*; give one that is valid/],
    [withCertificate({ cert: good.cert, key: expired.key }), /cannot be used: .*mismatch/],
    [['--server-tls-cert-file', good.cert], /--server-tls-cert-file and --server-tls-key-file go together/],
    [withCertificate({ cert: join(folder, 'nothing'), key: good.key }), /nothing cannot be read/],
    [withCertificate({ cert: join(folder, 'tokens'), key: good.key }), /tokens holds no certificate; it takes PEM/],
    [
      ['--id', 'y', ...withCertificate(good), '--peer-tls-ca-file', nodesCa.cert],
      /--server-tls-cert-file .* is not for this node: it has the names x, localhost, but .* peers look for --id y /,
    ],
    [['--peer-tls-ca-file', nodesCa.cert], /TLS needs --server-tls-cert-file/],
    [['--encrypt', 'short'], /--encrypt cannot be used: .*a key is 16, 24 or 32 bytes in base64/],
    [['--encrypt', 'YWI='], /--encrypt cannot be used: it has 2 bytes; a key is 16, 24 or 32 bytes in base64\n$/],
    [['--auth-token-file', join(folder, 'nothing')], /--auth-token-file .*nothing cannot be read/],
    [['--addr', '0.0.0.0:0'], /binds to 0\.0\.0\.0, which others can reach, without TLS or tokens; .*--insecure/],
  ];
  for (const [args, message] of cases) {
    const port = String(await freePort());
    const { code, stderr } = await run(process.execPath, [dcacheBin, '--http', '--rpc-port', port, ...args]);
    assert.equal(code, 1, args.join(' '));
    assert.match(stderr, message);
    assert.match(stderr, /^dcache: .*\n$/, 'one line');
  }
});

function withCertificate({ cert, key }: { cert: string; key: string }): string[] {
  return [
    ...['--server-tls-cert-file', cert, '--server-tls-key-file', key],
    ...['--peer-tls-cert-file', cert, '--peer-tls-key-file', key],
  ];
}
