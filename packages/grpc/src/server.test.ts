import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { SeededRandom } from '@dcache/base';
import { HandClock, turn, until } from '@dcache/testing';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { StreamCall, UnaryCall } from './call.js';
import { frame, hello, literal, postHeaders, u32 } from './connection.test.helper.js';
import { FrameType, Setting } from './core/frame.js';
import { GrpcServer, type GrpcServerOptions } from './server.js';
import type { Answer, Method } from './service.js';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** Messages are the bytes themselves. */
function method(name: string, requestStream: boolean, responseStream: boolean) {
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  } satisfies Method & Record<string, unknown>;
}

const echo = method('Unary', false, false);
const gather = method('Gather', true, false);
const spread = method('Spread', false, true);
const both = method('Both', true, true);

/** Calls that the test answers itself. */
interface Held {
  readonly call: UnaryCall;
  readonly answer: Answer;
}

async function start(options: GrpcServerOptions = {}) {
  const held: Held[] = [];
  const streams: StreamCall[] = [];
  const server = new GrpcServer(options);
  server.addService(
    {
      echo,
      gather,
      spread,
      both,
      hold: method('Hold', false, false),
      fail: method('Fail', false, false),
      throws: method('Throws', false, false),
    },
    {
      echo: (call: UnaryCall, answer: Answer) => answer(null, call.request),
      gather: (call: StreamCall, answer: Answer) => {
        streams.push(call);
        // By iteration: its end must not take the call with it before the answer is there.
        const gathering = async (): Promise<Buffer> => {
          const parts: Buffer[] = [];
          for await (const part of call) parts.push(part as Buffer);
          await turn(1);
          return Buffer.concat(parts);
        };
        gathering().then((all) => answer(null, all));
      },
      spread: async (call: StreamCall) => {
        streams.push(call);
        const bytes = call.request as Buffer;
        for (let i = 0; i < bytes.readUInt32BE(0) && !call.cancelled; i++)
          if (!call.write(Buffer.alloc(bytes.readUInt32BE(4), i))) await room(call);
        call.end();
      },
      both: (call: StreamCall) => {
        streams.push(call);
        call.on('data', (part: Buffer) => call.write(part));
        call.on('end', () => call.end());
      },
      hold: (call: UnaryCall, answer: Answer) => void held.push({ call, answer }),
      fail: (call: UnaryCall, answer: Answer) => {
        const metadata = new Metadata();
        metadata.set('reason', String(call.metadata.get('why')[0]));
        metadata.set('grpc-status', '0');
        metadata.set('raw-bin', Buffer.from([0, 255]));
        answer({ code: 9, details: 'prévu: 100 %\n', metadata });
      },
      throws: () => {
        throw new Error('by its own fault');
      },
    },
  );
  const sockets = new Set<Socket>();
  const listener = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    server.accept(socket);
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = listener.address() as AddressInfo;
  cleanups.push(() => {
    server.close(0);
    listener.close();
    for (const socket of sockets) socket.destroy();
  });
  return { server, port, held, streams, sockets };
}

/**
 * Whether what `from` has to send goes no further: many turns of the event loop, in which both ends of a loopback connection
 * could move bytes, without one that `to` has read.
 */
async function isStuck(from: Socket, to: Socket): Promise<boolean> {
  for (let still = 0, read = -1; from.writableLength > 0; still = to.bytesRead === read ? still + 1 : 0) {
    if (still > 500) return true;
    read = to.bytesRead;
    await turn(1);
  }
  return false;
}

/** Until a stream call may write again, or has no client any more. */
function room(call: StreamCall): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      call.off('cancelled', done);
      resolve();
    };
    call.on('drain', done);
    call.on('cancelled', done);
  });
}

function client(port: number, options: Record<string, number> = {}): Client {
  const one = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
    ...options,
  });
  cleanups.push(() => one.close());
  return one;
}

const same = (bytes: Buffer): Buffer => bytes;

function unary(one: Client, path: string, request: Buffer, metadata: Metadata = new Metadata()): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    one.makeUnaryRequest(path, same, same, request, metadata, { deadline: Date.now() + 30_000 }, (error, response) =>
      error ? reject(error) : resolve(response!),
    );
  });
}

async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  return promise.then(
    () => assert.fail('it succeeded'),
    (error: ServiceError) => error,
  );
}

function http2(port: number, settings: Record<string, number> = {}): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`, { settings });
  session.on('error', () => undefined);
  cleanups.push(() => session.destroy());
  return session;
}

/** A request of HTTP/2's own client: what came back, with the trailers. */
async function raw(session: ClientHttp2Session, headers: Record<string, string>, body: Buffer) {
  const request = session.request({
    ':method': 'POST',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  let response: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  request.on('response', (got) => {
    response = got;
  });
  request.on('trailers', (got) => {
    trailers = got;
  });
  request.end(body);
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return { response, trailers, body: Buffer.concat(parts) };
}

function message(bytes: Buffer, flag = 0): Buffer {
  return Buffer.concat([Buffer.from([flag]), u32(bytes.length), bytes]);
}

test('a thousand calls at once are answered, each with its own', async () => {
  const { port } = await start();
  const one = client(port);
  const answers = await Promise.all(
    Array.from({ length: 1_000 }, (_, i) => unary(one, echo.path, Buffer.from(`call ${i}`))),
  );
  assert.deepEqual(
    answers.map(String),
    Array.from({ length: 1_000 }, (_, i) => `call ${i}`),
  );
});

test('messages of every size come back whole, from the empty one to far above each window', async () => {
  const { port } = await start({ maxMessageBytes: 20_000_000 });
  const one = client(port);
  for (const length of [0, 1, 16_379, 16_380, 65_535, 1_048_571, 1_048_576, 12_000_000]) {
    const bytes = Buffer.alloc(length, 'dcache ');
    assert.ok(bytes.equals(await unary(one, echo.path, bytes)), `${length} bytes`);
  }
});

test('messages that come in pieces of any size are put together, also several in one piece', async () => {
  const { port } = await start();
  const random = new SeededRandom(3);
  const sizes = [0, 5, 3_000, 0, 40_000, 1, 70_000];
  const body = Buffer.concat(sizes.map((size, i) => message(Buffer.alloc(size, i))));
  for (let round = 0; round < 20; round++) {
    const request = http2(port).request({
      ':method': 'POST',
      ':path': gather.path,
      'content-type': 'application/grpc+proto',
    });
    for (let at = 0; at < body.length; ) {
      const length = 1 + random.below(round === 0 ? 7 : 30_000);
      request.write(body.subarray(at, at + length));
      at += length;
    }
    request.end();
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    assert.ok(Buffer.concat(parts).equals(message(Buffer.concat(sizes.map((size, i) => Buffer.alloc(size, i))))));
  }
});

test('requests stream in, responses stream out, and both at once', async () => {
  const { port } = await start();
  const one = client(port);
  const gathered = await new Promise<Buffer>((resolve, reject) => {
    const call = one.makeClientStreamRequest(gather.path, same, same, (error, response) =>
      error ? reject(error) : resolve(response!),
    );
    for (let i = 0; i < 300; i++) call.write(Buffer.alloc(10_000, i));
    call.end();
  });
  assert.equal(gathered.length, 3_000_000);
  const sizes: number[] = [];
  const many = Buffer.concat([u32(200), u32(50_000)]);
  for await (const part of one.makeServerStreamRequest(spread.path, same, same, many))
    sizes.push((part as Buffer).length);
  assert.deepEqual([sizes.length, new Set(sizes)], [200, new Set([50_000])]);
  const call = one.makeBidiStreamRequest(both.path, same, same);
  for (const text of ['one', 'two']) {
    call.write(Buffer.from(text));
    assert.equal(String((await once(call, 'data'))[0]), text);
  }
  call.end();
  const [status] = await once(call, 'status');
  assert.equal(status.code, 0);
});

test('a client that reads slowly holds its stream up, and nothing piles up here', async () => {
  const { port, streams } = await start();
  const request = http2(port, { initialWindowSize: 1_000 }).request({
    ':method': 'POST',
    ':path': spread.path,
    'content-type': 'application/grpc',
  });
  request.pause();
  request.end(message(Buffer.concat([u32(10_000), u32(10_000)])));
  await once(request, 'response');
  const [call] = streams;
  assert.equal(call!.writableNeedDrain, true);
  assert.ok(call!.writableLength <= 16, 'sixteen messages wait, not ten thousand');
  let bytes = 0;
  request.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes > 200_000) request.close(8);
  });
  request.resume();
  await once(call!, 'cancelled');
  assert.ok(call!.cancelled);
});

test("a failure is told by its code, its message in any letters, and its metadata; the transport's own names are not for handlers", async () => {
  const { port } = await start();
  const one = client(port);
  const metadata = new Metadata();
  metadata.set('why', 'asked');
  const error = await failure(unary(one, '/test.Echo/Fail', Buffer.alloc(0), metadata));
  assert.equal(error.code, 9);
  assert.equal(error.details, 'prévu: 100 %\n');
  assert.deepEqual(error.metadata.get('reason'), ['asked']);
  assert.deepEqual(error.metadata.get('raw-bin'), [Buffer.from([0, 255])]);
  assert.equal((await failure(unary(one, '/test.Echo/Throws', Buffer.alloc(0)))).code, 2);
  const missing = await failure(unary(one, '/test.Echo/None', Buffer.alloc(0)));
  assert.deepEqual([missing.code, missing.details], [12, 'there is no method /test.Echo/None']);
});

test('what is no gRPC request gets a status of HTTP; a body that is no message gets one of gRPC', async () => {
  const { port } = await start({ maxMessageBytes: 1_000 });
  const session = http2(port);
  const status = async (headers: Record<string, string>, body: Buffer): Promise<string> => {
    const { response, trailers } = await raw(session, { ':path': echo.path, ...headers }, body);
    return String(trailers['grpc-status'] ?? response['grpc-status'] ?? `HTTP ${response[':status']}`);
  };
  for (const type of ['text/plain', '', 'application/grpc-web', 'application/grpcx', 'x application/grpc'])
    assert.equal(await status({ 'content-type': type }, message(Buffer.alloc(0))), 'HTTP 415', type);
  for (const type of ['application/grpc', 'application/grpc+proto', 'application/grpc; charset=utf-8'])
    assert.equal(await status({ 'content-type': type }, message(Buffer.alloc(0))), '0', type);
  assert.equal(await status({ ':method': 'PUT' }, Buffer.alloc(0)), 'HTTP 405');
  assert.equal(await status({}, Buffer.alloc(0)), '13', 'no message');
  assert.equal(await status({}, Buffer.from([0, 0, 0])), '13', 'a part of a prefix');
  assert.equal(await status({}, message(Buffer.alloc(10)).subarray(0, 12)), '13', 'a part of a message');
  assert.equal(await status({}, message(Buffer.alloc(10), 7)), '13', 'a flag that does not exist');
  assert.equal(await status({}, message(Buffer.alloc(10), 1)), '13', 'compressed, nobody knows how');
  assert.equal(
    await status({}, Buffer.concat([message(Buffer.alloc(1)), message(Buffer.alloc(1))])),
    '12',
    'two messages',
  );
  assert.equal(await status({}, message(Buffer.alloc(1_001))), '8', 'too large');
  assert.equal(
    await status({ 'grpc-encoding': 'br' }, message(Buffer.alloc(10), 1)),
    '12',
    'an encoding that is not known',
  );
  assert.equal(await status({}, message(Buffer.alloc(1_000))), '0');
});

test('an unknown method, service or encoding is UNIMPLEMENTED and says what is known; te may be left out', async () => {
  const { port } = await start();
  const session = http2(port);
  const ask = async (headers: Record<string, string>, body = message(Buffer.from('x'))) => {
    const { response, trailers } = await raw(session, headers, body);
    assert.equal(response[':status'], 200);
    return { ...response, ...trailers };
  };
  for (const path of [
    '/test.Echo/None',
    '/test.None/Unary',
    '/test.Echo',
    '/',
    '/test.Echo/Unary/',
    '/test.echo/Unary',
  ]) {
    const got = await ask({ ':path': path });
    assert.deepEqual([got['grpc-status'], got['grpc-message']], ['12', `there is no method ${path}`]);
  }
  const encoded = await ask({ ':path': echo.path, 'grpc-encoding': 'br' }, message(Buffer.from('x'), 1));
  assert.deepEqual([encoded['grpc-status'], encoded['grpc-accept-encoding']], ['12', 'identity,deflate,gzip']);
  assert.match(String(encoded['grpc-message']), /^grpc-encoding is br; allowed are identity,deflate,gzip$/);
  const identity = await ask({ ':path': echo.path, 'grpc-encoding': 'identity' }, message(Buffer.from('x'), 1));
  assert.equal(identity['grpc-status'], '13', 'compressed, and said to be not');
  const broken = await ask({ ':path': echo.path, 'grpc-encoding': 'gzip' }, message(Buffer.from('no gzip'), 1));
  assert.equal(broken['grpc-status'], '13');
  const bare = session.request({ ':method': 'POST', ':path': echo.path, 'content-type': 'application/grpc' });
  bare.end(message(Buffer.from('x')));
  const [trailers] = await once(bare.resume(), 'trailers');
  assert.equal(trailers['grpc-status'], '0');
});

test('a hook completes every failure, told which call failed and, where it is none of a handler, by what fault', async () => {
  const clock = new HandClock();
  const heard: string[] = [];
  const { port, held } = await start({
    clock,
    maxMessageBytes: 1_000,
    authorize: (path) => (path.endsWith('Spread') ? { code: 16, details: 'no token' } : undefined),
    onFailure: (error, path) => {
      heard.push(`${error.fault ?? 'its own'} ${path}`);
      const trailers = { ...error.metadata?.getMap(), 'x-fault': error.fault ?? 'none' };
      return { ...error, metadata: { getMap: () => trailers } };
    },
  });
  const session = http2(port);
  const one = message(Buffer.from('x'));
  const gzip = { 'grpc-encoding': 'gzip' };
  const [timed, hold] = [{ 'grpc-timeout': '1S' }, '/test.Echo/Hold'];
  const rows: [path: string, headers: Record<string, string>, body: Buffer, status: string, fault: string][] = [
    ['/test.Echo/None', {}, one, '12', 'no-method'],
    [echo.path, { 'grpc-encoding': 'br' }, one, '12', 'bad-request'],
    [echo.path, { 'grpc-timeout': '5s' }, one, '13', 'bad-request'],
    [echo.path, {}, Buffer.alloc(0), '13', 'bad-request'],
    [echo.path, {}, Buffer.concat([one, one]), '12', 'bad-request'],
    [echo.path, {}, message(Buffer.alloc(10), 7), '13', 'bad-request'],
    [gather.path, {}, one.subarray(0, 3), '13', 'bad-request'],
    [echo.path, gzip, message(Buffer.from('no gzip'), 1), '13', 'bad-request'],
    [echo.path, {}, message(Buffer.alloc(1_001)), '8', 'too-large'],
    [echo.path, gzip, message(gzipSync(Buffer.alloc(1_001)), 1), '8', 'too-large'],
    [echo.path, { 'grpc-timeout': '0m' }, one, '4', 'too-late'],
    [hold, timed, one, '4', 'unfinished'],
    [spread.path, {}, one, '16', 'none'],
    ['/test.Echo/Fail', {}, one, '9', 'none'],
    ['/test.Echo/Throws', {}, one, '2', 'handler-failed'],
  ];
  for (const [path, headers, body, status, fault] of rows) {
    const answered = raw(session, { ':path': path, ...headers }, body);
    if (headers === timed) {
      await until('the call is held', () => held.length === 1);
      clock.pass(1_000);
    }
    const { response, trailers } = await answered;
    const got = { ...response, ...trailers };
    assert.deepEqual([got['grpc-status'], got['x-fault']], [status, fault], path);
    assert.equal(heard.pop(), `${fault === 'none' ? 'its own' : fault} ${path}`);
    assert.equal(got['grpc-accept-encoding'], headers['grpc-encoding'] === 'br' ? 'identity,deflate,gzip' : undefined);
    if (path === '/test.Echo/Fail') assert.equal(got['reason'], 'undefined', 'what the handler said is there too');
  }
  assert.deepEqual(heard, [], 'each failure is told once');
  await raw(session, { ':path': echo.path }, one);
  assert.deepEqual(heard, [], 'what succeeds is no failure');
});

test('compressed requests are read, and one that unpacks to more than a message may be is refused', async () => {
  const { port } = await start({ maxMessageBytes: 100_000 });
  // gRPC's number for gzip is 2, for deflate 1.
  for (const algorithm of [1, 2]) {
    const one = client(port, { 'grpc.default_compression_algorithm': algorithm });
    const bytes = Buffer.alloc(90_000, 'abc');
    assert.ok(bytes.equals(await unary(one, echo.path, bytes)));
    assert.equal((await failure(unary(one, echo.path, Buffer.alloc(1_000_000)))).code, 8);
    const gathered = await new Promise<Buffer>((resolve, reject) => {
      const call = one.makeClientStreamRequest(gather.path, same, same, (error, response) =>
        error ? reject(error) : resolve(response!),
      );
      for (const text of ['one ', 'two ', 'three']) call.write(Buffer.from(text));
      call.end();
    });
    assert.equal(gathered.toString(), 'one two three');
  }
});

test('messages that are promised and do not come are bounded on all connections together', async () => {
  const { port } = await start({ maxMessageBytes: 1_000_000, maxHeldBytes: 2_000_000 });
  const parts = Array.from({ length: 5 }, () => {
    const request = http2(port).request({ ':method': 'POST', ':path': echo.path, 'content-type': 'application/grpc' });
    request.write(message(Buffer.alloc(900_000)).subarray(0, 700_000));
    return request;
  });
  const refused = await Promise.race(parts.map(async (request) => (await once(request, 'response'))[0]['grpc-status']));
  assert.equal(refused, '8');
  for (const request of parts) request.close();
  const one = client(port);
  await assert.doesNotReject(unary(one, echo.path, Buffer.alloc(900_000)));
});

test('calls that their client gave up count until their handler is done, so that nobody starts them without end', async () => {
  const { port, held } = await start({ maxCalls: 10 });
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  const hold = Buffer.concat([
    postHeaders.subarray(0, 2),
    Buffer.from([0, 5]),
    Buffer.from(':path'),
    Buffer.from([15]),
    Buffer.from('/test.Echo/Hold'),
    Buffer.from([0, 12]),
    Buffer.from('content-type'),
    Buffer.from([16]),
    Buffer.from('application/grpc'),
  ]);
  socket.write(hello());
  for (let id = 1; id < 1_000; id += 2)
    socket.write(
      Buffer.concat([
        frame(FrameType.headers, 4, id, hold),
        frame(FrameType.data, 1, id, message(Buffer.alloc(0))),
        frame(FrameType.resetStream, 0, id, u32(8)),
      ]),
    );
  socket.write(frame(FrameType.ping, 0, 0, Buffer.from('all-read')));
  let got = Buffer.alloc(0);
  while (!got.includes('all-read')) got = Buffer.concat([got, (await once(socket, 'data'))[0] as Buffer]);
  assert.equal(held.length, 10);
  assert.ok(held.every(({ call }) => call.cancelled));
  for (const { answer } of held.splice(0)) answer(null, Buffer.alloc(0));
  socket.write(
    Buffer.concat([
      frame(FrameType.headers, 4, 1_001, hold),
      frame(FrameType.data, 1, 1_001, message(Buffer.alloc(0))),
    ]),
  );
  await until('the call is there', () => held.length > 0);
});

test('a client that takes no answers gets no more of them, and others do not notice', async () => {
  const { port, server, sockets } = await start({ maxMessageBytes: 5_000_000 });
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  // A window for all of it, and nobody who reads.
  const path = Buffer.concat([
    postHeaders.subarray(0, 2),
    Buffer.from([0, 5]),
    Buffer.from(':path'),
    Buffer.from([16]),
    Buffer.from('/test.Echo/Unary'),
    Buffer.from([0, 12]),
    Buffer.from('content-type'),
    Buffer.from([16]),
    Buffer.from('application/grpc'),
  ]);
  socket.write(
    Buffer.concat([hello([Setting.initialWindowSize, 2 ** 30]), frame(FrameType.windowUpdate, 0, 0, u32(2 ** 30))]),
  );
  await until('it is connected', () => sockets.size === 1);
  socket.pause();
  const body = message(Buffer.alloc(1_000_000));
  const before = process.memoryUsage().arrayBuffers;
  let sent = 0;
  for (let id = 1; id < 400; id += 2) {
    const frames = [frame(FrameType.headers, 4, id, path)];
    for (let at = 0; at < body.length; at += 16_384)
      frames.push(frame(FrameType.data, at + 16_384 >= body.length ? 1 : 0, id, body.subarray(at, at + 16_384)));
    socket.write(Buffer.concat(frames));
    sent++;
    if (await isStuck(socket, [...sockets][0]!)) break;
  }
  assert.ok(sent < 200, 'the server stopped reading');
  assert.ok([...sockets][0]!.isPaused());
  assert.ok(process.memoryUsage().arrayBuffers - before < 200_000_000);
  const one = client(port);
  assert.equal(String(await unary(one, echo.path, Buffer.from('still here'))), 'still here');
  assert.equal(server.connections, 2);
});

test('answers that all come at once wait up to a bound; the calls beyond it are told so', async () => {
  const { port, held } = await start();
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  const hold = Buffer.concat([
    postHeaders.subarray(0, 2),
    literal(':path', '/test.Echo/Hold'),
    literal('content-type', 'application/grpc'),
  ]);
  socket.pause();
  socket.write(
    Buffer.concat([hello([Setting.initialWindowSize, 2 ** 30]), frame(FrameType.windowUpdate, 0, 0, u32(2 ** 30))]),
  );
  for (let id = 1; id < 160; id += 2)
    socket.write(
      Buffer.concat([frame(FrameType.headers, 4, id, hold), frame(FrameType.data, 1, id, message(Buffer.alloc(0)))]),
    );
  await until('all eighty calls are there', () => held.length === 80);
  const large = Buffer.alloc(1_000_000);
  for (const { answer } of held) {
    answer(null, large);
    await turn(1);
  }
  // What comes before the answer to this is all there is.
  socket.write(frame(FrameType.ping, 0, 0, Buffer.from('all-read')));
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  socket.resume();
  await until(
    'the answer to the ping comes',
    () => parts.length > 0 && Buffer.concat(parts.slice(-2)).includes('all-read'),
  );
  const all = Buffer.concat(parts);
  assert.ok(all.length > 20_000_000 && all.length < 45_000_000, `${all.length} bytes were kept for who does not read`);
  assert.ok(all.includes('does not take the answers'));
});

test('close lets what is under way end, refuses what is new, and ends the connections', async () => {
  const { port, held, server } = await start();
  const session = http2(port);
  const answered = raw(session, { ':path': '/test.Echo/Hold' }, message(Buffer.from('x')));
  await until('the call is there', () => held.length > 0);
  server.close(60_000);
  await once(session, 'goaway');
  held[0]!.answer(null, Buffer.from('done'));
  assert.equal((await answered).body.subarray(5).toString(), 'done');
  await once(session, 'close');
  await until('the server let it go', () => server.connections === 0);
});

test('who is refused never reaches the handler', async () => {
  const { port, held } = await start({
    authorize: (path, metadata) =>
      path.endsWith('Hold') && metadata.get('Token')[0] !== 'yes' ? { code: 16, details: 'no' } : undefined,
  });
  const one = client(port);
  assert.equal((await failure(unary(one, '/test.Echo/Hold', Buffer.alloc(0)))).code, 16);
  assert.equal(held.length, 0);
  const metadata = new Metadata();
  metadata.set('token', 'yes');
  const answer = unary(one, '/test.Echo/Hold', Buffer.alloc(0), metadata);
  await until('the call is there', () => held.length > 0);
  held[0]!.answer(null, Buffer.from('in'));
  assert.equal(String(await answer), 'in');
});

test('a silent client is asked whether it is there, and let go when it says nothing', async () => {
  let tick: (() => void) | undefined;
  const clock = {
    monotonicMs: () => 0,
    wallMs: () => 0,
    after: () => () => undefined,
    every: (_ms: number, run: () => void) => {
      tick = run;
      return () => undefined;
    },
  };
  const { port, server } = await start({ clock, keepaliveMs: 30_000 });
  const alive = http2(port);
  await once(alive, 'remoteSettings');
  const dead = connect(port, '127.0.0.1');
  dead.write(hello());
  await once(dead, 'data');
  dead.resume();
  const closed = once(dead, 'close');
  for (let i = 0; i < 6; i++) {
    tick!();
    await new Promise((resolve) => alive.ping(() => resolve(undefined)));
  }
  await closed;
  assert.equal(server.connections, 1);
});

test('a call whose time is over is answered DEADLINE_EXCEEDED, and counts until its handler is done', async () => {
  const clock = new HandClock();
  const { port, held } = await start({ clock, maxCalls: 1 });
  const session = http2(port);
  const answered = raw(session, { ':path': '/test.Echo/Hold', 'grpc-timeout': '500m' }, message(Buffer.from('x')));
  await until('the call is there', () => held.length === 1);
  const { call, answer } = held[0]!;
  assert.equal(call.deadlineMs, clock.monotonicMs() + 500);
  clock.pass(499);
  assert.equal(call.cancelled, false);
  clock.pass(1);
  const { response, body } = await answered;
  assert.deepEqual([response['grpc-status'], body.length], ['4', 0]);
  assert.match(String(response['grpc-message']), /time that the client gave the call .* may still be done/);
  assert.equal(call.cancelled, true);
  await assert.rejects(raw(session, { ':path': echo.path }, message(Buffer.from('y'))), /REFUSED_STREAM/);
  answer(null, Buffer.from('too late'));
  const next = await raw(session, { ':path': echo.path }, message(Buffer.from('y')));
  assert.deepEqual([next.trailers['grpc-status'], next.body.subarray(5).toString()], ['0', 'y']);
});

test('a handler that gives up at the same moment as the server is heard', async () => {
  const clock = new HandClock();
  const { port, held } = await start({ clock });
  const session = http2(port);
  const answered = raw(session, { ':path': '/test.Echo/Hold', 'grpc-timeout': '500m' }, message(Buffer.from('x')));
  await until('the call is there', () => held.length === 1);
  // Its timer is the later of the two, and its answer comes a promise after it.
  clock.after(500, () => void Promise.resolve().then(() => held[0]!.answer({ code: 4, details: 'no leader' })));
  clock.pass(500);
  const { response } = await answered;
  assert.deepEqual([response['grpc-status'], response['grpc-message']], ['4', 'no leader']);
});

test('a call that is answered in its time, or has none, is left alone, and leaves no timer', async () => {
  const clock = new HandClock();
  const { port, held, server } = await start({ clock });
  const session = http2(port);
  const idle = clock.pendingTimers;
  for (const timeout of ['1S', '2S']) {
    const quick = await raw(session, { ':path': echo.path, 'grpc-timeout': timeout }, message(Buffer.from('x')));
    assert.equal(quick.trailers['grpc-status'], '0');
  }
  clock.pass(1_000);
  assert.equal(clock.pendingTimers, idle, 'nothing is left that a timer would wait for');
  const endless = raw(session, { ':path': '/test.Echo/Hold' }, message(Buffer.from('x')));
  await until('the call is there', () => held.length === 1);
  assert.equal(held[0]!.call.deadlineMs, Number.POSITIVE_INFINITY);
  clock.pass(5_000);
  assert.equal(held[0]!.call.cancelled, false);
  held[0]!.answer(null, Buffer.from('done'));
  assert.equal((await endless).body.subarray(5).toString(), 'done');
  const gone = raw(session, { ':path': '/test.Echo/Hold', 'grpc-timeout': '1H' }, message(Buffer.from('x')));
  await until('the second call is there', () => held.length === 2);
  const timers = clock.pendingTimers;
  session.destroy();
  // A client that is gone hears nothing, however it ends.
  await gone.catch(() => undefined);
  await until('the server let it go', () => server.connections === 0);
  assert.equal(clock.pendingTimers, timers - 1);
});

test('a call whose message has not come in its time, and one that streams, end with their time', async () => {
  const clock = new HandClock();
  const { port, streams } = await start({ clock });
  const session = http2(port);
  const begin = (path: string, bytes: Buffer) => {
    const request = session.request({
      ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', 'grpc-timeout': '2S' },
    });
    request.on('error', () => undefined);
    request.write(bytes);
    request.resume();
    return new Promise<string>((resolve) => {
      for (const event of ['response', 'trailers'] as const)
        request.on(event, (got: IncomingHttpHeaders) => {
          if (got['grpc-status'] === undefined) return;
          const outcome = /nothing was done|may still be done/.exec(String(got['grpc-message']))?.[0];
          resolve(`${got['grpc-status']} ${outcome}`);
        });
    });
  };
  const part = message(Buffer.alloc(10)).subarray(0, 12);
  const statuses = [begin(echo.path, part), begin(gather.path, part), begin(both.path, message(Buffer.from('x')))];
  await until('both streams are there', () => streams.length === 2);
  await new Promise((resolve) => session.ping(resolve));
  clock.pass(2_000);
  const undone = '4 nothing was done';
  const unknown = '4 may still be done';
  assert.deepEqual(await Promise.all(statuses), [undone, unknown, unknown]);
  assert.ok(streams.every((call) => call.cancelled));
});

test('a time that is over already starts nothing, and one that is none is an error that says what is', async () => {
  const { port, held } = await start({ clock: new HandClock() });
  const session = http2(port);
  const status = async (timeout: string): Promise<IncomingHttpHeaders> => {
    let answered: IncomingHttpHeaders | undefined;
    raw(session, { ':path': '/test.Echo/Hold', 'grpc-timeout': timeout }, message(Buffer.from('x'))).then(
      ({ response }) => {
        answered = response;
      },
      () => undefined,
    );
    await until('it is held or answered', () => answered !== undefined || held.length > 0);
    return answered ?? assert.fail(`with ${timeout} the handler began`);
  };
  const over = await status('0m');
  assert.equal(over['grpc-status'], '4');
  assert.match(String(over['grpc-message']), /nothing was done/);
  for (const timeout of ['5', '5s', '-1S', '123456789S', '1.5S', 'S']) {
    const got = await status(timeout);
    assert.equal(got['grpc-status'], '13', timeout);
    assert.match(
      decodeURIComponent(String(got['grpc-message'])),
      /grpc-timeout is ".*"; it takes 1 to 8 digits and H, M/,
    );
  }
  assert.equal(held.length, 0);
});

test('headers of any names and values arrive as they were sent, in any order and number', async () => {
  const seen: Record<string, string | Buffer>[] = [];
  const { port } = await start({
    authorize: (_path, metadata) => {
      seen.push(metadata.getMap());
      return undefined;
    },
  });
  const random = new SeededRandom(11);
  const session = http2(port);
  // Every character that a header value may have goes through the Huffman code.
  const all = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).join('');
  for (let i = 0; i < 300; i++) {
    const headers: Record<string, string> = { all, high: '\u00e9\u00ff\u0080'.repeat(random.below(9) + 1) };
    for (let n = random.below(12); n > 0; n--)
      headers[`name-${random.below(40)}`] = all.slice(random.below(90), 93).repeat(random.below(20) + 1);
    await raw(session, { ':path': echo.path, ...headers }, message(Buffer.from('x')));
    const got = seen.at(-1)!;
    for (const [name, value] of Object.entries(headers)) assert.equal(got[name], value, name);
  }
});
