import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8 } from '@dcache/base';
import fc from 'fast-check';
import { ReplyType } from './command.js';
import { DcacheError } from './errors.js';
import { checkReply, parseHttpRequest } from './http.js';
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
  assert.equal(parseHttpRequest('GET', '/-/ready?x=1', {}, defaultLimits).kind, 'internal');
  assert.equal(parseHttpRequest('GET', '/%2D/ready', {}, defaultLimits).kind, 'read');
});

test('a ttl is a duration, a level one of three, and nothing else is taken', () => {
  const write = parseHttpRequest('POST', '/k?ttl=1.5h', {}, defaultLimits);
  assert.equal(write.kind === 'write' && write.ttlMs, 5_400_000);
  for (const ttl of ['0', '-1s', '5y', '', '1e9', '9999999999d'])
    refuses(() => parseHttpRequest('PUT', `/k?ttl=${ttl}`, {}, defaultLimits), 'bad-argument', /ttl is/);
  refuses(() => parseHttpRequest('GET', '/k?consistency=strong', {}, defaultLimits), 'bad-argument', /linearizable/);
});

test('conditions are one ETag, any, or none; a form that is not known is refused', () => {
  const parse = (headers: Record<string, string>) => parseHttpRequest('PUT', '/k', headers, defaultLimits);
  assert.deepEqual((parse({ 'if-match': '"42"' }) as { condition: unknown }).condition, { type: 3, revision: 42 });
  assert.deepEqual((parse({ 'if-match': '*' }) as { condition: unknown }).condition, { type: 2, revision: 0 });
  assert.deepEqual((parse({ 'if-none-match': '*' }) as { condition: unknown }).condition, { type: 1, revision: 0 });
  for (const headers of [{ 'if-match': 'W/"1"' }, { 'if-none-match': '"1"' }, { 'if-match': '"1", "2"' }])
    refuses(() => parse(headers as unknown as Record<string, string>), 'bad-argument', /If-/);
});

test('each reply is a revision or the error HTTP shows', () => {
  assert.equal(checkReply({ type: ReplyType.ok, revision: 5 }), 5);
  refuses(() => checkReply({ type: ReplyType.notFound, revision: 0 }), 'not-found', /no such key/);
  refuses(() => checkReply({ type: ReplyType.preconditionFailed, revision: 3 }), 'precondition-failed', /is 3/);
  refuses(() => checkReply({ type: ReplyType.full, revision: 0 }), 'full', /none/);
});
