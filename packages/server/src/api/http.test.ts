import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { SeededRandom, silentLogger } from '@dcache/base';
import { http1, Mux } from '@dcache/mux';
import { DcacheError, defaultLimits, type Limits } from '@dcache/protocol';
import { turn, until } from '@dcache/testing';
import { FakeCache } from './fake-cache.test.helper.js';
import { HttpApi, type HttpApiOptions } from './http.js';
import { hostCheck } from './origin.js';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

async function start(more: Partial<HttpApiOptions> & { limits?: Limits } = {}) {
  const cache = new FakeCache();
  const limits = more.limits ?? { ...defaultLimits, maxValueBytes: 1_000 };
  const api = new HttpApi({
    handler: cache,
    limits,
    internal: (path) => (path === '/-/live' ? { status: 200, body: { live: true } } : undefined),
    logger: silentLogger,
    ...more,
  });
  const mux = new Mux({
    routes: [{ name: 'http', matcher: http1, accept: (socket) => api.accept(socket) }],
    maxSniffBytes: limits.maxKeyBytes * 3 + 16_384,
  });
  const { port } = await mux.listen('127.0.0.1', 0);
  cleanups.push(() => {
    mux.close();
    mux.destroyConnections();
    api.close();
  });
  return { cache, mux, port };
}

/** One connection; what comes back is kept as text. */
class Client {
  readonly socket: Socket;
  text = '';
  isEnded = false;
  isClosed = false;
  error: NodeJS.ErrnoException | undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.setNoDelay(true);
    this.socket.on('data', (chunk) => {
      this.text += chunk.toString('latin1');
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error;
    });
    this.socket.on('end', () => {
      this.isEnded = true;
      this.socket.end();
    });
    this.socket.on('close', () => {
      this.isClosed = true;
    });
    cleanups.push(() => void this.socket.destroy());
  }

  send(bytes: string | Uint8Array): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    return this;
  }

  /** The statuses that have come, in order. */
  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d\d\d)/g)].map((match) => Number(match[1]));
  }

  async answers(count: number): Promise<void> {
    await until(`${count} answers, have: ${this.text.slice(0, 300)}`, () => this.statuses.length >= count);
  }

  async closed(): Promise<void> {
    await until('the connection ends', () => this.isClosed);
  }
}

const get = (key: string, headers = ''): string => `GET /${key} HTTP/1.1\r\nHost: h\r\n${headers}\r\n`;
const post = (key: string, body: string, headers = ''): string =>
  `POST /${key} HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;

test('requests sent together on one connection are answered in their order, and the connection stays', async () => {
  const { cache, mux, port } = await start();
  const client = new Client(port);
  client.send(post('a', 'one') + get('a') + get('missing') + post('a', 'two') + get('a'));
  await client.answers(5);
  assert.deepEqual(client.statuses, [200, 200, 404, 200, 200]);
  assert.match(client.text, /one[\s\S]*no such key[\s\S]*two/);
  assert.equal(cache.commands.length, 2);
  client.send(get('a'));
  await client.answers(6);
  assert.equal(mux.stats().accepted['http'], 1);
});

test('a slow answer is not overtaken by the answers of later requests', async () => {
  const { cache, port } = await start();
  let open: () => void = () => {};
  cache.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const client = new Client(port);
  client.send(post('a', 'one') + get('-/live'));
  await until('the write waits', () => cache.commands.length === 1);
  assert.equal(client.text, '');
  open();
  await client.answers(2);
  assert.match(client.text, /etag: "1"[\s\S]*\{"live":true\}/i);
});

test('requests sent together are applied in their order; only reads may run beside each other', async () => {
  const { cache, port } = await start();
  const client = new Client(port);
  let reads = 0;
  cache.onRead = () => void reads++;
  for (let i = 0; i < 50; i++) client.send(post('a', `v${i}`) + get('a').replace('GET', 'DELETE'));
  client.send(get('a') + post('a', 'last') + get('a'));
  await client.answers(103);
  assert.deepEqual(client.statuses, [...new Array<number>(100).fill(200), 404, 200, 200]);
  assert.ok(client.text.endsWith('last'));

  let open: () => void = () => {};
  cache.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  reads = 0;
  client.send(get('a') + get('b') + get('c').replace('GET', 'HEAD'));
  await until('all three are under way', () => reads === 3);
  open();
  await client.answers(106);
});

test('a client that sends without end and never waits is cut off, and what it asked for stays bounded', async () => {
  const { cache, mux, port } = await start();
  cache.gate = new Promise(() => {});
  let reads = 0;
  cache.onRead = () => void reads++;
  const client = new Client(port);
  client.send(get('k').repeat(1_000));
  await until('a thousand are under way', () => reads === 1_000);
  client.send(get('k').repeat(5_000));
  await client.closed();
  await until('it is gone', () => mux.stats().open === 0);
  assert.equal(reads, 1_000);
});

test('HEAD tells what GET would, without the value', async () => {
  const { port } = await start();
  const client = new Client(port);
  client.send(post('a', 'four') + get('a').replace('GET', 'HEAD') + get('none').replace('GET', 'HEAD') + get('a'));
  await client.answers(4);
  await until('the last value', () => client.text.endsWith('four'));
  assert.deepEqual(client.statuses, [200, 200, 404, 200]);
  assert.equal(client.text.match(/four/g)?.length, 1);
  assert.equal(client.text.match(/content-length: 4\r\n/gi)?.length, 2);
  assert.equal(client.text.match(/etag: "1"/gi)?.length, 3);
});

test('a body may come in chunks, cut anywhere', async () => {
  const { cache, port } = await start();
  const whole =
    'POST /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n';
  for (const size of [1, 5, 1_000]) {
    const client = new Client(port);
    for (let at = 0; at < whole.length; at += size) {
      client.send(whole.slice(at, at + size));
      await turn(1);
    }
    await client.answers(1);
    assert.deepEqual(client.statuses, [200]);
    assert.equal(Buffer.from(cache.values.get('k')!.value).toString(), 'abcdefg');
    cache.values.clear();
  }
});

test('a client that asks before it sends its body is told to go on, or at once that it is too large', async () => {
  const { cache, port } = await start();
  const client = new Client(port);
  client.send('PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n');
  await client.answers(1);
  assert.deepEqual(client.statuses, [100]);
  client.send('abc');
  await client.answers(2);
  assert.deepEqual(client.statuses, [100, 200]);
  const large = new Client(port);
  large.send('PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n');
  await large.answers(1);
  assert.deepEqual(large.statuses, [413]);
  assert.equal(cache.commands.length, 1);
});

test('a value of exactly the limit is taken and one byte more is 413, with and without a length', async () => {
  const { cache, port } = await start();
  const chunked = (body: string): string =>
    `PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  for (const [request, status] of [
    [post('k', 'x'.repeat(1_000)), 200],
    [chunked('x'.repeat(1_000)), 200],
    [post('k', 'x'.repeat(1_001)), 413],
    [chunked('x'.repeat(1_001)), 413],
  ] as const) {
    const client = new Client(port);
    client.send(request);
    await client.answers(1);
    assert.deepEqual(client.statuses, [status]);
    if (status === 413) assert.match(client.text, /at most 1000 are allowed \(--max-value-bytes\)/);
  }
  assert.equal(cache.commands.length, 2);
});

test('a client that sends megabytes too many still reads why it was refused', async () => {
  const { cache, port } = await start();
  for (let round = 0; round < 5; round++) {
    const client = new Client(port);
    client.send(`PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n`);
    for (let i = 0; i < 40; i++) client.send(new Uint8Array(100_000));
    await client.closed();
    assert.deepEqual(client.statuses, [413], String(client.error));
  }
  assert.equal(cache.commands.length, 0);
});

test('a body that ends before its length is never a value', async () => {
  const { cache, mux, port } = await start();
  const half = new Client(port);
  half.send('PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc');
  half.socket.end();
  await half.closed();
  assert.deepEqual(half.statuses, [400]);
  const reset = new Client(port);
  await once(reset.socket, 'connect');
  reset.send('PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc');
  await until('it came', () => mux.stats().accepted['http'] === 2);
  reset.socket.resetAndDestroy();
  const chunked = new Client(port);
  chunked.send('PUT /k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc');
  chunked.socket.end();
  await chunked.closed();
  await until('all are gone', () => mux.stats().open === 0);
  assert.deepEqual(cache.commands, []);
});

test('a body that breaks off is told at once also where the request names an upgrade', async () => {
  const { cache, port } = await start();
  const upgrade = 'Connection: upgrade\r\nUpgrade: h2c\r\n';
  const whole = new Client(port).send(post('whole', 'v', upgrade));
  await whole.answers(1);
  assert.deepEqual(whole.statuses, [200], 'a whole one is a request like any other');
  for (const rest of ['Content-Length: 30\r\n\r\nabc', 'Transfer-Encoding: chunked\r\n\r\nno chunk\r\n']) {
    const client = new Client(port).send(`POST /k HTTP/1.1\r\nHost: h\r\n${upgrade}${rest}`);
    client.socket.end();
    await client.closed();
    assert.deepEqual(client.statuses, [400]);
  }
  assert.deepEqual([...cache.values.keys()], ['whole']);
});

test('a client that ends its side after the request gets its answer', async () => {
  const { cache, port } = await start();
  let open: () => void = () => {};
  cache.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const client = new Client(port);
  client.send(post('k', 'abc'));
  client.socket.end();
  await until('it came', () => cache.commands.length === 1);
  setImmediate(open);
  await client.answers(1);
  assert.deepEqual(client.statuses, [200]);
});

test('a client that goes away while it waits harms nobody', async () => {
  const { cache, mux, port } = await start();
  let open: () => void = () => {};
  cache.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const gone = new Client(port);
  gone.send(post('k', 'abc') + get('k'));
  await until('it came', () => cache.commands.length === 1);
  gone.socket.resetAndDestroy();
  await until('it is gone', () => mux.stats().open === 0);
  open();
  const client = new Client(port);
  client.send(get('k'));
  await client.answers(1);
  assert.deepEqual(client.statuses, [200]);
});

test('garbage after a request does not take the place of its answer', async () => {
  const { cache, port } = await start();
  let open: () => void = () => {};
  cache.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const client = new Client(port);
  client.send(`${post('k', 'abc')}THIS IS NO REQUEST\r\n\r\n`);
  await until('the write waits', () => cache.commands.length === 1);
  assert.equal(client.text, '');
  open();
  await client.closed();
  assert.deepEqual(client.statuses, [200, 400]);
});

test('headers and keys beyond the bound are 431 or 413, and the longest key in its longest spelling is taken', async () => {
  const { cache, port } = await start();
  const longest = new Client(port);
  longest.send(post('%61'.repeat(65_536), 'v'));
  await longest.answers(1);
  assert.deepEqual(longest.statuses, [200]);
  assert.equal((cache.commands[0] as { key: Uint8Array }).key.length, 65_536);
  for (const [request, status] of [
    [get('k'.repeat(65_537)), 413],
    [get('k', `X: ${'y'.repeat(300_000)}\r\n`), 431],
    [get('k', `X: ${'y'.repeat(10)}\r\n`.repeat(50_000)), 431],
  ] as const) {
    const client = new Client(port);
    client.send(request);
    await client.answers(1);
    assert.deepEqual(client.statuses, [status]);
  }
});

test('a client that never finishes its headers, or its body, is told after its time and let go', async () => {
  const { mux, port } = await start({ headersTimeoutMs: 100, requestTimeoutMs: 200 });
  const headers = new Client(port);
  headers.send('GET /k HTTP/1.1\r\nHost:');
  const body = new Client(port);
  body.send('PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc');
  await Promise.all([headers.closed(), body.closed()]);
  assert.deepEqual([...headers.statuses, ...body.statuses], [408, 408]);
  await until('both are gone', () => mux.stats().open === 0);
});

test('every error is a line of text with its code in dcache-error, on a key, on a page and on what is no request', async () => {
  const refuseAll = { checkHost: hostCheck([]) };
  const { port } = await start({ headersTimeoutMs: 100, ...refuseAll });
  const lanes = ['Connection: close\r\n', 'Host: localhost\r\n'];
  const line = (method: string, target: string, more = ''): string =>
    `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${more}\r\n`;
  const rows: [request: string, status: number, code: string, text: RegExp][] = [
    [line('GET', '/none'), 404, 'not-found', /^no such key\n$/],
    [line('DELETE', '/none'), 404, 'not-found', /^no such key\n$/],
    [line('GET', '/-/none'), 404, 'not-found', /^no such page\n$/],
    [line('PATCH', '/k'), 405, 'method-not-allowed', /use GET, HEAD, POST, PUT, DELETE\n$/],
    [line('DELETE', '/-/live'), 405, 'method-not-allowed', /use GET, HEAD\n$/],
    [line('GET', '/k?x=1'), 400, 'bad-argument', /takes no parameter "x"; it takes consistency /],
    [line('GET', '/-/live?verbose=1'), 400, 'bad-argument', /^\/-\/live takes no parameter "verbose"/],
    [line('PUT', '/k?tll=5s', 'Content-Length: 0\r\n'), 400, 'bad-argument', /takes no parameter "tll"; it takes ttl /],
    [line('GET', '/k', 'Origin: http://evil.example\r\n'), 403, 'forbidden', /may not use this server/],
    [line('GET', '/-/live', 'Origin: http://evil.example\r\n'), 403, 'forbidden', /may not use this server/],
    [line('PUT', '/k', 'Content-Length: 0\r\nIf-Match: *\r\n'), 412, 'precondition-failed', /does not exist\n$/],
    [line('PUT', '/k', 'Content-Length: 5000\r\n'), 413, 'too-large', /at most 1000 are allowed/],
    [line('GET', '/k', `X: ${'y'.repeat(300_000)}\r\n`), 431, 'too-large', /headers are too large\n$/],
    [line('PUT', '/k', 'Expect: the impossible\r\n'), 417, 'bad-argument', /^Expect takes 100-continue/],
    ['GET /k HTTP/1.1\r\nAccept: */*\r\n\r\n', 400, 'bad-argument', /needs one Host header, this one has 0/],
    [line('GET', '/k', 'Host: other\r\n'), 400, 'bad-argument', /needs one Host header, this one has 2/],
    ['GET /k HTTP/1.1\r\nno header\r\n\r\n', 400, 'bad-argument', /no valid|not a valid HTTP/],
    ['GET /k HTTP/1.1\r\nHost:', 408, 'timeout', /^the request did not come in time\n$/],
  ];
  for (const [request, status, code, text] of rows)
    for (const lane of lanes) {
      const client = new Client(port);
      client.send(request.replace('Connection: close\r\n', lane === lanes[0] ? lane : ''));
      await client.answers(1);
      const said = (): string => client.text.split('\r\n\r\n')[1] ?? '';
      await until(`its text: ${client.text.slice(0, 500)}`, () => said().endsWith('\n'));
      assert.deepEqual(client.statuses, [status], request.slice(0, 80));
      assert.match(said(), text);
      assert.match(client.text, /\r\ncontent-type: text\/plain; charset=utf-8\r\n/i, request.slice(0, 80));
      assert.match(client.text, new RegExp(`\\r\\ndcache-error: ${code}\\r\\n`, 'i'), request.slice(0, 80));
      assert.match(client.text, new RegExp(`\\r\\ncontent-length: ${Buffer.byteLength(said(), 'latin1')}\\r\\n`, 'i'));
    }
});

test('HEAD of a missing key and page has the headers of GET and no text; Allow names what that path takes', async () => {
  const { port } = await start();
  const client = new Client(port);
  client.send(get('none').replace('GET', 'HEAD') + get('-/none').replace('GET', 'HEAD'));
  client.send(get('k').replace('GET', 'PATCH') + get('-/live?x=1').replace('GET', 'PUT'));
  await client.answers(4);
  assert.deepEqual(client.statuses, [404, 404, 405, 405]);
  assert.equal(client.text.match(/dcache-error: not-found/gi)?.length, 2);
  assert.equal(client.text.match(/no such/g), null);
  assert.deepEqual(
    [...client.text.matchAll(/allow: (.*)\r/gi)].map((match) => match[1]),
    ['GET, HEAD, POST, PUT, DELETE', 'GET, HEAD'],
  );
});

test('who may not write hears that, whatever the condition of the write', async () => {
  const { cache, port } = await start({
    authorize: () => {
      throw new DcacheError('unauthenticated', 'no token');
    },
  });
  for (const etag of ['"1"', 'W/"1"', '"abc"', '*']) {
    const client = new Client(port);
    client.send(`${post('k', 'v', `If-Match: ${etag}\r\n`)}DELETE /k HTTP/1.1\r\nHost: h\r\nIf-Match: ${etag}\r\n\r\n`);
    await client.answers(1);
    assert.equal(client.statuses[0], 401, etag);
  }
  assert.equal(cache.commands.length, 0);
});

test('conditions are judged as RFC 9110 §13 says, in both lanes', async () => {
  const { cache, port } = await start();
  const reset = (): void => {
    cache.values.clear();
    cache.values.set('k', { value: Buffer.from('v'), revision: 7, expiresAtMs: 0, flags: 0 });
  };
  const rows: [method: string, key: string, headers: string, status: number][] = [
    ['GET', 'k', 'If-None-Match: "7"', 304],
    ['GET', 'k', 'If-None-Match: W/"7"', 304],
    ['GET', 'k', 'If-None-Match: "1", "7"', 304],
    ['GET', 'k', 'If-None-Match: *', 304],
    ['GET', 'k', 'If-None-Match: "1"', 200],
    ['GET', 'k', 'If-None-Match: "a,*,b"', 200],
    ['GET', 'k', 'If-None-Match: 7', 400],
    ['HEAD', 'k', 'If-None-Match: "7"', 304],
    ['GET', 'none', 'If-None-Match: *', 404],
    ['GET', 'k', 'If-Match: "7"', 200],
    ['GET', 'k', 'If-Match: "1", "7"', 200],
    ['GET', 'k', 'If-Match: *', 200],
    ['GET', 'k', 'If-Match: W/"7"', 412],
    ['GET', 'k', 'If-Match: "1"', 412],
    ['HEAD', 'k', 'If-Match: "1"', 412],
    ['GET', 'none', 'If-Match: "1"', 404],
    ['GET', 'k', 'If-Match: "7"\r\nIf-None-Match: "7"', 304],
    ['GET', 'k', 'If-Match: "1"\r\nIf-None-Match: "7"', 412],
    ['GET', 'k', 'If-Modified-Since: Sat, 01 Jan 2050 00:00:00 GMT', 200],
    ['PUT', 'k', 'If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT', 200],
    ['PUT', 'k', 'If-Match: "7"', 200],
    ['PUT', 'k', 'If-Match: "1"', 412],
    ['PUT', 'k', 'If-Match: W/"7"', 412],
    ['PUT', 'k', 'If-Match: "1", "7"', 400],
    ['PUT', 'k', 'If-None-Match: *', 412],
    ['PUT', 'k', 'If-None-Match: "7"', 400],
    ['PUT', 'k', 'If-Match: "7"\r\nIf-None-Match: *', 400],
    ['PUT', 'none', 'If-Match: *', 412],
    ['PUT', 'none', 'If-Match: "0"', 412],
    ['PUT', 'k', 'If-Match: "abc"', 412],
    ['PUT', 'k', 'If-Match: 7', 400],
    ['PUT', 'none', 'If-None-Match: *', 200],
    ['DELETE', 'k', 'If-Match: "1"', 412],
    ['DELETE', 'k', 'If-Match: "7"', 200],
    ['DELETE', 'none', 'If-Match: "7"', 404],
    ['DELETE', 'k', 'If-Match: W/"7"', 412],
    ['DELETE', 'none', 'If-Match: *', 404],
    ['DELETE', 'none', 'If-Match: W/"1"', 404],
    ['DELETE', 'none', 'If-Match: "abc"', 404],
    ['DELETE', 'none', 'If-None-Match: *', 404],
  ];
  for (const [method, key, headers, status] of rows)
    for (const lane of ['', 'Connection: close\r\n']) {
      reset();
      const length = method === 'PUT' ? 'Content-Length: 0\r\n' : '';
      const client = new Client(port);
      client.send(`${method} /${key} HTTP/1.1\r\nHost: h\r\n${headers}\r\n${length}${lane}\r\n`);
      await client.answers(1);
      assert.deepEqual(client.statuses, [status], `${method} /${key} ${headers}`);
    }
});

test('each error has its status, a line of text and its name; busy and no-leader say when to come again', async () => {
  const { cache, port } = await start();
  const client = new Client(port);
  const codes = ['busy', 'no-leader', 'unknown-outcome', 'full', 'disk-full', 'stopping', 'internal'] as const;
  for (const [i, code] of codes.entries()) {
    cache.failure = new DcacheError(code, `this is ${code}`);
    client.send(post('k', 'v'));
    await client.answers(i + 1);
    await until('its text', () => client.text.includes(`this is ${code}\n`));
  }
  assert.deepEqual(client.statuses, [429, 503, 504, 507, 507, 503, 500]);
  for (const code of codes) assert.match(client.text, new RegExp(`dcache-error: ${code}\r`, 'i'));
  assert.equal(client.text.match(/retry-after: 1/gi)?.length, 2);
  cache.failure = new TypeError('a fault of the program');
  client.send(get('k'));
  await client.answers(8);
  assert.equal(client.statuses[7], 500);
});

test('methods that there are not, an empty key, and pages that there are not are told with what there is', async () => {
  const { port } = await start();
  const client = new Client(port);
  client.send(get('k').replace('GET', 'OPTIONS') + get('') + get('-/nope') + get('-/live'));
  await client.answers(4);
  assert.deepEqual(client.statuses, [405, 400, 404, 200]);
  assert.match(client.text, /allow: GET, HEAD, POST, PUT, DELETE/i);
});

test('a foreign page’s write is refused before anything is done', async () => {
  const { cache, port } = await start();
  const client = new Client(port);
  client.send(post('k', 'v', 'Origin: http://evil.example\r\n'));
  await client.answers(1);
  assert.deepEqual(client.statuses, [403]);
  assert.equal(cache.commands.length, 0);
});

test('random bytes of every kind end in an answer or the end of the connection, and the server goes on', async () => {
  const { mux, port } = await start({ headersTimeoutMs: 200, requestTimeoutMs: 400 });
  const random = new SeededRandom(11);
  const words = [
    'GET ',
    'POST ',
    '/k',
    ' HTTP/1.1',
    '\r\n',
    '\n',
    'Host: h',
    'Content-Length: ',
    '7',
    '-1',
    '1e9',
    ': ',
  ];
  words.push(
    'Transfer-Encoding: chunked',
    '\r\n\r\n',
    'ffffffff',
    '0',
    '\0',
    '%',
    '%zz',
    'Expect: 100-continue',
    '\xff',
  );
  words.push(
    'Connection: close',
    'Upgrade: h2c',
    'Connection: Upgrade',
    'If-Match: "1"',
    '?ttl=1',
    ' HTTP/1.1\r\nHost: h\r\n',
  );
  const clients: Client[] = [];
  for (let round = 0; round < 150; round++) {
    const client = new Client(port);
    clients.push(client);
    let text = random.below(4) === 0 ? '' : 'PUT /k HTTP/1.1\r\nHost: h\r\n';
    for (let i = random.below(14); i > 0; i--) text += words[random.below(words.length)];
    for (let at = 0; at < text.length; ) {
      const size = 1 + random.below(text.length);
      client.send(text.slice(at, at + size));
      at += size;
    }
    if (random.below(3) > 0) client.socket.end();
    else if (random.below(2) === 0) client.socket.destroy();
  }
  // Some requests are whole and keep their connection: those are told that this was the last one.
  for (const client of clients) client.socket.end();
  await until('every connection is gone', () => mux.stats().open === 0);
  const client = new Client(port);
  client.send(post('k', 'v') + get('k'));
  await client.answers(2);
  assert.deepEqual(client.statuses, [200, 200]);
});

test('an Idempotency-Key stamps the write: one request has one fingerprint, and all it asks for is in it', async () => {
  const { cache, port } = await start();
  const client = new Client(port);
  const key = 'Idempotency-Key: "one"\r\n';
  const asked = [
    post('k', 'v', key),
    post('k', 'v', 'idempotency-key: one\r\n'),
    post('k', 'w', key),
    post('k?ttl=1s', 'v', key),
    post('k', 'v', `${key}Content-Type: text/css\r\n`),
    post('k', 'v', `${key}If-Match: *\r\n`),
    `DELETE /k HTTP/1.1\r\nHost: h\r\n${key}\r\n`,
    post('k', 'v', 'Idempotency-Key: "two"\r\n'),
  ];
  const stamps: { key: Uint8Array; fingerprint: Uint8Array }[] = [];
  const write = cache.write.bind(cache);
  cache.write = (command) => {
    if ('idempotency' in command && command.idempotency) stamps.push(command.idempotency);
    return write(command);
  };
  for (const [at, request] of asked.entries()) {
    client.send(request);
    await client.answers(at + 1);
  }
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  assert.deepEqual(stamps[1], stamps[0], 'quoted or not');
  assert.equal(
    new Set(stamps.slice(1).map(({ fingerprint }) => text(fingerprint))).size,
    6,
    'the last equals the first',
  );
  assert.deepEqual(stamps[7]?.fingerprint, stamps[0]?.fingerprint);
  assert.equal(new Set(stamps.map(({ key }) => text(key))).size, 2);
  client.send(post('k', 'v', 'Idempotency-Key: a b\r\n'));
  await client.answers(asked.length + 1);
  assert.equal(client.statuses.at(-1), 400);
  assert.match(client.text, /Idempotency-Key is "a b"; it takes one key of 1 to 255 visible ASCII characters/);
});

test('all bodies that are coming in share a bound; beyond it a write is 503, and there is room again when they are whole', async () => {
  const { cache, port } = await start({ maxHeldBytes: 1_500 });
  const slow = new Client(port).send(
    `POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(999)}`,
  );
  await until('the slow one has been read', () => slow.socket.bytesWritten > 1_000);
  // It is on its way, but perhaps not there: until then there is room.
  let refused = new Client(port);
  for (;;) {
    // A body that is here with its head is not coming in any more; this one is read as if it were.
    refused = new Client(port).send(post('other', 'y'.repeat(600), 'TE: trailers\r\n'));
    await refused.answers(1);
    if (refused.statuses[0] === 503) break;
  }
  assert.match(refused.text, /retry-after: 1/);
  assert.match(
    refused.text,
    /holds 999 bytes of requests that are still coming in, at most 1500 are allowed; nothing was/,
  );
  const small = new Client(port).send(post('small', 'z'));
  await small.answers(1);
  assert.deepEqual(small.statuses, [200], 'what fits is taken');
  slow.send('x');
  await slow.answers(1);
  assert.deepEqual(slow.statuses, [200]);
  const gone = new Client(port).send('POST /gone HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf of it');
  gone.socket.end();
  await gone.closed();
  const again = new Client(port).send(post('again', 'y'.repeat(1_000)));
  await again.answers(1);
  assert.deepEqual(again.statuses, [200], 'nothing is left of those that are over');
  assert.equal(cache.values.has('gone'), false);
});

test('where only this machine is served without a token, a name that somebody pointed here is refused', async () => {
  const { cache, port } = await start({ checkHost: hostCheck(['cache.example']) });
  cache.values.set('k', { value: Buffer.from('secret'), revision: 1, expiresAtMs: 0, flags: 0 });
  const client = new Client(port);
  const hosts = ['localhost:9200', '127.0.0.1', '[::1]:9200', 'Cache.Example:9200', 'a.localhost', 'evil.example:9200'];
  for (const [at, host] of hosts.entries()) {
    client.send(`GET /k HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await client.answers(at + 1);
  }
  assert.deepEqual(client.statuses, [200, 200, 200, 200, 200, 403]);
  assert.match(
    client.text,
    /this server is not "evil\.example:9200"; without a token it is asked as localhost, by an address/,
  );
});
