import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { turn, until } from '@dcache/testing';
import { Client, post, start } from './http.test.helper.js';

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
