import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventually, freePort } from '@dcache/testing';
import { dcacheBin, http } from './harness.js';

/** What becomes of a node whose log is taken by nobody, as by a pager or a collector that stands still. */

const folder = mkdtempSync(join(tmpdir(), 'dcache-log-'));

after(() => rmSync(folder, { recursive: true }));

/** So many reads on one connection, all sent before the first is answered. */
async function readMany(port: number, count: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  let answers = 0;
  socket.setEncoding('latin1').on('data', (text: string) => {
    answers += text.split('HTTP/1.1 404').length - 1;
  });
  socket.write('GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(count));
  await eventually('all are answered', () => answers === count);
  socket.destroy();
}

test('a node whose log nobody reads serves on, drops lines and says how many, and ends when it is told to', async () => {
  const pipe = join(folder, 'log');
  execFileSync('mkfifo', [pipe]);
  const reading = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
  const port = await freePort();
  const args = ['--id', 'n', '--http', '--bootstrap', '--log-level', 'debug'];
  const addresses = ['--addr', `127.0.0.1:${await freePort()}`, '--rpc-port', String(port)];
  const writing = openSync(pipe, constants.O_WRONLY);
  const child = spawn(process.execPath, [dcacheBin, ...args, ...addresses], {
    stdio: ['ignore', 'ignore', writing],
  });
  closeSync(writing);
  const reader = new Socket({ fd: reading, readable: true, writable: false });
  const ended = once(child, 'exit');
  try {
    await eventually('it is ready', async () => (await http(port, 'GET', '/-/ready')).status === 200);
    const dropped = async (): Promise<number> => {
      const { text } = await http(port, 'GET', '/-/metrics');
      return Number(/^dcache_logger_lines_dropped_total (\d+)$/m.exec(text)?.[1]);
    };
    assert.equal(await dropped(), 0);
    while ((await dropped()) < 2_000) await readMany(port, 900);
    const before = await dropped();
    assert.equal((await http(port, 'PUT', '/k', { body: 'v' })).status, 200, 'it serves on');

    let said = '';
    reader.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const told = (): number => Number(/"dropped":(\d+)/.exec(said)?.[1] ?? 0);
    await eventually('what is missing is told', () => told() > 0);
    const after = await dropped();
    assert.ok(told() >= before && told() <= after, `${told()}, of ${before} before it is read and ${after} then`);
    await readMany(port, 1);
    await eventually('the log goes on', () => said.lastIndexOf('"verb":"get"') > said.indexOf('"dropped"'));
    for (const line of said.trimEnd().split('\n')) JSON.parse(line);

    reader.pause();
    while ((await dropped()) < before + 2_000) await readMany(port, 900);
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
  } finally {
    child.kill('SIGKILL');
    reader.destroy();
  }
});
