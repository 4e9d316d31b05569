import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { SeededRandom } from '@dcache/base';
import { HandClock, until } from '@dcache/testing';
import { Metadata } from '@grpc/grpc-js';
import { hello, u32 } from './connection.test.helper.js';
import {
  both,
  client,
  echo,
  failure,
  gather,
  http2,
  message,
  raw,
  same,
  spread,
  start,
  unary,
} from './server.test.helper.js';

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
