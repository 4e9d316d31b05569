import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { type Certificate, TestCa, until } from '@dcache/testing';
import { Tls } from './tls.js';

const isMissing = spawnSync('openssl', ['version']).error !== undefined;
if (isMissing && process.env['DCACHE_CI'])
  throw new Error('openssl is not installed; on Debian: apt-get install openssl');
const skip = isMissing ? 'openssl is not on the PATH' : false;
const folder = mkdtempSync(join(tmpdir(), 'dcache-tls-'));
let ca: TestCa;
let own: Certificate;
let others: Certificate;

before(() => {
  if (isMissing) return;
  ca = new TestCa(folder, 'nodes');
  own = ca.issue('node1');
  others = ca.issue('node2');
});

after(() => rmSync(folder, { recursive: true }));

/** A node called `name` that shows `server` to who dials it, and `peer` where it dials. */
function make(name: string, server: Certificate, peer?: Certificate, peerCa: string | undefined = ca.cert): Tls {
  const files = { serverCert: server.cert, serverKey: server.key, peerCert: peer?.cert, peerKey: peer?.key, peerCa };
  return new Tls(files, name, Date.now());
}

test('a certificate that does not carry the name of its own node is refused with the flag, the file and its names', {
  skip,
}, () => {
  assert.ok(make('node1', own, own).provesNames);
  assert.ok(make('localhost', own, own), 'a DNS name is as good');
  for (const [flag, server, peer] of [
    ['server-tls-cert-file', others, own],
    ['peer-tls-cert-file', own, others],
  ] as const)
    assert.throws(() => make('node1', server, peer), {
      name: 'TypeError',
      message: `--${flag} ${others.cert} is not for this node: it has the names node2, localhost, but with --peer-tls-ca-file peers look for --id node1 as its common name or a DNS name`,
    });
  assert.throws(() => make('node1', own), { message: /^--peer-tls-ca-file needs --peer-tls-cert-file and its key/ });
});

test('where peers prove no names a certificate is for whom it likes', { skip }, () => {
  const { cert, key } = others;
  assert.ok(!new Tls({ serverCert: cert, serverKey: key }, 'node1', Date.now()).provesNames);
});

test('on either side a peer that shows the certificate of another is refused by its name', { skip }, async () => {
  const node2 = make('node2', others, others);
  const answered: TLSSocket[] = [];
  const server: Server = createServer(
    make('node1', own, own).serve(
      false,
      (socket) => void answered.push(socket),
      () => {},
    ).accept,
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const dialled: TLSSocket[] = [];
  try {
    const dial = (name: string): TLSSocket => {
      const socket = node2.dial({ host: '127.0.0.1', port }, name);
      dialled.push(socket);
      return socket;
    };
    await once(dial('node1'), 'secureConnect');
    await until('it was answered', () => answered.length > 0);
    const judge = make('node1', own, own);
    assert.equal(judge.peerFault(answered[0]!, 'node2'), undefined);
    assert.equal(judge.peerFault(answered[0]!, 'impostor'), 'its certificate is not for impostor');
    await assert.rejects(once(dial('impostor'), 'secureConnect'), {
      message: `the certificate at 127.0.0.1:${port} is not for impostor`,
    });
  } finally {
    for (const socket of [...answered, ...dialled]) socket.destroy();
    server.close();
  }
});
