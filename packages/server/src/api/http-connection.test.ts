import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { until } from '@dcache/testing';
import { Client, get, post, start } from './http.test.helper.js';

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
