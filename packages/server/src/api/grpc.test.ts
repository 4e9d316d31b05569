import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, test } from 'node:test';
import { SeededRandom, silentLogger, systemClock } from '@dcache/base';
import { http2, Mux } from '@dcache/mux';
import {
  cacheService,
  DcacheError,
  defaultLimits,
  errorMetadata,
  errorTable,
  type GrpcMethod,
  grpcGetRequest,
  grpcSetRequest,
} from '@dcache/protocol';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { until } from '../until.test.helper.js';
import { FakeCache } from './fake-cache.test.helper.js';
import { GrpcApi, maxCalls } from './grpc.js';
import type { AdminHandler } from './grpc-admin.js';

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
): Promise<Response> {
  const serialize = (message: Request | Buffer): Buffer =>
    Buffer.isBuffer(message) ? message : method.requestSerialize(message);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      serialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      { deadline: Date.now() + 15_000 },
      (error, response) => (error ? reject(error) : resolve(response!)),
    );
  });
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
