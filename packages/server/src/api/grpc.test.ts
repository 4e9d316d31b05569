import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:net';
import { afterEach, test } from 'node:test';
import { SeededRandom, silentLogger, systemClock } from '@dcache/base';
import { http2, Mux } from '@dcache/mux';
import {
  cacheService,
  cacheServiceV1,
  consistencyMetadata,
  DcacheError,
  defaultLimits,
  errorMetadata,
  errorTable,
  type GrpcMethod,
  grpcGetRequest,
  grpcSetRequest,
} from '@dcache/protocol';
import { until } from '@dcache/testing';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { FakeCache } from './fake-cache.test.helper.js';
import { GrpcApi, maxCalls } from './grpc.js';
import type { AdminHandler } from './grpc-admin.js';
import { unary } from './grpc-answer.js';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

async function start() {
  const cache = new FakeCache();
  const admin = { isReady: () => true } as unknown as AdminHandler;
  const limits = { ...defaultLimits, maxValueBytes: 1_000 };
  const parts = { handler: cache, admin, limits, logger: silentLogger, clock: systemClock, nowMs: () => 0 };
  const api = new GrpcApi(parts);
  const mux = new Mux({ routes: [{ name: 'grpc', matcher: http2, accept: (socket) => api.accept(socket) }] });
  const { port } = await mux.listen('127.0.0.1', 0);
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  cleanups.push(() => {
    client.close();
    api.close(0);
    mux.close();
    mux.destroyConnections();
  });
  return { cache, mux, port, client };
}

function call<Request, Response>(
  client: Client,
  method: GrpcMethod<Request, Response>,
  request: Request | Buffer,
  metadata: Metadata = new Metadata(),
): Promise<Response> {
  const serialize = (message: Request | Buffer): Buffer =>
    Buffer.isBuffer(message) ? message : method.requestSerialize(message);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      serialize,
      method.responseDeserialize,
      request,
      metadata,
      { deadline: Date.now() + 15_000 },
      (error, response) => (error ? reject(error) : resolve(response!)),
    );
  });
}

/** A call with bytes as they are. */
function callBytes(
  client: Client,
  { path }: { readonly path: string },
  hex: string,
  metadata: Metadata = new Metadata(),
): Promise<Buffer> {
  const same = (bytes: Buffer): Buffer => bytes;
  const bytes = { path, requestSerialize: same, responseDeserialize: same } as GrpcMethod<Buffer, Buffer>;
  return call(client, bytes, Buffer.from(hex, 'hex'), metadata);
}

async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  return promise.then(
    () => assert.fail('it succeeded'),
    (error: ServiceError) => error,
  );
}

test('a value is set, read and listed over a connection that the mux handed on', async () => {
  const { client, mux } = await start();
  await call(client, cacheService.set, grpcSetRequest('k', Buffer.from('value')));
  const { value } = await call(client, cacheService.get, grpcGetRequest('k'));
  assert.equal(Buffer.from(value).toString(), 'value');
  const { server } = await call(client, cacheService.getServers, Buffer.alloc(0));
  assert.deepEqual(
    server.map(({ id, isLeader, voteStatus }) => ({ id, isLeader, voteStatus })),
    [{ id: 'n1', isLeader: true, voteStatus: 'Voter' }],
  );
  assert.equal(mux.stats().accepted['grpc'], 1);
});

test('a key in text is its bytes, with a byte order mark at its beginning too, and none where it is no UTF-8', async () => {
  const { client, cache } = await start();
  const keys = ['6b', 'efbbbf6b', 'efbbbf', 'efbfbd'];
  for (const key of keys) {
    const length = (key.length / 2).toString(16).padStart(2, '0');
    await callBytes(client, cacheService.set, `0a${length}${key}120176`);
  }
  assert.deepEqual(
    cache.commands.map((command) => Buffer.from((command as { key: Uint8Array }).key).toString('hex')),
    keys,
  );
  // CESU-8, a surrogate half in three bytes, is none.
  for (const key of ['01ff', '03eda080']) {
    const error = await failure(callBytes(client, cacheService.set, `0a${key}120176`));
    assert.equal(error.code, 13);
  }
  assert.equal(cache.commands.length, keys.length);
});

test('each error has its status and its name in the trailing metadata', async () => {
  const { cache, client } = await start();
  for (const [code, row] of Object.entries(errorTable)) {
    cache.failure = new DcacheError(code as keyof typeof errorTable, `this is ${code}`);
    const error = await failure(call(client, cacheService.set, grpcSetRequest('k', Buffer.from('v'))));
    assert.equal(error.code, row.grpc, code);
    assert.equal(error.details, `this is ${code}`);
    assert.deepEqual(error.metadata.get(errorMetadata), [code]);
  }
  cache.failure = undefined;
  assert.equal((await failure(call(client, cacheService.get, grpcGetRequest('none')))).code, 5);
});

test('a failure that no handler of the cache gave has its name in the trailing metadata, too', async () => {
  const { cache, port, client } = await start();
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  cleanups.push(() => session.destroy());
  /** The status and the exact error of a call with this body, in hexadecimal digits. */
  const fail = async (path: string, body: string, headers: Record<string, string> = {}): Promise<unknown[]> => {
    const request = session.request({
      ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', ...headers },
    });
    request.on('error', () => {});
    request.resume().end(Buffer.from(body, 'hex'));
    const [told] = (await once(request, 'response')) as [IncomingHttpHeaders];
    return [Number(told['grpc-status']), told[errorMetadata]];
  };
  const set = '00000000060a016b120176';
  const get = '00000000030a016b';
  assert.deepEqual(await fail('/pb.Cache/None', get), [12, 'method-not-allowed']);
  assert.deepEqual(await fail('/pb.None/Get', get), [12, 'method-not-allowed']);
  assert.deepEqual(await fail('/pb.Cache/Get', '00000000020aff'), [13, 'bad-argument']);
  assert.deepEqual(await fail('/pb.Cache/Get', get, { 'grpc-timeout': 'soon' }), [13, 'bad-argument']);
  assert.deepEqual(await fail('/pb.Cache/Get', get, { 'grpc-encoding': 'br' }), [12, 'bad-argument']);
  assert.deepEqual(await fail('/pb.Cache/Set', '00000f4240'), [8, 'too-large']);
  assert.deepEqual(await fail('/pb.Cache/Set', set, { 'grpc-timeout': '0m' }), [4, 'timeout']);
  cache.gate = new Promise(() => {});
  const soon = { 'grpc-timeout': '200m' };
  assert.deepEqual(await fail('/pb.Cache/Set', set, soon), [4, 'unknown-outcome'], 'it may be written yet');
  assert.deepEqual(await fail('/dcache.v1.Cache/Set', set, soon), [4, 'unknown-outcome']);
  assert.deepEqual(await fail('/pb.Cache/Get', get, soon), [4, 'timeout']);
  const check = '/grpc.health.v1.Health/Check';
  assert.deepEqual(await fail(check, '00000000060a046e6f6e65'), [5, 'not-found'], 'a service that there is not');
  const unknown = await failure(callBytes(client, { path: '/dcache.v1.Admin/None' }, ''));
  assert.deepEqual(unknown.metadata.get(errorMetadata), ['method-not-allowed'], 'as grpc-js shows it');
});

test('an empty key, a key or value that is too long and a message far too large are refused; the server goes on', async () => {
  const { cache, client } = await start();
  const set = (key: string, bytes: number) =>
    failure(call(client, cacheService.set, grpcSetRequest(key, new Uint8Array(bytes))));
  assert.match((await set('', 1)).details, /1 to 65536 bytes/);
  assert.match((await set('k'.repeat(65_537), 1)).details, /at most 65536/);
  assert.match((await set('k', 1_001)).details, /1001 bytes; at most 1000/);
  assert.equal((await set('k', 1_000_000)).code, 8, 'gRPC itself refuses what is far above');
  assert.equal(cache.commands.length, 0);
  await call(client, cacheService.set, grpcSetRequest('k', new Uint8Array(1_000)));
});

test('a key that is no UTF-8 is refused, and never becomes the key of another', async () => {
  const { cache, client } = await start();
  for (const bytes of [[0xff], [0xfe], [0xc3, 0x28], [0xed, 0xa0, 0x80]])
    await failure(call(client, cacheService.set, Buffer.from([0x0a, bytes.length, ...bytes, 0x12, 1, 0x61])));
  assert.equal(cache.commands.length, 0);
});

test('a message that is none is an error of that call only', async () => {
  const { client } = await start();
  const random = new SeededRandom(5);
  for (let i = 0; i < 60; i++) {
    const bytes = Buffer.from(Array.from({ length: random.below(30) }, () => random.below(256)));
    await call(client, cacheService.set, bytes).catch((error: ServiceError) => assert.ok(error.code > 0));
  }
  await call(client, cacheService.set, grpcSetRequest('k', Buffer.from('v')));
});

test('bytes that are no protobuf message are INTERNAL, and an unknown consistency is INVALID_ARGUMENT with the known', async () => {
  const { cache, client } = await start();
  for (const method of [cacheService.set, cacheServiceV1.getMany]) {
    const error = await failure(callBytes(client, method, '0a05ff'));
    assert.equal(error.code, 13, method.path);
    assert.match(error.details, /^the request is no such message: /);
  }
  for (const method of [cacheService.get, cacheServiceV1.get, cacheServiceV1.getMany])
    for (const value of ['strong', '', 'LOCAL']) {
      const metadata = new Metadata();
      metadata.set(consistencyMetadata, value);
      const error = await failure(callBytes(client, method, '0a016b', metadata));
      assert.equal(error.code, 3, `${method.path} with ${JSON.stringify(value)}`);
      assert.match(error.details, /it takes local, lease, linearizable/);
      assert.deepEqual(error.metadata.get(errorMetadata), ['bad-argument']);
    }
  assert.equal(cache.commands.length, 0);
});

test('every call tells the cache how long its client waits', async () => {
  const { cache, client } = await start();
  const methods: [method: { readonly path: string }, hex: string][] = [
    [cacheService.set, '0a016b120176'],
    [cacheService.get, '0a016b'],
    [cacheService.delete, '0a016b'],
    [cacheServiceV1.set, '0a016b120176'],
    [cacheServiceV1.get, '0a016b'],
    [cacheServiceV1.getMany, '0a016b'],
    [cacheServiceV1.setMany, '0a060a016b120176'],
    [cacheServiceV1.delete, '0a016b'],
    [cacheServiceV1.openSession, ''],
    [cacheServiceV1.closeSession, '0801'],
  ];
  for (const [method, hex] of methods) {
    cache.deadlineMs = undefined;
    const aboutMs = systemClock.monotonicMs() + 15_000;
    // What the cache of this test answers does not matter here.
    await callBytes(client, method, hex).catch((error: ServiceError) => assert.ok(error.metadata));
    const deadlineMs = cache.deadlineMs ?? assert.fail(`${method.path} does not tell`);
    assert.ok(Math.abs(deadlineMs - aboutMs) < 15_000, `${method.path}: ${deadlineMs}`);
  }
});

test('who works for a call stops waiting before the call is ended without it, however long it may take', async () => {
  const heard: number[] = [];
  const handle = unary(async (_request, { deadlineMs }) => void heard.push(deadlineMs), silentLogger);
  for (const deadlineMs of [100, 60_000, Number.POSITIVE_INFINITY]) {
    const call: unknown = { deadlineMs, metadata: new Metadata() };
    await new Promise((resolve) => handle(call as Parameters<typeof handle>[0], resolve));
  }
  // Timers count whole milliseconds: one alone would be none.
  assert.ok(heard[0]! <= 98 && heard[1]! <= 59_998, heard.join());
  assert.equal(heard[2], Number.POSITIVE_INFINITY);
});

test('garbage behind the HTTP/2 preface ends that connection, and no other', async () => {
  const { client, mux, port } = await start();
  await call(client, cacheService.set, grpcSetRequest('k', Buffer.from('v')));
  const random = new SeededRandom(9);
  for (let round = 0; round < 40; round++) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    await once(socket, 'connect');
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256))));
    if (random.below(2) === 0) socket.resetAndDestroy();
    else socket.end();
  }
  await until('they are gone', () => mux.stats().open === 1);
  const { value } = await call(client, cacheService.get, grpcGetRequest('k'));
  assert.equal(Buffer.from(value).toString(), 'v');
});

test('a client that goes away while its calls wait harms nobody', async () => {
  const { cache, client, mux, port } = await start();
  let open: () => void = () => {};
  cache.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const gone = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const calls = Array.from({ length: 20 }, () =>
    failure(call(gone, cacheService.set, grpcSetRequest('k', Buffer.from('v')))),
  );
  await until('they wait', () => cache.commands.length === 20);
  mux.destroyConnections();
  await Promise.all(calls);
  gone.close();
  open();
  await call(client, cacheService.set, grpcSetRequest('k', Buffer.from('v')));
});

test('one connection has a bounded number of calls under way; the others wait at the client', async () => {
  const { cache, client } = await start();
  let open: () => void = () => {};
  cache.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let reads = 0;
  cache.onRead = () => void reads++;
  // The first call brings the server's settings to the client.
  const first = failure(call(client, cacheService.get, grpcGetRequest('k')));
  await until('it waits', () => reads === 1);
  const calls = Array.from({ length: maxCalls + 200 }, () =>
    failure(call(client, cacheService.get, grpcGetRequest('k'))),
  );
  await until('as many as may', () => reads === maxCalls);
  open();
  await Promise.all([first, ...calls]);
  assert.equal(reads, maxCalls + 201, 'all came to their turn');
});
