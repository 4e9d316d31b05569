/**
 * Bytes that no client would send, to a real process on its one port: whatever comes, the process lives on, its memory
 * stays within bounds, every connection comes to an end, and whatever is answered is a valid answer. Seeded: the same
 * bytes at every run. `FUZZ_SEED` and `FUZZ_RUNS` try others, and more of them.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { SeededRandom, utf8 } from '@dcache/base';
import {
  cacheService,
  cacheServiceV1,
  grpcSetRequest,
  v1DeleteRequest,
  v1GetManyRequest,
  v1SetRequest,
} from '@dcache/protocol';
import { eventually } from '@dcache/testing';
import { Node } from './harness.js';

const seed = Number(process.env['FUZZ_SEED'] ?? 20_261_122);
const runs = Number(process.env['FUZZ_RUNS'] ?? 400);
/** What all runs together may add to the process. A leak of one body or one connection's state a run is far above it. */
const maxGrowthBytes = 160 * 1_048_576;
/** What HTTP may answer to any bytes at all; 500 is not among them. */
const statuses = new Set([
  100, 200, 304, 400, 403, 404, 405, 408, 412, 413, 417, 421, 422, 429, 431, 501, 503, 504, 505, 507,
]);

let node: Node;

before(async () => {
  // A small cache with short values: what the fuzzer stores is bounded by this.
  node = await Node.create('fuzzed', ['--max-value-bytes', '64kb', '--max-bytes', '4mb']);
  node.start('--bootstrap');
  await eventually('the node is ready', async () => (await node.status()).isReady);
});

after(() => node.kill());

const rssBytes = (): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${node.pid}/status`, 'utf8'))![1]) * 1_024;

/** Runs `one` often and looks that the process stays as it was. */
async function fuzz(name: string, one: (random: SeededRandom, run: number) => Promise<void>): Promise<void> {
  const { pid } = node;
  await one(new SeededRandom(seed), 0);
  const before = rssBytes();
  for (let run = 1; run <= runs; run++) {
    try {
      await one(new SeededRandom(seed + run), run);
    } catch (error) {
      throw new Error(`${name}, seed ${seed + run}: ${(error as Error).message}`, { cause: error });
    }
  }
  assert.ok(node.isRunning && node.pid === pid, `the process has ended: ${node.output.slice(-2_000)}`);
  assert.equal((await node.set('alive', 'yes')).status, 200);
  assert.equal((await node.get('alive')).text, 'yes');
  const grown = rssBytes() - before;
  assert.ok(grown < maxGrowthBytes, `${name} made the process ${Math.round(grown / 1_048_576)} MiB larger`);
  assert.doesNotMatch(
    node.output,
    /a request failed|could not take a connection over/,
    'nothing was an internal error',
  );
}

/** Sends the parts, ends its side, and gives all that came back once the server has ended the connection. */
function send(parts: readonly Buffer[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port: node.rpcPort, host: '127.0.0.1', allowHalfOpen: true });
    const answer: Buffer[] = [];
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error('the connection did not come to an end'));
    }, 20_000);
    socket.on('data', (part: Buffer) => answer.push(part));
    // A reset is one way to end what cannot be read.
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(answer));
    });
    for (const part of parts) socket.write(part);
    socket.end();
  });
}

const pick = <T>(random: SeededRandom, from: readonly T[]): T => from[random.below(from.length)]!;

function bytes(random: SeededRandom, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.below(256)));
}

/** Cuts anywhere, so that parsers see every kind of half. */
function cut(random: SeededRandom, whole: Buffer): Buffer[] {
  const at = random.below(whole.length + 1);
  return random.below(2) === 0 ? [whole] : [whole.subarray(0, at), whole.subarray(at)];
}

/** Changes, drops, doubles or inserts a few bytes. */
function mutate(random: SeededRandom, whole: Buffer): Buffer {
  let result: Uint8Array = Buffer.from(whole);
  for (let i = random.below(6); i >= 0; i--) {
    const at = random.below(result.length + 1);
    const some = 1 + random.below(8);
    const kind = random.below(4);
    if (kind === 0 && at < result.length) result[at] = random.below(256);
    else if (kind === 1) result = Buffer.concat([result.subarray(0, at), result.subarray(at + some)]);
    else if (kind === 2) result = Buffer.concat([result.subarray(0, at), result.subarray(Math.max(0, at - some))]);
    else result = Buffer.concat([result.subarray(0, at), bytes(random, some), result.subarray(at)]);
  }
  return Buffer.from(result);
}

/** One of the first five, mostly: those that are good, so that the rest of the request is looked at. */
const likely = <T>(random: SeededRandom, from: readonly T[]): T =>
  random.below(4) > 0 ? from[random.below(5)]! : pick(random, from);

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'get', 'CONNECT', 'Q\x00'];
const paths = [
  '/k',
  '/a/b',
  '//',
  '/../k',
  '/-/status',
  '/',
  '/%',
  '/%4',
  '/%00%ff',
  '/-/',
  '/-/status',
  '/-/nothing',
  '*',
  'k',
  '/é',
  'http://h/k',
];
const queries = ['', '?ttl=1s', '?ttl=-1', '?ttl=1e9d', '?consistency=local', '?consistency=x', '?a=b&&=', '?%zz'];
const headers = [
  'Host: 127.0.0.1',
  'Content-Length: 5',
  'Content-Length: 5, 6',
  'Content-Length: 99999999999999999999',
  'Content-Length: -1',
  'Content-Length: 70000',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Expect: 100-continue',
  'Expect: the impossible',
  'Connection: close',
  'Connection: upgrade\r\nUpgrade: h2c',
  'If-Match: "1"',
  'If-Match: W/"x"',
  'If-None-Match: *',
  'Idempotency-Key: "a"',
  'Idempotency-Key: a b',
  'Content-Type: text/\x01plain',
  'Authorization: Bearer x',
  'Origin: null',
  'X: \xff\xfe',
  'Broken',
  ': empty',
];

function httpRequest(random: SeededRandom): Buffer {
  const lines = [
    `${likely(random, methods)} ${likely(random, paths)}${pick(random, queries)} ${random.below(8) > 0 ? 'HTTP/1.1' : pick(random, ['HTTP/1.0', 'HTTP/9.9', ''])}`,
  ];
  if (random.below(8) > 0) lines.push(headers[0]!);
  for (let i = random.below(4); i > 0; i--) lines.push(pick(random, headers));
  const chunk = random.below(300);
  const body = pick(random, [
    Buffer.alloc(0),
    Buffer.from('value'),
    Buffer.alloc(random.below(80_000), random.below(256)),
    Buffer.from(`${chunk.toString(16)}\r\n${'x'.repeat(chunk)}\r\n0\r\n\r\n`),
    Buffer.from('5;ext=1\r\nvalue\r\nffffffffffffffff\r\n'),
  ]);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
}

test('any bytes where HTTP is spoken end in a valid status or the end of the connection', async () => {
  const seen = new Map<number, number>();
  await fuzz('http', async (random) => {
    let whole: Uint8Array = Buffer.concat(Array.from({ length: 1 + random.below(3) }, () => httpRequest(random)));
    if (random.below(2) === 0) whole = mutate(random, Buffer.from(whole));
    const answer = (await send(cut(random, Buffer.from(whole)))).toString('latin1');
    if (answer === '') return;
    assert.match(answer, /^HTTP\/1\.1 \d\d\d /, 'what comes back begins as an answer');
    for (const [, status] of answer.matchAll(/HTTP\/1\.1 (\d\d\d) /g)) {
      assert.ok(
        statuses.has(Number(status)),
        `status ${status} for ${JSON.stringify(Buffer.from(whole).toString('latin1').slice(0, 400))}`,
      );
      seen.set(Number(status), (seen.get(Number(status)) ?? 0) + 1);
    }
  });
  // The fuzzer is worth something only if it gets past the parser.
  for (const status of [200, 400, 404, 405]) assert.ok(seen.has(status), `no request was answered ${status}`);
});

/** What a real client sends for a few calls on one connection. */
async function recordCalls(): Promise<Buffer> {
  const parts: Buffer[] = [];
  const tap = createServer((socket) => {
    const server = connect(node.rpcPort, '127.0.0.1');
    socket
      .on('data', (part) => parts.push(part))
      .pipe(server)
      .pipe(socket);
    for (const one of [socket, server]) one.on('error', () => {});
  });
  await new Promise<void>((resolve) => tap.listen(0, '127.0.0.1', resolve));
  const session = connectHttp2(`http://127.0.0.1:${(tap.address() as { port: number }).port}`);
  const set = v1SetRequest({ key: utf8('k'), value: utf8('v'), ttlMs: 5_000, condition: undefined }, undefined);
  const calls: [string, Buffer][] = [
    [cacheService.set.path, cacheService.set.requestSerialize(grpcSetRequest('k', utf8('v')))],
    [cacheServiceV1.set.path, cacheServiceV1.set.requestSerialize(set)],
    [cacheServiceV1.getMany.path, cacheServiceV1.getMany.requestSerialize(v1GetManyRequest([utf8('k')], undefined))],
    [
      cacheServiceV1.delete.path,
      cacheServiceV1.delete.requestSerialize(v1DeleteRequest(utf8('k'), undefined, undefined)),
    ],
    ['/grpc.health.v1.Health/Check', Buffer.alloc(0)],
  ];
  for (const [path, message] of calls) assert.equal(await grpc(session, path, frame(message)), 0, path);
  session.close();
  tap.close();
  return Buffer.concat(parts);
}

type Session = ReturnType<typeof connectHttp2>;

function frame(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** One call with a body as it is; its gRPC status, or undefined where the stream was reset. */
function grpc(
  session: Session,
  path: string,
  body: Buffer,
  more: Record<string, string> = {},
): Promise<number | undefined> {
  return new Promise((resolve) => {
    let status: unknown;
    const stream = session.request({
      ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
      ...more,
    });
    stream.on('response', (fields) => {
      status = fields['grpc-status'];
    });
    stream.on('trailers', (fields) => {
      status = fields['grpc-status'] ?? status;
    });
    stream.on('error', () => {});
    stream.on('close', () => resolve(status === undefined ? undefined : Number(status)));
    stream.resume();
    stream.end(body);
  });
}

test('a gRPC connection with bytes changed, dropped and added anywhere does no harm', async () => {
  const recorded = await recordCalls();
  await fuzz('http/2', async (random, run) => {
    const preface = recorded.subarray(0, 24);
    const rest = recorded.subarray(24);
    // Half of the runs: real frames with faults. The other half: frames of every type and size, whatever they say.
    const body =
      run % 2 === 0
        ? mutate(random, rest)
        : Buffer.concat(Array.from({ length: 1 + random.below(20) }, () => anyFrame(random)));
    await send(cut(random, Buffer.concat([preface, body])));
  });
});

/** A frame header that may lie about what follows it. (RFC 9113 §4.1) */
function anyFrame(random: SeededRandom): Buffer {
  const length = pick(random, [0, 1, 4, 5, 8, 9, 100, 16_384, 16_385, 0xffffff]);
  const payload = bytes(random, Math.min(length, random.below(200)));
  const header = Buffer.alloc(9);
  header.writeUIntBE(random.below(3) === 0 ? length : payload.length, 0, 3);
  header[3] = random.below(12);
  header[4] = random.below(256);
  header.writeUInt32BE(pick(random, [0, 1, 2, 3, 5, 7, 0x7fffffff, 0xffffffff]), 5);
  return Buffer.concat([header, payload]);
}

test('any message to any method, and to none, is answered with a gRPC status', async () => {
  // Not Leave: that the node goes is what it asks for.
  const paths = [
    ...['/pb.Cache/Set', '/pb.Cache/Get', '/pb.Cache/GetServers', '/pb.Cache/Delete', '/pb.Cache/Nothing', '/', '//'],
    ...['Set', 'Get', 'Delete', 'SetMany', 'GetMany', 'OpenSession', 'CloseSession'].map(
      (name) => `/dcache.v1.Cache/${name}`,
    ),
    ...['Status', 'SnapshotSave', 'SnapshotRestore', 'TransferLeadership'].map((name) => `/dcache.v1.Admin/${name}`),
    ...['/grpc.health.v1.Health/Check', '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'],
  ];
  const more = [
    {},
    { 'grpc-timeout': '1S' },
    { 'grpc-timeout': 'soon' },
    { 'grpc-encoding': 'gzip' },
    { 'grpc-encoding': 'rot13' },
    { 'content-type': 'text/plain' },
    { 'dcache-consistency': 'perhaps' },
    { 'x-bin': '%%%' },
  ];
  let session: Session | undefined;
  const seen = new Set<number | undefined>();
  await fuzz('grpc', async (random) => {
    if (!session || session.closed || session.destroyed) {
      session = connectHttp2(`http://127.0.0.1:${node.rpcPort}`);
      session.on('error', () => {});
    }
    const message = bytes(random, pick(random, [0, 1, 5, 50, 5_000, 70_000]));
    const body = pick(random, [
      frame(message),
      message,
      Buffer.concat([frame(message), frame(message)]),
      frame(message).subarray(0, -1),
    ]);
    const status = await grpc(session, pick(random, paths), body, pick(random, more));
    assert.ok(status === undefined || (Number.isInteger(status) && status >= 0 && status <= 16), `status ${status}`);
    seen.add(status);
  });
  session?.destroy();
  for (const status of [3, 12]) assert.ok(seen.has(status), `no call was answered ${status}; seen ${[...seen].join()}`);
});
