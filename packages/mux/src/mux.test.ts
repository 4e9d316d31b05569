import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2client from 'node:http2';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { afterEach, test } from 'node:test';
import { type Clock, silentLogger, systemClock } from '@dcache/base';
import { turn, until } from '@dcache/testing';
import { firstByte, http1, http2, preface } from './matchers.js';
import { Mux, type MuxOptions } from './mux.js';

const peerPreface = Buffer.from('\u00dcPEER', 'latin1');
const open: Mux[] = [];

afterEach(() => {
  for (const mux of open.splice(0)) {
    mux.destroyConnections();
    mux.close();
  }
});

async function start(options: Partial<MuxOptions> = {}): Promise<{ mux: Mux; port: number; peers: Socket[] }> {
  const web = http.createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => response.end(`${request.method} ${request.url} ${Buffer.concat(parts)}`));
  });
  const h2 = http2client.createServer();
  h2.on('stream', (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('over http2');
  });
  const peers: Socket[] = [];
  const mux = new Mux({
    routes: [
      {
        name: 'peer',
        matcher: preface(peerPreface),
        accept: (socket) => {
          peers.push(socket);
          socket.pipe(socket);
        },
      },
      { name: 'http2', matcher: http2, accept: (socket) => void h2.emit('connection', socket) },
      {
        name: 'http',
        matcher: http1,
        accept: (socket) => {
          web.emit('connection', socket);
          socket.resume();
        },
      },
    ],
    ...options,
  });
  open.push(mux);
  const { port } = await mux.listen('127.0.0.1', 0);
  return { mux, port, peers };
}

/** Writes `text` in pieces of `size` bytes, each in a packet of its own, and returns all that comes back. */
async function talk(port: number, text: string, size: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  const parts: Buffer[] = [];
  socket.on('data', (part) => parts.push(part));
  const bytes = Buffer.from(text, 'latin1');
  for (let at = 0; at < bytes.length; at += size) {
    await new Promise<void>((resolve) => socket.write(bytes.subarray(at, at + size), () => resolve()));
    await turn(1);
  }
  socket.end();
  await once(socket, 'close');
  return Buffer.concat(parts).toString('latin1');
}

test('one port answers HTTP/1 and peers however the first bytes are chunked', async () => {
  const { mux, port } = await start();
  for (const size of [1, 2, 7, 1000]) {
    const answer = await talk(
      port,
      'POST /k HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc',
      size,
    );
    assert.match(answer, /200 OK[\s\S]*POST \/k abc/);
    assert.equal(await talk(port, '\u00dcPEERhello', size), '\u00dcPEERhello');
  }
  assert.deepEqual(mux.stats().accepted, { peer: 4, http2: 0, http: 4 });
});

test('one port answers HTTP/2 with prior knowledge', async () => {
  const { port } = await start();
  const session = http2client.connect(`http://127.0.0.1:${port}`);
  const request = session.request({ ':path': '/' });
  request.setEncoding('utf8');
  let body = '';
  for await (const part of request) body += part;
  assert.equal(body, 'over http2');
  session.close();
});

test('bytes of no protocol are refused at once, and a silent or endless beginning within its bounds', async () => {
  const { mux, port } = await start({ maxSniffBytes: 64, sniffTimeoutMs: 50, refusal: Buffer.from('no') });
  assert.equal(await talk(port, '\x00\x01\x02', 1000), 'no');
  assert.equal(await talk(port, `GET /${'x'.repeat(100)}`, 1000), 'no');
  assert.equal(mux.stats().refused, 2);
  const silent = connect(port, '127.0.0.1');
  await once(silent, 'close');
  assert.equal(mux.stats().timedOut, 1);
});

test('a port that is taken is an error that names it', async () => {
  const { port } = await start();
  const second = new Mux({ routes: [] });
  await assert.rejects(second.listen('127.0.0.1', port), {
    code: 'address-in-use',
    message: new RegExp(`127.0.0.1:${port} is taken`),
  });
});

test('a connection that breaks while its first bytes are read is forgotten', async () => {
  const { mux, port } = await start();
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('GE');
  socket.resetAndDestroy();
  await until('nothing is open', () => mux.stats().open === 0);
  assert.equal(mux.stats().refused, 0);
});

/** A client whose connection is noted when the server ends it. */
class Visitor {
  readonly socket: Socket;
  isClosed = false;
  text = '';

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.isClosed = true;
    });
    this.socket.on('data', (part) => {
      this.text += part.toString('latin1');
    });
    visitors.push(this);
  }
}

const visitors: Visitor[] = [];

afterEach(() => {
  for (const { socket } of visitors.splice(0)) socket.destroy();
});

/** Connections one after the other, so that the server takes them in this order. */
async function visit(port: number, count: number): Promise<Visitor[]> {
  const many: Visitor[] = [];
  for (let i = 0; i < count; i++) {
    const visitor = new Visitor(port);
    many.push(visitor);
    await once(visitor.socket, 'connect');
  }
  return many;
}

const closed = (many: readonly Visitor[]): number => many.filter((one) => one.isClosed).length;

test('on a full port a new connection takes the place of the oldest that has said nothing, never of another', async () => {
  const { mux, port, peers } = await start({ maxConnections: 10 });
  const talkers = await visit(port, 4);
  for (const { socket } of talkers) socket.write(peerPreface);
  await until('the four are known', () => peers.length === 4);
  const silent = await visit(port, 30);
  await until('the oldest gave way', () => closed(silent) === 24);
  assert.deepEqual(
    silent.map((one) => one.isClosed),
    silent.map((_, i) => i < 24),
  );
  assert.equal(closed(talkers), 0);
  const [late] = await visit(port, 1);
  late!.socket.write('GET /k HTTP/1.1\r\nHost: h\r\n\r\n');
  await until('who comes last is answered', () => late!.text.includes('GET /k'));
  for (const { socket } of talkers) socket.write('still here');
  await until('and who came first still is', () => talkers.every((one) => one.text.endsWith('still here')));
  const { open: openNow, dropped, timedOut } = mux.stats();
  assert.deepEqual({ openNow, dropped, timedOut }, { openNow: 10, dropped: 25, timedOut: 0 });
});

test('on a port full of known connections a new one is closed, and there is room again when one of them goes', async () => {
  const told: string[] = [];
  const logger = { ...silentLogger, debug: (_: unknown, text?: string) => void told.push(String(text)) };
  const { mux, port, peers } = await start({ maxConnections: 3, logger });
  const talkers = await visit(port, 3);
  for (const { socket } of talkers) socket.write(peerPreface);
  await until('all are known', () => peers.length === 3);
  const [surplus] = await visit(port, 1);
  await until('one too many', () => surplus!.isClosed);
  assert.match(told.join(), /the newest connection, as all others are known/);
  assert.equal(closed(talkers), 0);
  talkers[0]!.socket.destroy();
  await until('it is gone', () => mux.stats().open === 2);
  const [next] = await visit(port, 1);
  next!.socket.write(peerPreface);
  await until('there is room', () => peers.length === 4);
});

test('what a provisional route took over gives way too, until it is settled, itself or a stream within it', async () => {
  const wrapped: Duplex[] = [];
  const taken: Socket[] = [];
  const { mux, port, peers } = await start({
    maxConnections: 6,
    routes: [
      { name: 'claims', matcher: firstByte(0x43), accept: (socket) => void taken.push(socket), isProvisional: true },
      {
        name: 'wraps',
        matcher: firstByte(0x57),
        isProvisional: true,
        accept: (socket) => {
          // As TLS does: another stream with the same ends.
          const inside = new Duplex({ read: () => {}, write: (_part, _encoding, done) => done() });
          wrapped.push(Object.assign(inside, { remoteAddress: socket.remoteAddress, remotePort: socket.remotePort }));
        },
      },
    ],
  });
  const inner = [{ name: 'peer', matcher: preface(peerPreface), accept: (socket: Socket) => void peers.push(socket) }];
  const claimants = await visit(port, 2);
  for (const { socket } of claimants) socket.write('C');
  const wrappers = await visit(port, 2);
  for (const { socket } of wrappers) socket.write('W');
  await until('all are taken over', () => taken.length + wrapped.length === 4);
  mux.settle(taken[1]!);
  for (const inside of wrapped) mux.route(inside as Socket, inner);
  wrapped[1]!.push(peerPreface);
  await until('one is known from within', () => peers.length === 1);
  const silent = await visit(port, 6);
  await until('those that were not settled gave way', () => closed(silent) === 2);
  const settled = [taken[1]!.remotePort, (wrapped[1] as unknown as Socket).remotePort];
  for (const one of [...claimants, ...wrappers])
    assert.equal(one.isClosed, !settled.includes(one.socket.localPort), `port ${one.socket.localPort}`);
  for (const inside of wrapped) inside.destroy();
});

test('connections that come all at once are bounded as well, and each that gave way is counted once', async () => {
  const timers = new Set<() => void>();
  const clock: Clock = {
    ...systemClock,
    after: (_ms, run) => {
      timers.add(run);
      return () => timers.delete(run);
    },
  };
  const { mux, port } = await start({ maxConnections: 10, clock });
  const silent = Array.from({ length: 60 }, () => new Visitor(port));
  await until('fifty gave way', () => closed(silent) >= 50 && mux.stats().dropped >= 50);
  assert.equal(mux.stats().open, 10);
  await until('those that gave way wait for no time', () => timers.size === 10);
  for (const run of [...timers]) run();
  await until('the others were too late', () => mux.stats().open === 0);
  const { dropped, timedOut } = mux.stats();
  assert.deepEqual({ dropped, timedOut }, { dropped: 50, timedOut: 10 });
});
