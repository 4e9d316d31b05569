import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8 } from '@dcache/base';
import fc from 'fast-check';
import { ReplyType } from './command.js';
import { DcacheError } from './errors.js';
import { checkReply, isInternalPath, parseHttpRequest } from './http.js';
import { defaultLimits } from './limits.js';

function keyOf(target: string): string {
  const request = parseHttpRequest('GET', target, {}, defaultLimits);
  assert.equal(request.kind, 'read');
  return request.kind === 'read' ? fromUtf8(request.key) : '';
}

function refuses(run: () => unknown, code: string, message: RegExp): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof DcacheError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  });
}

test('the key is the path without its first slash, percent-decoded', () => {
  assert.equal(keyOf('/hello'), 'hello');
  assert.equal(keyOf('/a/b?consistency=local'), 'a/b');
  assert.equal(keyOf('/a%20b%2fc'), 'a b/c');
  assert.equal(keyOf('//a'), '/a');
  assert.equal(keyOf('/../x'), '../x');
  assert.equal(keyOf('/%C3%A9'), 'é');
  assert.equal(keyOf('/%2D/x'), '-/x');
});

test('every key of bytes can be written in a path', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), (key) => {
      const path = `/${[...key].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')}`;
      const request = parseHttpRequest('DELETE', path, {}, defaultLimits);
      assert.deepEqual(request.kind === 'delete' && [...request.key], [...key]);
    }),
  );
});

test('an empty key, a broken escape and a key too long are refused with what is allowed', () => {
  refuses(() => parseHttpRequest('POST', '/', {}, defaultLimits), 'bad-argument', /1 to 65536 bytes/);
  refuses(() => parseHttpRequest('GET', '/a%4', {}, defaultLimits), 'bad-argument', /"%4"/);
  refuses(() => parseHttpRequest('GET', '/%zz', {}, defaultLimits), 'bad-argument', /%25/);
  refuses(() => parseHttpRequest('GET', `/${'k'.repeat(65_537)}`, {}, defaultLimits), 'too-large', /65537 bytes/);
  refuses(() => parseHttpRequest('PATCH', '/k', {}, defaultLimits), 'method-not-allowed', /GET, HEAD/);
  refuses(() => parseHttpRequest('GET', '*', {}, defaultLimits), 'bad-argument', /not a path/);
});

test("paths of the server's own are told by the raw path", () => {
  // A question mark alone asks for nothing.
  for (const target of ['/-/ready', '/-/ready?', '/-?', '/-/?&'])
    assert.equal(parseHttpRequest('GET', target, {}, defaultLimits).kind, 'internal');
  assert.equal(parseHttpRequest('GET', '/%2D/ready', {}, defaultLimits).kind, 'read');
  for (const target of ['/-', '/-/', '/-/live'])
    assert.equal(parseHttpRequest('GET', target, {}, defaultLimits).kind, 'internal', target);
  for (const target of ['/-', '/-?x', '/-/', '/-/live?x']) assert.equal(isInternalPath(target), true, target);
  for (const target of ['/-a', '/--/', '/', '/a/-/']) assert.equal(isInternalPath(target), false, target);
});

test('a ttl is a duration, a level one of three, and nothing else is taken', () => {
  const write = parseHttpRequest('POST', '/k?ttl=1.5h', {}, defaultLimits);
  assert.equal(write.kind === 'write' && write.ttlMs, 5_400_000);
  const bare = parseHttpRequest('PUT', '/k?ttl=5', {}, defaultLimits);
  assert.equal(bare.kind === 'write' && bare.ttlMs, 5, 'a bare number counts milliseconds');
  const longest = parseHttpRequest('PUT', '/k?ttl=36500d', {}, defaultLimits);
  assert.equal(longest.kind === 'write' && longest.ttlMs, 36_500 * 86_400_000);
  for (const ttl of [
    '0',
    '0s',
    '0.0001ms',
    '-1s',
    '-5',
    '5y',
    '',
    '1e9',
    '5%20s',
    '5+s',
    '+5s',
    '.5s',
    '0x5',
    'NaN',
    '36501d',
    '9999999999d',
    '9'.repeat(400),
  ])
    refuses(() => parseHttpRequest('PUT', `/k?ttl=${ttl}`, {}, defaultLimits), 'bad-argument', /ttl is/);
  refuses(() => parseHttpRequest('GET', '/k?consistency=strong', {}, defaultLimits), 'bad-argument', /linearizable/);
});

test('a page of the server takes no parameter, and says so', () => {
  for (const method of ['GET', 'HEAD'])
    for (const path of ['/-', '/-/', '/-/ready', '/-/metrics', '/-/none'])
      assert.throws(() => parseHttpRequest(method, `${path}?verbose=1&y`, {}, defaultLimits), {
        code: 'bad-argument',
        message: `${path} takes no parameter "verbose"; it takes none`,
      });
  assert.throws(() => parseHttpRequest('GET', '/-/ready?=', {}, defaultLimits), { code: 'bad-argument' });
  // Here the method is what is wrong, and is told as such.
  assert.equal(parseHttpRequest('POST', '/-/ready?x=1', {}, defaultLimits).kind, 'internal');
});

test('a parameter that the method does not take, or that comes twice, is refused with those that it takes', () => {
  const refused: [method: string, query: string, message: RegExp][] = [
    ['POST', 'tll=5s', /^POST takes no parameter "tll"; it takes ttl \(a \? of the key is written %3F\)$/],
    ['PUT', 'ttl=5s&x', /no parameter "x"; it takes ttl /],
    ['PUT', 'TTL=5s', /no parameter "TTL"; it takes ttl /],
    ['PUT', 'consistency=local', /no parameter "consistency"; it takes ttl /],
    ['GET', 'ttl=5s', /no parameter "ttl"; it takes consistency /],
    ['HEAD', 'ttl=5s', /no parameter "ttl"; it takes consistency /],
    ['DELETE', 'consistency=local', /no parameter "consistency"; it takes none /],
    ['DELETE', 'ttl=5s', /no parameter "ttl"; it takes none /],
    ['GET', '__proto__=1', /no parameter "__proto__"/],
    ['GET', '=local', /no parameter ""/],
    ['GET', '?consistency=local', /no parameter "\?consistency"/],
    ['PUT', 'ttl=5s&ttl=6s', /^the parameter ttl is given twice$/],
    ['PUT', 'ttl=&ttl=5s', /^the parameter ttl is given twice$/],
    ['GET', 'consistency=local&consistency=local', /^the parameter consistency is given twice$/],
  ];
  for (const [method, query, message] of refused)
    refuses(() => parseHttpRequest(method, `/k?${query}`, {}, defaultLimits), 'bad-argument', message);
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const request = parseHttpRequest(method, '/k?', {}, defaultLimits);
    assert.equal('key' in request && fromUtf8(request.key), 'k', 'nothing behind the ? is nothing');
  }
  assert.equal(keyOf('/k%3Ftll=5s'), 'k?tll=5s');
  refuses(() => parseHttpRequest('PATCH', '/k?x=1', {}, defaultLimits), 'method-not-allowed', /GET, HEAD/);
});

test('each reply is a revision or the error HTTP shows', () => {
  assert.equal(checkReply({ type: ReplyType.ok, revision: 5 }), 5);
  refuses(() => checkReply({ type: ReplyType.notFound, revision: 0 }), 'not-found', /no such key/);
  refuses(() => checkReply({ type: ReplyType.preconditionFailed, revision: 3 }), 'precondition-failed', /is 3/);
  refuses(
    () => checkReply({ type: ReplyType.full, revision: 0 }),
    'full',
    /none; delete keys, or found the cluster anew with a larger --max-bytes$/,
  );
});
