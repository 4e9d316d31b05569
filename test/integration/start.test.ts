import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, freePort } from '@dcache/testing';
import { http, run } from './harness.js';

const script = fileURLToPath(new URL('../../../scripts/start.mjs', import.meta.url));

/** The first of three neighbours that are all free now, and none of them of the three from `taken` on. */
async function freeTriple(taken = 0): Promise<number> {
  const first = await freePort({ count: 3 });
  return Math.abs(first - taken) < 3 ? freeTriple(taken) : first;
}

function start(
  rpcPort: number,
  serfPort: number,
  [command, ...args]: readonly [string, ...string[]] = [process.execPath, script],
): { child: ChildProcess; output: () => string; exit: Promise<number | null> } {
  const child = spawn(command, [...args, '--rpc-port', String(rpcPort), '--serf-port', String(serfPort)], {
    cwd: dirname(dirname(script)),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  return { child, output: () => text, exit: new Promise((resolve) => child.once('close', resolve)) };
}

test('npm start brings up three nodes, says who they are and what to try, and Ctrl-C leaves nothing behind', async () => {
  const rpcPort = await freeTriple();
  const serfPort = await freeTriple(rpcPort);
  const { child, output, exit } = start(rpcPort, serfPort);
  try {
    await eventually('the cluster is announced', () => output().includes('Ctrl-C stops all three'));
    const roles = [...output().matchAll(/node\d {2}http:\/\/127\.0\.0\.1:(\d+) {2}(leader|follower) +pid (\d+)/g)];
    assert.deepEqual(
      roles.map(([, port]) => Number(port)),
      [rpcPort, rpcPort + 1, rpcPort + 2],
    );
    assert.equal(roles.filter(([, , role]) => role === 'leader').length, 1);
    const lines = output()
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => /^(curl|kill|npx) /.test(line));
    const [post, get, kill, again, list] = lines as [string, string, string, string, string];
    const pids = roles.map(([, , , pid]) => Number(pid));
    assert.equal((await run('sh', ['-c', post])).code, 0);
    assert.equal((await run('sh', ['-c', get])).stdout, 'this is the value');
    assert.equal((await run('sh', ['-c', list])).stdout.split('\n').length, 4);
    assert.ok(pids.includes(Number(/^kill -9 (\d+)$/.exec(kill)?.[1])), kill);
    assert.equal((await run('sh', ['-c', kill])).code, 0);
    assert.equal((await run('sh', ['-c', again])).stdout, 'this is the value', 'nothing is lost with the leader');

    const logs = /^Logs, until Ctrl-C: (.+)$/m.exec(output())?.[1] ?? '';
    assert.ok(existsSync(logs));
    await eventually('two of three are told to go on', () =>
      /^node\d has ended; node\d and node\d go on, 2 of 3 members\. Its log, until Ctrl-C: /m.test(output()),
    );
    const second = pids.find((pid) => !kill.endsWith(` ${pid}`))!;
    process.kill(second, 'SIGKILL');
    await eventually('one that is left alone is no majority', () =>
      /^node\d has ended; node\d, 1 of [23] members, is no majority: nothing can be written/m.test(output()),
    );
    child.kill('SIGINT');
    assert.equal(await exit, 0);
    assert.ok(!existsSync(logs), 'the logs are gone');
    for (const pid of pids) assert.throws(() => process.kill(pid, 0), `process ${pid} is gone`);
    await assert.rejects(http(rpcPort, 'GET', '/hello'));
  } finally {
    child.kill('SIGINT');
    await exit;
  }
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const)
  test(`${signal} to npm alone stops the nodes too`, async () => {
    const rpcPort = await freeTriple();
    const serfPort = await freeTriple(rpcPort);
    // All is built; without `prestart`, which would build it.
    const { child, output, exit } = start(rpcPort, serfPort, ['npm', 'start', '--ignore-scripts', '--']);
    try {
      await eventually('the cluster is announced', () => output().includes('Ctrl-C stops all three'));
      child.kill(signal);
      let ended: { code: number | null } | undefined;
      void exit.then((code) => {
        ended = { code };
      });
      // Closed once nobody holds its output any more: then the script has ended, and not only npm.
      const { code } = await eventually('the script has ended', () => ended);
      assert.equal(code, signal === 'SIGKILL' ? null : 0);
      await assert.rejects(http(rpcPort, 'GET', '/-/live'), { code: 'ECONNREFUSED' });
    } finally {
      child.kill('SIGKILL');
      for (const [, pid] of output().matchAll(/ pid (\d+)/g)) {
        try {
          process.kill(Number(pid), 'SIGKILL');
        } catch {
          // It is gone, as it should be.
        }
      }
    }
  });

test('npm start says which port is taken and starts nothing', async () => {
  const rpcPort = await freeTriple();
  const serfPort = await freeTriple(rpcPort);
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(rpcPort + 1, '127.0.0.1', resolve));
  const { output, exit } = start(rpcPort, serfPort);
  assert.equal(await exit, 1);
  assert.match(output(), new RegExp(`^Cannot start: TCP port ${rpcPort + 1} on 127.0.0.1 is taken by another process`));
  blocker.close();
});
