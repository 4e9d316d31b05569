import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { fromUtf8, silentLogger, utf8 } from '@dcache/base';
import { CommandType, ReadLevel, ReplyType, type SetCommand } from '@dcache/protocol';
import { freePort, turn, until } from '@dcache/testing';
import { Server } from './server.js';
import type { ServerParts } from './server-parts.js';
import type { ServerOptions } from './settings/options.js';

const servers: Server[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

async function make(
  name: string,
  options: ServerOptions = {},
  parts?: ServerParts,
): Promise<{ server: Server; addr: string }> {
  const addr = options.addr ?? `127.0.0.1:${await freePort()}`;
  const server = new Server({ http: true, id: name, rpcPort: 0, ...options, addr }, parts);
  servers.push(server);
  return { server, addr };
}

/** The same for one that may end: what it said of errors, and what ended it. */
async function makeHeard(name: string, options: ServerOptions): Promise<{ server: Server; addr: string } & Heard> {
  const heard: Heard = { said: [], ended: [] };
  const parts: ServerParts = {
    logger: { ...silentLogger, error: (_, message) => void heard.said.push(message) },
    onFatal: (error) => void heard.ended.push(error),
  };
  return { ...(await make(name, options, parts)), ...heard };
}

interface Heard {
  readonly said: string[];
  readonly ended: Error[];
}

const set = (key: string, value: string): SetCommand => ({
  type: CommandType.set,
  key: utf8(key),
  value: utf8(value),
  ttlMs: 0,
  flags: 0,
});

async function read(server: Server, key: string, level?: ReadLevel): Promise<string | undefined> {
  const found = await server.read(utf8(key), { level });
  return found && fromUtf8(found.value);
}

function get(rpcAddr: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`http://${rpcAddr}${path}`, { agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    })
      .on('error', reject)
      .end();
  });
}

/** Sockets and servers that keep this process alive. */
const handles = (): number =>
  process.getActiveResourcesInfo().filter((kind) => /^(TCP|UDP|Pipe)/i.test(kind) && kind !== 'PipeWrap').length;

test('a port that is taken is an error that names it, and nothing is left behind', async () => {
  const { server: first, addr } = await make('n1', { bootstrap: true });
  await first.start();
  const before = handles();
  const rpcPort = Number(first.rpcAddr.split(':')[1]);
  const { server: second } = await make('n2', { rpcPort });
  await assert.rejects(second.start(), new RegExp(`127\\.0\\.0\\.1:${rpcPort} is taken`));
  const { server: third } = await make('n3', { addr });
  await assert.rejects(third.start(), (error: Error) => error.message.includes(addr));
  await until('its port is free again', () => handles() <= before);
  await assert.rejects(third.start(), /started once/);
});

test('a server can be stopped at any moment of its start, and frees all that it took', async () => {
  const before = handles();
  for (let turns = 0; turns <= 24; turns++) {
    const { server } = await make('n1', {
      bootstrap: turns % 2 === 0,
      ...(turns % 3 === 0 ? { join: [`127.0.0.1:${await freePort()}`] } : {}),
    });
    const starting = server.start().then(
      () => 'started',
      (error: { code?: string }) => error.code,
    );
    await turn(turns);
    await server.stop();
    assert.ok(['started', 'stopping'].includes((await starting) ?? ''), `after ${turns} turns: ${await starting}`);
    await until(`nothing is left of the stop after ${turns} turns`, () => handles() <= before);
  }
});

test('a durable server that is stopped while it starts closes its log, so that the next start finds it free', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'dcache-server-test-'));
  folders.push(dataDir);
  for (const turns of [0, 1, 3, 6, 12, 24]) {
    const { server } = await make('n1', { bootstrap: true, inMemory: false, dataDir });
    const starting = server.start().catch(() => {});
    await turn(turns);
    await server.stop();
    await starting;
  }
});

test('stopping twice is stopping once, and a server that was stopped does not start', async () => {
  const { server } = await make('n1', { bootstrap: true });
  await server.start();
  assert.equal(server.stop(), server.stop());
  await server.stop();
  const { server: never } = await make('n2', { bootstrap: true });
  await never.stop();
  await assert.rejects(never.start(), { code: 'stopping' });
});

test('before its start and after its stop a server refuses requests, and says which it is', async () => {
  const { server } = await make('n1', { bootstrap: true });
  await assert.rejects(server.read(utf8('k')), { code: 'no-leader' });
  assert.equal(server.status().role, 'starting');
  assert.equal(server.isReady, false);
  await server.start();
  await server.write(set('k', 'v'));
  assert.equal(server.isReady, true);
  assert.equal(await get(server.rpcAddr, '/-/ready'), 200);
  await server.stop();
  await assert.rejects(server.write(set('k', 'v')), { code: 'stopping' });
  await assert.rejects(get(server.rpcAddr, '/-/live'));
});

test('who bootstraps where a cluster answers joins it, and founds none', async () => {
  const { server: first, addr } = await make('n1', { bootstrap: true });
  await first.start();
  const { server: second } = await make('n2', { bootstrap: true, join: [addr] });
  await second.start();
  await until('it is a voter', () => second.status().servers.filter((one) => one.voteStatus === 'Voter').length === 2);
  assert.equal(second.status().cluster, first.status().cluster);
});

test('two that bootstrap and join each other at the same moment found one cluster', async () => {
  for (let round = 0; round < 2; round++) {
    const addrs = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`] as const;
    const { server: first } = await make('n1', { bootstrap: true, addr: addrs[0], join: [addrs[1]] });
    const { server: second } = await make('n2', { bootstrap: true, addr: addrs[1], join: [addrs[0]] });
    await Promise.all([first.start(), second.start()]);
    await until('both are voters', () =>
      [first, second].every((server) => server.servers().filter((one) => one.voteStatus === 'Voter').length === 2),
    );
    assert.equal(second.status().cluster, first.status().cluster);
    await Promise.all(servers.splice(0).map((server) => server.stop()));
  }
});

test('two that found only each other at first join the founder, who starts last and was given nobody', async () => {
  const addrs = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const [founder, second, third] = addrs as [string, string, string];
  const early = [
    (await make('n2', { addr: second, join: [founder, third] })).server,
    (await make('n3', { addr: third, join: [founder, second] })).server,
  ];
  await Promise.all(early.map((server) => server.start()));
  const pools = ['', ''];
  await until('they found each other', () => {
    for (const [i, server] of early.entries())
      server.metrics().then(
        ({ text }) => (pools[i] = text),
        () => {},
      );
    return pools.every((text) => /serf_members\{[^}]*alive[^}]*\} 2$/m.test(text));
  });
  const { server: last } = await make('n1', { bootstrap: true, addr: founder });
  await last.start();
  await until('three voters', () =>
    [last, ...early].every((server) => server.servers().filter((one) => one.voteStatus === 'Voter').length === 3),
  );
});

test('a founder that finds a larger cluster beside it ends and says what to do; the cluster goes on', async () => {
  const { server: first, addr } = await make('n1', { bootstrap: true });
  await first.start();
  const { server: second } = await make('n2', { join: [addr] });
  await second.start();
  await until('two members', () => first.servers().length === 2);
  const { server: lost, addr: lostAddr, ended } = await makeHeard('lost', { bootstrap: true });
  await lost.start();
  const { cluster } = lost.status();
  assert.notEqual(cluster, first.status().cluster);
  // One that finds both, as nodes of the old cluster find again the address of the founder they lost.
  const { server: third } = await make('n3', { join: [addr, lostAddr] });
  await third.start();
  await until('it ends', () => ended.length > 0);
  assert.match(
    ended[0]!.message,
    new RegExp(`this node founded cluster ${cluster} alone, but cluster .* of . nodes was`),
  );
  assert.match(ended[0]!.message, /Start it without --bootstrap and with --join, or with both/);
  assert.equal((await first.write(set('k', 'v'))).type, ReplyType.ok);
  assert.equal(ended.length, 1);
});

test('a founder goes on looking for its addresses: one that starts there later, and was told nothing, is found', async () => {
  const late = `127.0.0.1:${await freePort()}`;
  const { server: founder } = await make('n1', { bootstrap: true, join: [late] });
  await founder.start();
  const { server: second } = await make('n2', { addr: late });
  await second.start();
  await until('it is a voter', () => second.servers().filter((one) => one.voteStatus === 'Voter').length === 2);
  assert.equal(second.status().cluster, founder.status().cluster);
});

test('a founder that left and founds anew, having met nobody, is found by those it left, and ends', async () => {
  const addrs = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const [addr, g, h] = addrs as [string, string, string];
  const others = [
    (await make('g', { addr: g, join: [addr, h] })).server,
    (await make('h', { addr: h, join: [addr, g] })).server,
  ];
  const { server: founder } = await make('f', { bootstrap: true, addr, join: [g, h] });
  await Promise.all([founder, ...others].map((server) => server.start()));
  await until('three voters', () =>
    [founder, ...others].every((one) => one.servers().filter((each) => each.voteStatus === 'Voter').length === 3),
  );
  await founder.write(set('k', 'v'));
  const { cluster } = founder.status();
  await founder.stop();
  await until('it has left', () => others.every((one) => one.servers().length === 2));
  // Without --join it founds at once, as it does where nobody answers it.
  const { server: again, ended } = await makeHeard('f', { addr, bootstrap: true });
  await again.start();
  await until('it ends', () => ended.length > 0);
  assert.match(ended[0]!.message, new RegExp(`alone, but cluster ${cluster} of . nodes was there already`));
  assert.equal(await read(others[0]!, 'k', ReadLevel.linearizable), 'v');
});

test("who says in gossip, in a member's name, that it left does not take it out of the cluster", async () => {
  const changes: string[] = [];
  const addr = `127.0.0.1:${await freePort()}`;
  const info = (fields: object, message: string): void => {
    if (message === 'members') changes.push((fields as { change: string }).change);
  };
  const first = new Server(
    { http: true, id: 'n1', rpcPort: 0, addr, bootstrap: true },
    { logger: { ...silentLogger, info } },
  );
  servers.push(first);
  await first.start();
  const { server: second } = await make('n2', { join: [addr] });
  await second.start();
  await until('two voters', () => first.servers().filter((one) => one.voteStatus === 'Voter').length === 2);
  const gossip = (): string | undefined => first.overview().members.find(({ id }) => id === 'n2')?.gossip;
  const socket = createSocket('udp4');
  const [host, port] = addr.split(':') as [string, string];
  // A Serf "leave" and memberlist's "dead", from the dead itself: msgpack maps behind the numbers of their types.
  const leave = Buffer.from('\x08\x00\x83\xa5LTime\xcd\xff\xff\xa4Node\xa2n2\xa5Prune\xc2', 'latin1');
  const dead = Buffer.from('\x05\x83\xabIncarnation\xcd\xff\xff\xa4Node\xa2n2\xa4From\xa2n2', 'latin1');
  try {
    for (const packet of [leave, dead]) socket.send(packet, Number(port), host);
    await until('the leader believes it', () => gossip() === 'left' || changes.includes('remove'));
    await until('it is refuted', () => gossip() === 'alive');
  } finally {
    socket.close();
  }
  assert.deepEqual(changes, ['add-learner', 'promote']);
  assert.equal(first.servers().length, 2);
});

test('a node that founds anew where a member was given up as failed hears of its cluster from who dials the member', async () => {
  const addr = `127.0.0.1:${await freePort()}`;
  const { server: first } = await make('n1', { bootstrap: true, addr });
  await first.start();
  const dataDir = await mkdtemp(join(tmpdir(), 'dcache-test-'));
  folders.push(dataDir);
  const there = { addr: `127.0.0.1:${await freePort()}`, rpcPort: await freePort() };
  // On disk a node that stops does not leave: to the other it looks like a crash. Nobody looks for its address.
  const { server: second } = await make('n2', { ...there, join: [addr], inMemory: false, dataDir });
  await second.start();
  await until('two voters', () => first.servers().filter((one) => one.voteStatus === 'Voter').length === 2);
  await second.stop();
  await until('it is given up', () => first.overview().members.some(({ gossip }) => gossip === 'failed'));
  const { server: anew, said } = await makeHeard('n2', { ...there, bootstrap: true });
  await anew.start();
  await until('it has heard', () => said.some((line) => /holds several clusters/.test(line)));
});

test('a founder with data does not end for strangers that bring another cluster into its pool', async () => {
  const { server: first, addr } = await make('n1', { bootstrap: true });
  await first.start();
  const { server: second } = await make('n2', { join: [addr] });
  await second.start();
  await until('two members', () => first.servers().length === 2);
  const { server: own, addr: ownAddr, said, ended } = await makeHeard('own', { bootstrap: true });
  await own.start();
  await own.write(set('k', 'kept'));
  const { server: third } = await make('n3', { join: [addr, ownAddr] });
  await third.start();
  await until('it has seen them', () => said.some((line) => /keeps it, because clients have written to it/.test(line)));
  await until('all of them', () => third.servers().length === 3);
  assert.deepEqual(ended, []);
  assert.equal(await read(own, 'k', ReadLevel.linearizable), 'kept');
});

test('nodes of two clusters with one name keep it, where both have data, and neither gives up what it acknowledged', async () => {
  const { server: first, addr } = await make('n1', { bootstrap: true });
  await first.start();
  await first.write(set('k', 'theirs'));
  const { server: second } = await make('n2', { join: [addr] });
  await second.start();
  await until('two members', () => first.servers().length === 2);
  const { server: own, addr: ownAddr, said, ended } = await makeHeard('n1', { bootstrap: true });
  await own.start();
  await own.write(set('k', 'kept'));
  const { server: third } = await make('n3', { join: [addr, ownAddr] });
  await third.start();
  const theirs = first.status().cluster;
  const kept = new RegExp(`^a node of cluster ${theirs} is called n1 too, .* keeps its name`);
  await until('it has heard of the other', () => said.some((line) => kept.test(line)));
  assert.deepEqual(ended, []);
  assert.equal(await read(own, 'k', ReadLevel.linearizable), 'kept');
  assert.equal(await read(first, 'k', ReadLevel.linearizable), 'theirs');
  assert.equal(own.servers().length, 1);
});

test('a node whose data directory is of another cluster ends, changes nothing, and is well again among its own', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'dcache-test-'));
  folders.push(dataDir);
  const own = await make('own', { bootstrap: true, inMemory: false, dataDir });
  await own.server.start();
  await own.server.write(set('k', 'kept'));
  const { cluster } = own.server.status();
  await own.server.stop();
  const { server: other, addr } = await make('other', { bootstrap: true });
  await other.start();
  const there = { addr: own.addr, inMemory: false, dataDir };
  const { server: wrong, ended } = await makeHeard('own', { ...there, join: [addr] });
  await wrong.start();
  await until('it ends', () => ended.length > 0);
  const message = `--data-dir ${dataDir} belongs to cluster ${cluster}, but --join leads to cluster ${other.status().cluster}`;
  assert.ok(ended[0]!.message.startsWith(message), ended[0]!.message);
  assert.match(ended[0]!.message, /nothing was changed\. Give another --data-dir/);
  assert.equal(other.servers().length, 1);
  await wrong.stop();
  const { server: again } = await make('own', { addr: own.addr, inMemory: false, dataDir });
  await again.start();
  await until('it leads again', () => again.isReady);
  assert.equal(await read(again, 'k'), 'kept');
});

test('a fatal error that nobody listens for is an uncaught exception, not silence', async () => {
  const script = `
    import { Server } from ${JSON.stringify(new URL('./index.js', import.meta.url).href)};
    const [addr, other] = process.argv.slice(1);
    const options = { http: true, bootstrap: true, rpcPort: 0 };
    await new Server({ ...options, id: 'a', addr }).start();
    await new Server({ ...options, id: 'b', addr: other }).start();
    await new Server({ ...options, bootstrap: false, id: 'c', addr: '127.0.0.1:0', join: [addr, other] }).start();
  `;
  const addrs = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, ...addrs], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 1);
  assert.match(said, /Error: this node founded cluster/);
});

test('three servers in one process: any of them takes any request, and the rest goes on when the leader stops', async () => {
  const { server: first, addr } = await make('n1', { bootstrap: true });
  await first.start();
  const others = [await make('n2', { join: [addr] }), await make('n3', { join: [addr] })].map(({ server }) => server);
  await Promise.all(others.map((server) => server.start()));
  const all = [first, ...others];
  await until('three voters', () =>
    all.every((server) => server.status().servers.filter((one) => one.voteStatus === 'Voter').length === 3),
  );
  const replies = await Promise.all(
    Array.from({ length: 300 }, (_, i) => all[i % 3]!.write(set(`k${i % 50}`, String(i)))),
  );
  assert.ok(replies.every((reply) => reply.type === ReplyType.ok));
  assert.equal(new Set(replies.map((reply) => reply.revision)).size, 300, 'no two writes share a revision');
  for (const [i, server] of all.entries()) {
    const level = i === 0 ? ReadLevel.lease : ReadLevel.linearizable;
    for (const key of ['k0', 'k49']) assert.equal(await read(server, key, level), await read(first, key));
  }

  const leader = all.find((server) => server.status().role === 'leader')!;
  const rest = all.filter((server) => server !== leader);
  let written = 0;
  const load = Promise.all(
    rest.map(async (server, i) => {
      for (let n = 0; n < 150; n++) {
        const reply = await server.write(set(`load${i}`, String(n)));
        assert.equal(reply.type, ReplyType.ok);
        written++;
      }
    }),
  );
  await until('the load runs', () => written > 20);
  const stopping = leader.stop();
  await load;
  await stopping;
  for (const server of rest) {
    assert.equal(await read(server, 'load0'), '149');
    assert.equal(await read(server, 'load1'), '149');
  }
  await until('it was taken out', () => rest.every((server) => server.status().servers.length === 2));
  await until('both are equal', () => rest[0]!.status().stateHash === rest[1]!.status().stateHash);
});

test('two of three servers stop at once, and the third goes on alone', async () => {
  const { server: first, addr } = await make('n1', { bootstrap: true });
  await first.start();
  const others = [await make('n2', { join: [addr] }), await make('n3', { join: [addr] })].map(({ server }) => server);
  await Promise.all(others.map((server) => server.start()));
  const all = [first, ...others];
  await until('three voters', () =>
    all.every((server) => server.status().servers.filter((one) => one.voteStatus === 'Voter').length === 3),
  );
  await first.write(set('k', 'v'));
  const last = all.find((server) => server.status().role !== 'leader')!;
  await Promise.all(all.filter((server) => server !== last).map((server) => server.stop()));
  assert.equal(await read(last, 'k'), 'v');
  assert.equal((await last.write(set('k', 'w'))).type, ReplyType.ok);
});
