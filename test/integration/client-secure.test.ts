import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Client, type ClientOptions } from '@dcache/client';
import { eventually, TestCa } from '@dcache/testing';
import { clientBin, Node, run } from './harness.js';

const folder = mkdtempSync(join(tmpdir(), 'dcache-client-secure-'));
const full = 'full-access-token-1';
const reader = 'read-only-token-22';
let ca: TestCa;
let node: Node;

before(async () => {
  ca = new TestCa(folder, 'ca');
  const { cert, key } = ca.issue('node1');
  writeFileSync(join(folder, 'tokens'), `${full}\nread ${reader}\n`);
  writeFileSync(join(folder, 'token'), `${full}\n`);
  node = await Node.create('node1', [
    ...['--server-tls-cert-file', cert, '--server-tls-key-file', key, '--server-tls-ca-file', ca.cert],
    ...['--auth-token-file', join(folder, 'tokens')],
  ]);
  node.start('--bootstrap');
  await using client = connect({ token: full });
  await eventually('the node serves', async () => (await client.set('first', 'x')) > 0);
});

after(async () => {
  await node?.kill();
  rmSync(folder, { recursive: true });
});

/** With a certificate of its own, which the server asks for. */
function connect(options: Partial<ClientOptions> = {}): Client {
  const own = ca.issue('client');
  const tls = { ca: readFileSync(ca.cert), cert: readFileSync(own.cert), key: readFileSync(own.key) };
  return new Client({ address: `localhost:${node.rpcPort}`, tls, timeoutMs: 5_000, ...options });
}

test('with certificate and token a client reads and writes; each fault has its code', async () => {
  await using client = connect({ token: full });
  await client.set('k', 'v');
  await using onlyReads = connect({ token: reader });
  assert.equal(Buffer.from((await onlyReads.get('k'))!).toString(), 'v');
  assert.equal((await onlyReads.admin.status()).id, 'node1');
  await assert.rejects(onlyReads.set('k', 'x'), { code: 'forbidden' });
  await using nobody = connect();
  await assert.rejects(nobody.get('k'), { code: 'unauthenticated' });
  await using stranger = connect({ token: 'some-other-token-3' });
  await assert.rejects(stranger.set('k', 'x'), { code: 'unauthenticated' });
});

test('without TLS, without a certificate and without trust there is no connection', async () => {
  const faults: Partial<ClientOptions>[] = [{ tls: false }, { tls: { ca: readFileSync(ca.cert) } }, { tls: true }];
  for (const options of faults) {
    await using client = connect({ token: full, timeoutMs: 1_500, ...options });
    await assert.rejects(client.get('k'), { code: 'unavailable' }, JSON.stringify(Object.keys(options.tls || {})));
  }
});

test('the command line takes the same, from files and from the environment', async () => {
  const own = ca.issue('cli');
  const files = ['--tls-ca-file', ca.cert, '--tls-cert-file', own.cert, '--tls-key-file', own.key];
  const cli = (...args: string[]) =>
    run(process.execPath, [clientBin, '--addr', `localhost:${node.rpcPort}`, ...files, ...args]);
  assert.equal((await cli('--token-file', join(folder, 'token'), 'set', 'k', 'by file')).code, 0);
  assert.equal((await cli('--token', reader, 'get', 'k')).stdout, 'by file');
  const without = await cli('get', 'k');
  assert.equal(without.code, 1);
  assert.match(without.stderr, /token/);
});
