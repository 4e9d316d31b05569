import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { eventually, freePort } from '@dcache/testing';
import { dcacheBin, http } from './harness.js';

/** A node that binds to every address; what it wrote, and a way to end it. */
async function start(name: string, ...flags: string[]) {
  const [rpcPort, serfPort] = [await freePort(), await freePort()];
  const child = spawn(
    process.execPath,
    [
      ...[dcacheBin, '--id', name, '--addr', `0.0.0.0:${serfPort}`, '--rpc-port', String(rpcPort)],
      ...['--http', '--insecure', ...flags],
    ],
    { stdio: 'ignore' },
  );
  const servers = async (): Promise<{ id: string; rpcAddr: string; voteStatus: string }[]> =>
    JSON.parse((await http(rpcPort, 'GET', '/-/servers')).text);
  const kill = (): Promise<unknown> => {
    const closed = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    return closed;
  };
  return { rpcPort, serfPort, servers, kill };
}

test('bound to every address, a node tells others one that they can dial, or the one of --advertise', async () => {
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  const addresses = own.map(({ address, family }) => (family === 'IPv6' ? `[${address}]` : address));
  const first = await start('first', '--bootstrap', '--advertise', '127.0.0.1');
  const second = await start('second', '--join', `127.0.0.1:${first.serfPort}`);
  try {
    const servers = await eventually('two voters', async () => {
      const told = await second.servers();
      return told.length === 2 && told.every((server) => server.voteStatus === 'Voter') && told;
    });
    assert.equal(servers[0]?.rpcAddr, `127.0.0.1:${first.rpcPort}`);
    const host = servers[1]!.rpcAddr.replace(/:\d+$/, '');
    assert.ok(addresses.includes(host), `${host} is an address of this machine: ${addresses.join()}`);
    assert.ok(servers[1]!.rpcAddr.endsWith(`:${second.rpcPort}`));
    assert.equal((await http(second.rpcPort, 'POST', '/k', { body: 'v' })).status, 200, 'the leader can be reached');
    assert.equal((await http(first.rpcPort, 'GET', '/k')).text, 'v');
  } finally {
    await Promise.all([first.kill(), second.kill()]);
  }
});
