import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2client from 'node:http2';
import { connect, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { http1, http2, preface } from './matchers.js';
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
    await new Promise((resolve) => setImmediate(resolve));
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
  while (mux.stats().open > 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(mux.stats().refused, 0);
});
