import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { PlainRequests } from './plain-request.js';

const read = (text: string) => new PlainRequests().read(Buffer.from(text, 'latin1'));

test('a plain request is read, with its names in lower case and its values without the spaces around them', () => {
  const text =
    'PUT /a%20b?ttl=5s HTTP/1.1\r\nHost:h:1\r\nContent-Length: 3\r\nX-One: \t a b \t\r\nX-None:\r\n\r\nabcde';
  assert.deepEqual(read(text), {
    method: 'PUT',
    target: '/a%20b?ttl=5s',
    headers: Object.assign(Object.create(null), { host: 'h:1', 'content-length': '3', 'x-one': 'a b', 'x-none': '' }),
    bodyStart: text.length - 5,
    bodyBytes: 3,
  });
});

test('whatever is rare or doubtful is left to the complete parser', () => {
  const head = 'POST /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n';
  const cases: Record<string, string> = {
    'another method': 'PATCH /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n',
    'a method of Object': 'constructor /k HTTP/1.1\r\nHost: h\r\n\r\n',
    'a method in lower case': 'get /k HTTP/1.1\r\nHost: h\r\n\r\n',
    'HTTP/1.0': 'GET /k HTTP/1.0\r\nHost: h\r\n\r\n',
    'a version and more': 'GET /k HTTP/1.1x\r\nHost: h\r\n\r\n',
    'two spaces': 'GET  /k HTTP/1.1\r\nHost: h\r\n\r\n',
    'a target with a tab': 'GET /\tk HTTP/1.1\r\nHost: h\r\n\r\n',
    'a target with bytes above ASCII': 'GET /\xe4 HTTP/1.1\r\nHost: h\r\n\r\n',
    'a line before the request': '\r\nGET /k HTTP/1.1\r\nHost: h\r\n\r\n',
    'no Host': 'GET /k HTTP/1.1\r\n\r\n',
    'two of a header': 'GET /k HTTP/1.1\r\nHost: h\r\nX: 1\r\nx: 2\r\n\r\n',
    'two lengths': `${head}Content-Length: 1\r\n\r\nx`,
    'a length that is none': 'POST /k HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx',
    'a list of lengths': 'POST /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\nx',
    'a write without a length': 'POST /k HTTP/1.1\r\nHost: h\r\n\r\n',
    'a read with a body': 'GET /k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx',
    'a body in chunks': `${head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'a question before the body': `${head}Expect: 100-continue\r\n\r\n`,
    'a connection that is to end': `${head}Connection: close\r\n\r\nx`,
    'an upgrade': `${head}Connection: keep-alive, Upgrade\r\n\r\nx`,
    'a header without a colon': `${head}Nothing\r\n\r\nx`,
    'a space before the colon': `${head}X : 1\r\n\r\nx`,
    'a line that goes on': `${head}X: 1\r\n 2\r\n\r\nx`,
    'a bare line feed': `${head}X: 1\nY: 2\r\n\r\nx`,
    'a bare carriage return': `${head}X: 1\rY: 2\r\n\r\nx`,
    'a value with a zero': `${head}X: \0\r\n\r\nx`,
    'a value with bytes above ASCII': `${head}X: \xe4\r\n\r\nx`,
    'a name of nothing': `${head}: 1\r\n\r\nx`,
    'a head without end': `GET /${'k'.repeat(20_000)}`,
    'a long head': `GET /${'k'.repeat(20_000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
    'many headers': `${head}${Array.from({ length: 70 }, (_, i) => `x${i}: 1\r\n`).join('')}\r\nx`,
  };
  for (const [what, text] of Object.entries(cases)) assert.equal(read(text), 'other', what);
  assert.equal(read('GET /k HTTP/1.1\r\nHost: h\r\n'), 'more');
});

test('requests with the same header lines share their headers, and others do not', () => {
  const requests = new PlainRequests();
  const one = (text: string) => {
    const request = requests.read(Buffer.from(text));
    assert.ok(typeof request === 'object');
    return request;
  };
  const first = one('POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx');
  assert.equal(one('PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\ny').headers, first.headers);
  assert.equal(one('PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nyy').bodyBytes, 2);
  assert.equal(requests.read(Buffer.from('GET /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nyy')), 'other');
  assert.equal(one('GET /b HTTP/1.1\r\nHost: h\r\n\r\n').bodyBytes, 0);
});

test('what is read here, node:http reads as the same request', async () => {
  const seen: unknown[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { method, url, headers } = request;
    seen.push({ method, url, headers: { ...headers }, body: Buffer.concat(parts).toString('latin1') });
    response.end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const random = new SeededRandom(5);
  const pick = <Value>(values: readonly Value[]): Value => values[random.below(values.length)]!;
  let plain = 0;
  for (let i = 0; i < 10_000; i++) {
    const lines = [
      `${pick(['GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'get', 'PATCH'])}${pick([' ', ' ', ' ', '  '])}${pick(['/k', '/a?b=c', '//x/..', '*', '/%zz', 'http://h/k', '/\t', '/;~', ''])} HTTP/1.${pick([1, 1, 1, 0])}`,
      pick(['Host: h', 'Host: h', 'host:h', 'Host : h']),
      pick([
        'Content-Length: 3',
        'Content-Length: 3',
        'content-length:3',
        'Content-Length: 03',
        'Content-Length: 0x3',
        'Content-Length: 0',
        'Content-Length:',
        'A: b',
      ]),
      pick([
        'X: 1',
        'X-y_z:\t2 ',
        'X:',
        'X: "a, b"; c=\\d',
        'X: 1\n',
        ' folded',
        'Connection: keep-alive',
        'Connection: KEEP-ALIVE',
        'Transfer-Encoding: chunked',
        'If-Match: "1"',
        'If-None-Match: *',
      ]),
      pick(['Y: 1', 'Host: i', 'Cookie: a=b', 'Y: \x01', 'Set-Cookie: x', 'Age: 1', '__proto__: 1']),
    ];
    const text = `${lines.join('\r\n')}\r\n\r\n${pick(['abc', 'abc', 'ab', '', 'abcd'])}`;
    const request = read(text);
    if (typeof request !== 'object' || text.length !== request.bodyStart + request.bodyBytes) continue;
    plain++;
    seen.length = 0;
    const socket = connect(port, '127.0.0.1');
    socket.end(Buffer.from(text, 'latin1'));
    socket.resume();
    await once(socket, 'close');
    const { method, target, headers, bodyStart } = request;
    assert.deepEqual(
      seen,
      [{ method, url: target, headers: { ...headers }, body: text.slice(bodyStart) }],
      JSON.stringify(text),
    );
  }
  server.close();
  assert.ok(plain > 60, `${plain} of them were plain`);
});
