import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { clientBin } from './harness.js';

/** How each command ends when the user has enough and the server says nothing. */

const sockets = new Set<Socket>();
const silent = createServer((socket) => {
  sockets.add(socket);
  socket.on('error', () => {}).resume();
});

before(() => once(silent.listen(0, '127.0.0.1'), 'listening'));

after(() => {
  for (const socket of sockets) socket.destroy();
  silent.close();
});

const commands: readonly (readonly string[])[] = [
  ['get', 'k'],
  ['set', 'k', 'v'],
  ['delete', 'k'],
  ['servers'],
  ['status'],
  ['transfer-leadership'],
  ['leave', 'n'],
  ['snapshot-save', '-'],
  ['snapshot-restore', '-'],
  ['bench'],
];

for (const command of commands)
  test(`${command[0]} ends by the signal that ends it, and not by the silence of the server`, async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const asked = once(silent, 'connection');
      const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
      const child = spawn(process.execPath, [clientBin, '--addr', address, '--timeout', '1h', ...command]);
      const ended = once(child, 'close');
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      await asked;
      child.kill(signal);
      assert.deepEqual(await ended, [null, signal], stderr);
      // What a server's silence ends says so instead; a bench tells on standard output what it measured until then.
      const said = command[0] === 'bench' ? '' : `dcache-client: ended by ${signal}: the call was aborted[^\\n]*\\n`;
      assert.match(stderr, new RegExp(`^${said}$`));
    }
  });
