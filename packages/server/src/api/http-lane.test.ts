import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { silentLogger } from '@dcache/base';
import { defaultLimits } from '@dcache/protocol';
import { turn, until } from '@dcache/testing';
import { FakeCache } from './fake-cache.test.helper.js';
import { HttpApi } from './http.js';
import type { HttpExchange } from './http-exchange.js';
import { HttpLane } from './http-lane.js';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

async function listen(accept: (socket: Socket) => void, sockets: Set<Socket> = new Set()): Promise<number> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    accept(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** A lane alone: exchanges are kept for the test to answer, connections that leave it are noted. */
async function start() {
  const exchanges: { exchange: HttpExchange; done: () => void }[] = [];
  const handedOver: Buffer[] = [];
  const cutOff: Socket[] = [];
  const lane = new HttpLane({
    serve: (exchange) => new Promise((resolve) => exchanges.push({ exchange, done: resolve })),
    handOver: (socket) => handedOver.push((socket.read() as Buffer | null) ?? Buffer.alloc(0)),
    cutOff: (socket) => {
      cutOff.push(socket);
      socket.destroy();
    },
    maxBodyBytes: 1_000,
  });
  cleanups.push(() => lane.close());
  const sockets = new Set<Socket>();
  const port = await listen((socket) => lane.accept(socket), sockets);
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  return { exchanges, handedOver, cutOff, socket, sockets, said: () => text, lane };
}

const get = 'GET /k HTTP/1.1\r\nHost: h\r\n\r\n';
const post = 'POST /k HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody';

test('one request after the other is answered in the lane, cut anywhere', async () => {
  const { exchanges, handedOver, socket, said } = await start();
  for (let cut = 1; cut < post.length; cut += 7) {
    socket.write(post.slice(0, cut));
    await turn(1);
    socket.write(post.slice(cut));
    await until('the request comes', () => exchanges.length === 1);
    const { exchange, done } = exchanges.pop()!;
    assert.equal(Buffer.from(await exchange.readBody(1_000)).toString(), 'body');
    exchange.answer(200, { etag: `"${cut}"`, 'content-length': 2 }, Buffer.from('ok'));
    done();
    await until('the answer comes', () => said().includes(`etag: "${cut}"`));
  }
  assert.match(
    said(),
    /^HTTP\/1\.1 200 OK\r\netag: "1"\r\ncontent-length: 2\r\ndate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/,
  );
  assert.equal(handedOver.length, 0);
});

test('a connection leaves the lane with all its bytes: a second request at once, a rare one, a large body', async () => {
  const rare = 'POST /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n';
  const large = 'POST /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\nthe first of it';
  for (const bytes of [get + get, rare, large]) {
    const { handedOver, exchanges, socket } = await start();
    socket.write(bytes);
    await until('it leaves', () => handedOver.length === 1);
    assert.equal(String(handedOver[0]), bytes);
    assert.equal(exchanges.length, 0);
  }
});

test('what comes while a request is being answered waits for the answer, and then leaves the lane', async () => {
  const { handedOver, exchanges, socket, said } = await start();
  socket.write(get);
  await until('the request comes', () => exchanges.length === 1);
  socket.write(post);
  socket.write(get);
  await turn(1);
  assert.equal(handedOver.length, 0);
  exchanges[0]!.exchange.answer(404, { 'content-length': 0 });
  exchanges[0]!.done();
  await until('it leaves', () => handedOver.length === 1);
  assert.ok(String(handedOver[0]).startsWith(post));
  await until('the answer comes first', () => said().startsWith('HTTP/1.1 404 Not Found'));
});

test('half a request that stands still leaves the lane, and one whose client ends it is cut off', async () => {
  const { handedOver, socket } = await start();
  socket.write(post.slice(0, 30));
  await until('it leaves', () => handedOver.length === 1);
  assert.equal(String(handedOver[0]), post.slice(0, 30));
  const other = await start();
  other.socket.end(post.slice(0, 30));
  await until('it is cut off', () => other.cutOff.length === 1);
});

test('few connections wait in the lane; the parts of further requests are counted elsewhere', async () => {
  const { handedOver, socket, lane } = await start();
  for (let i = 0; i < 256; i++) lane.waiting.set({ handOver: () => undefined } as never, Number.POSITIVE_INFINITY);
  socket.write(post.slice(0, 30));
  await until('it leaves at once', () => handedOver.length === 1);
  assert.equal(String(handedOver[0]), post.slice(0, 30));
});

test('a client that ends its side gets its answer first; one that asks for nothing is let go', async () => {
  const { exchanges, socket, said } = await start();
  socket.end(get);
  await until('the request comes', () => exchanges.length === 1);
  exchanges[0]!.exchange.answer(200, { 'content-length': 3 }, 'yes');
  exchanges[0]!.done();
  await once(socket, 'close');
  assert.ok(said().endsWith('\r\n\r\nyes'));
  const idle = await start();
  await once(idle.socket, 'connect');
  await until('the lane has it', () => idle.lane.size === 1);
  idle.lane.close();
  await once(idle.socket, 'close');
});

test('a header that would hold more than one line is an error and not an answer', async () => {
  const { exchanges, socket, said } = await start();
  socket.write(get);
  await until('the request comes', () => exchanges.length === 1);
  const { exchange } = exchanges[0]!;
  for (const value of ['a\r\nset-cookie: b', 'a\nb', 'a\0b', '\u0100'])
    assert.throws(() => exchange.answer(200, { 'content-type': value, 'content-length': 0 }), /which no header can be/);
  assert.equal(exchange.hasAnswered, false);
  exchange.answer(200, { 'content-type': 'text/plain', 'content-length': 0 });
  await until('the answer comes', () => said().includes('text/plain'));
  assert.ok(!said().includes('set-cookie'));
});

test('a client that does not read its answers is not read from', async () => {
  const { exchanges, socket, sockets } = await start();
  socket.pause();
  let answered = 0;
  for (; answered < 100; answered++) {
    socket.write(get);
    const [server] = [...sockets];
    // Bytes that a paused client has room for let the server go on for a while; then it stands still for good.
    for (let still = 0, left = -1; exchanges.length === 0 && still < 500; ) {
      await turn(1);
      if (server === undefined || !server.isPaused()) continue;
      still = server.writableLength === left ? still + 1 : 0;
      left = server.writableLength;
    }
    const next = exchanges.pop();
    if (next === undefined) break;
    next.exchange.answer(200, { 'content-length': 1_000_000 }, Buffer.alloc(1_000_000));
    next.done();
  }
  assert.ok(answered < 60, `${answered} answers of a megabyte were taken`);
  assert.ok([...sockets][0]!.isPaused());
});

test('the lane and node:http answer alike: status, headers and body, for each kind of request', async () => {
  const cache = new FakeCache();
  const api = new HttpApi({
    handler: cache,
    limits: { ...defaultLimits, maxValueBytes: 10_000 },
    internal: (path) => (path === '/-/live' ? { status: 200, body: { live: 'é' } } : undefined),
    logger: silentLogger,
  });
  cleanups.push(() => api.close());
  const port = await listen((socket) => api.accept(socket));
  const ask = async (request: string): Promise<string> => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.end(Buffer.from(request, 'latin1'));
    await once(socket, 'end');
    socket.end();
    const [head, ...body] = text.split('\r\n\r\n');
    const [status, ...headers] = head!.split('\r\n');
    const kept = headers.map((line) => line.toLowerCase()).filter((line) => !line.startsWith('date:'));
    return JSON.stringify({ status, headers: kept.sort(), body });
  };
  const requests = [
    'POST /k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc',
    'PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n',
    `POST /large HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n${'\xe4'.repeat(9_000)}`,
    'POST /typed HTTP/1.1\r\nHost: h\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\n<',
    'GET /k HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET /large HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET /typed HTTP/1.1\r\nHost: h\r\n\r\n',
    'HEAD /large HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET /k HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n',
    'GET /none HTTP/1.1\r\nHost: h\r\n\r\n',
    'HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET /k?consistency=wrong HTTP/1.1\r\nHost: h\r\n\r\n',
    'POST /k HTTP/1.1\r\nHost: h\r\nOrigin: http://evil\r\nContent-Length: 1\r\n\r\nx',
    'POST /k HTTP/1.1\r\nHost: h\r\nIf-Match: none\r\nContent-Length: 1\r\n\r\nx',
    'GET /-/live HTTP/1.1\r\nHost: h\r\n\r\n',
    'HEAD /-/live HTTP/1.1\r\nHost: h\r\n\r\n',
    'GET /-/none HTTP/1.1\r\nHost: h\r\n\r\n',
    'DELETE /-/live HTTP/1.1\r\nHost: h\r\n\r\n',
    'DELETE /missing HTTP/1.1\r\nHost: h\r\n\r\n',
  ];
  const normal = (answer: string): string => answer.replace(/\\"\d+\\"/g, 'REVISION');
  for (const request of requests) {
    const inLane = await ask(request);
    // A header that only the complete parser takes.
    const byNode = await ask(request.replace('Host: h', 'Host: h\r\nTE: trailers'));
    assert.equal(normal(inLane), normal(byNode), request.slice(0, 80));
  }
});
