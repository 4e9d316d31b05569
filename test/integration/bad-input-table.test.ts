/**
 * What is wrong, and where it is shown to be refused with one clear message, the right status, and nothing lost:
 *
 *   a key or a value above its limit                    here, by HTTP and gRPC; `bad-input.test.ts`
 *   a body that lies about its length                   here; `bad-input.test.ts` where it ends early
 *   an unknown flag, a wrong value                      `bad-input.test.ts`
 *   an unknown key, a broken file, in seven formats     here
 *   a data directory of another node, or in use         `durable.test.ts`
 *   a data directory of another cluster                 `server.test.ts` of the server, and here with the exit code
 *   a second --bootstrap                                `server.test.ts` of the server
 *   a wrong token, an expired certificate               `secure.test.ts`, `client-secure.test.ts`
 *   a clock that is set back an hour                    here
 *   any bytes at all                                    `fuzz.test.ts`
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '@dcache/base';
import { Client } from '@dcache/client';
import { eventually, freePort } from '@dcache/testing';
import { Server } from 'dcache';
import { dcacheBin, http, Node, run } from './harness.js';

const folder = mkdtempSync(join(tmpdir(), 'dcache-bad-'));
let node: Node;

before(async () => {
  node = await Node.create('table', ['--max-value-bytes', '1000']);
  node.start('--bootstrap');
  await eventually('the node is ready', async () => (await node.status()).isReady);
});

after(async () => {
  await node.kill();
  rmSync(folder, { recursive: true });
});

test('a key of 64 KiB is taken, and one byte more is refused by every protocol and stores nothing', async () => {
  const [longest, longer] = ['k'.repeat(65_536), 'k'.repeat(65_537)];
  assert.equal((await node.set(longest, 'v')).status, 200);
  const answer = await node.set(longer, 'v');
  assert.equal(answer.status, 413);
  assert.equal(answer.text, 'the key has 65537 bytes; at most 65536 are allowed\n');
  await using client = new Client({ address: `127.0.0.1:${node.rpcPort}` });
  assert.equal(Buffer.from((await client.get(longest))!).toString(), 'v');
  const refused = { code: 'too-large', message: /the key has 65537 bytes; at most 65536 are allowed/ };
  await assert.rejects(client.set(longer, 'v'), refused);
  await assert.rejects(client.get(longer), refused);
  await assert.rejects(client.set('k', Buffer.alloc(1_001)), {
    code: 'too-large',
    message: /at most 1000 are allowed/,
  });
  assert.equal((await node.status()).entries, 1);
});

test('a body that lies about its length is never a value', async () => {
  const post = (headers: string, body: string) => `POST /lie HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n\r\n${body}`;
  const cases: [string, string][] = [
    ['more is promised than comes', post('Content-Length: 10', 'short')],
    ['a length that is no number', post('Content-Length: five', 'value')],
    ['a negative length', post('Content-Length: -5', 'value')],
    ['two lengths', post('Content-Length: 5\r\nContent-Length: 6', 'value!')],
    ['a length and chunks', post('Content-Length: 5\r\nTransfer-Encoding: chunked', '5\r\nvalue\r\n0\r\n\r\n')],
    ['a chunk that is no chunk', post('Transfer-Encoding: chunked', 'five\r\nvalue\r\n0\r\n\r\n')],
    ['a chunk longer than it says', post('Transfer-Encoding: chunked', '3\r\nvalue\r\n0\r\n\r\n')],
    ['chunks without an end', post('Transfer-Encoding: chunked', '5\r\nvalue\r\n')],
    ['a transfer coding that is not known', post('Transfer-Encoding: rot13', 'value')],
  ];
  for (const [what, request] of cases) {
    const answer = await exchange(request);
    assert.match(answer, /^HTTP\/1\.1 (400|501) /, `${what}: ${answer}`);
    assert.equal((await node.get('lie')).status, 404, what);
  }
  // Less is promised than comes: what was promised is the value, and the rest is no request.
  const answer = await exchange(post('Content-Length: 3', 'value of more\r\n\r\n'), 'goes on');
  assert.deepEqual(answer.match(/HTTP\/1\.1 \d\d\d/g), ['HTTP/1.1 200', 'HTTP/1.1 400']);
  assert.equal((await node.get('lie')).text, 'val');
  assert.equal((await http(node.rpcPort, 'DELETE', '/lie')).status, 200);
});

test('a broken file of each format ends the program with one line that names the file; so does an unknown key', async () => {
  const files: [string, string, RegExp][] = [
    ['broken.json', '{"http": tru}', /is broken: line 1, column 10: "tru" stands where a value is expected/],
    ['broken.toml', 'http = = true\n', /is broken: /],
    ['broken.yaml', 'http: true\n  rpc: [1,\n', /is broken: line \d, column \d/],
    ['broken.hcl', 'http = \n', /is broken: /],
    ['broken.ini', 'http = true\nnonsense\n', /is broken: line 2 is "nonsense", not key=value/],
    ['broken.env', 'HTTP=true\nnonsense\n', /is broken: line 2 is "nonsense", not key=value/],
    ['broken.properties', 'http = \\u00zz\n', /is broken: line 1, column 8: \\u00zz is no escape/],
    ['other.json', '{"htpp": true}', /has the unknown key "htpp"; it takes addr, grpc, http, /],
    ['other.toml', 'htpp = true\n', /has the unknown key "htpp"; it takes addr/],
    ['other.yaml', 'htpp: true\n', /has the unknown key "htpp"; it takes addr/],
    ['other.hcl', 'htpp = true\n', /has the unknown key "htpp"; it takes addr/],
    ['other.ini', 'htpp = true\n', /has the unknown key "htpp"; it takes addr/],
    ['other.env', 'HTPP=true\n', /has the unknown key "HTPP"; it takes addr/],
    ['other.properties', 'htpp = true\n', /has the unknown key "htpp"; it takes addr/],
  ];
  for (const [name, text, message] of files) {
    const path = join(folder, name);
    writeFileSync(path, text);
    const { code, stdout, stderr } = await run(process.execPath, [dcacheBin, '--conf', path]);
    assert.deepEqual([code, stdout], [1, ''], name);
    assert.match(stderr, message);
    assert.ok(stderr.startsWith(`dcache: --conf ${path} `) && stderr.indexOf('\n') === stderr.length - 1, stderr);
  }
});

test('a data directory of another cluster ends the program, and is whole afterwards', async () => {
  const data = ['--in-memory=false', '--data-dir', join(folder, 'data')];
  const stray = await Node.create('stray', data);
  try {
    stray.start('--bootstrap');
    await eventually('it takes a write', async () => (await stray.set('mine', 'v')).status === 200);
    await stray.stop();
    stray.start('--join', node.serfAddress);
    assert.equal(await stray.exited(), 1);
    // It ran, so its log says why it ended: once, in the last line.
    const { level, msg } = JSON.parse(stray.output.trimEnd().split('\n').at(-1)!);
    assert.equal(level, 60);
    assert.match(msg, /^--data-dir .*data belongs to cluster \w+, but --join leads to cluster \w+ of one node;/);
    assert.match(msg, /nothing was changed\. Give another --data-dir, or the addresses of its own cluster$/);
    assert.equal(stray.output.split('nothing was changed').length, 2, stray.output);
    assert.equal((await node.status()).servers.length, 1, 'it was not taken in');
    stray.start();
    await eventually('its value is there', async () => (await stray.get('mine')).text === 'v');
  } finally {
    await stray.kill();
  }
});

test('a clock that is set back an hour, while running and across a restart, keeps no value alive and loses none', async () => {
  let backMs = 0;
  const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() - backMs };
  const dataDir = join(folder, 'clock');
  const options = { id: 'clock', http: true, bootstrap: true, rpcPort: 0, inMemory: false, dataDir };
  const start = async (): Promise<Server> => {
    const server = new Server({ ...options, addr: `127.0.0.1:${await freePort()}` }, { clock });
    await server.start();
    await eventually('it is ready', () => server.isReady);
    return server;
  };
  const ask = async (method: string, path: string) =>
    (await http(Number(server.rpcAddr.split(':')[1]), method, path, { body: method === 'POST' ? 'v' : '' })).status;

  let server = await start();
  try {
    assert.equal(await ask('POST', '/brief?ttl=400ms'), 200);
    assert.equal(await ask('POST', '/long?ttl=30m'), 200);
    const stamp = server.status().stampMs;
    backMs = 3_600_000;
    assert.equal(await ask('POST', '/after?ttl=400ms'), 200);
    assert.ok(server.status().stampMs >= stamp, 'log time does not go back');
    for (const key of ['/brief', '/after'])
      await eventually(`${key} expires all the same`, async () => (await ask('GET', key)) === 404);
    assert.equal(await ask('POST', '/restarted?ttl=400ms'), 200);
    await server.stop();
    server = await start();
    assert.ok(server.status().stampMs >= stamp);
    await eventually('what was due expires', async () => (await ask('GET', '/restarted')) === 404);
    assert.equal(await ask('GET', '/long'), 200);
  } finally {
    await server.stop();
  }
});

/** Sends text over a bare socket, and ends its side or not; gives all that comes back until the server ends it. */
function exchange(text: string, then: 'ends' | 'goes on' = 'ends'): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port: node.rpcPort, host: '127.0.0.1', allowHalfOpen: true });
    let answer = '';
    socket.setEncoding('latin1').on('data', (part: string) => {
      answer += part;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    socket.write(Buffer.from(text, 'latin1'));
    if (then === 'ends') socket.end();
    else socket.on('end', () => socket.end());
  });
}
