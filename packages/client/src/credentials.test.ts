import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { LinkCredentials } from './credentials.js';

/** Ends each connection that says something, without a word; others stay. */
const silent = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.destroy()));
const opened: Socket[] = [];

before(() => once(silent.listen(0, '127.0.0.1'), 'listening'));

after(() => {
  for (const socket of opened) socket.destroy();
  silent.close();
});

async function dial(): Promise<Socket> {
  const socket = connect((silent.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
  opened.push(socket);
  await once(socket, 'connect');
  return socket;
}

test('what a connection came to is known until the next one has come to something', async () => {
  for (const tls of [undefined, {}]) {
    const credentials = new LinkCredentials('127.0.0.1', tls);
    const connector = credentials._createSecureConnector(undefined, undefined);
    const first = await dial();
    const connecting = connector.connect(first);
    first.write('hello');
    if (tls) await assert.rejects(connecting);
    else await Promise.all([connecting, once(first, 'close')]);
    assert.equal(credentials.fault?.reason, 'closed');
    connector.connect(await dial()).catch(() => {});
    assert.equal(credentials.fault?.reason, 'closed', 'the second has said nothing yet');
    credentials.close();
  }
});
