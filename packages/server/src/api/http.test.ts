import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger, systemClock } from '@dcache/base';
import { DcacheError } from '@dcache/protocol';
import { until } from '@dcache/testing';
import { RequestMetrics } from '../observe/metrics-requests.js';
import { SlowLog } from '../observe/slow-log.js';
import { Client, get, post, start } from './http.test.helper.js';
import { hostCheck } from './origin.js';

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

test('a refused page of the server is an error but no read of a client; the look for whether a token is needed is neither', async () => {
  const metrics = new RequestMetrics(new SlowLog(0, systemClock, silentLogger));
  const authorize = () => {
    throw new DcacheError('unauthenticated', 'this server asks for a token');
  };
  const { port } = await start({ metrics, authorize });
  const client = new Client(port);
  const ask = (path: string, more = '') => client.send(`GET ${path} HTTP/1.1\r\nHost: h\r\n${more}\r\n`);
  const counted = () => ({
    errors: [...metrics.errors()].map(({ count }) => count),
    reads: metrics.of('http', 'get').count,
  });
  ask('/-/overview');
  await client.answers(1);
  assert.deepEqual(counted(), { errors: [], reads: 0 });
  ask('/-/overview', 'Authorization: Bearer wrong\r\n');
  await client.answers(2);
  assert.deepEqual(counted(), { errors: [1], reads: 0 });
  ask('/-/status');
  await client.answers(3);
  assert.deepEqual(counted(), { errors: [2], reads: 0 });
  ask('/k');
  await client.answers(4);
  assert.deepEqual(counted(), { errors: [3], reads: 1 });
  assert.deepEqual(client.statuses, [401, 401, 401, 401]);
});
