import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { freePort } from './free-port.js';

test('a free port can be taken for TCP and UDP, and is none that outgoing connections get', async () => {
  const port = await freePort();
  assert.ok(port >= 10_000 && port < 32_768, `${port}`);
  const server = createServer().listen(port, '127.0.0.1');
  const socket = createSocket('udp4').bind(port, '127.0.0.1');
  await Promise.all([once(server, 'listening'), once(socket, 'listening')]);
  server.close();
  socket.close();
});

test('ports in a row are all free, and one that TCP or UDP has is passed over', async (context) => {
  const first = await freePort({ count: 6 });
  const server = createServer().listen(first + 1, '127.0.0.1');
  const socket = createSocket('udp4').bind(first + 3, '127.0.0.1');
  await Promise.all([once(server, 'listening'), once(socket, 'listening')]);
  // Draws the rows that hold a taken port first.
  const rows = [first, first + 2, first + 4];
  context.mock.method(Math, 'random', () => (rows.shift()! - 10_000 + 0.5) / (20_000 - 2));
  assert.equal(await freePort({ count: 2 }).catch(() => 'none'), first + 4);
  server.close();
  socket.close();
});

test('an address that is not of this machine is an error and no endless search', async () => {
  await assert.rejects(freePort({ host: '192.0.2.1' }), /EADDRNOTAVAIL/);
});
