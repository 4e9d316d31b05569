import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { contentTypeOf, hasTypePrefix, maxTypePrefixBytes, splitTyped, typedValue } from './content-type.js';

const value = utf8('the value');

test('the numbers of types are in logs and snapshots, and stay', () => {
  assert.equal(contentTypeOf(0), 'application/octet-stream');
  assert.equal(contentTypeOf(2), 'text/plain; charset=utf-8');
  assert.equal(contentTypeOf(3), 'application/json');
  assert.equal(contentTypeOf(39), 'image/svg+xml');
  assert.equal(contentTypeOf(49), 'application/sql');
  assert.equal(contentTypeOf(50), 'application/x-www-form-urlencoded');
  assert.equal(contentTypeOf(51), 'application/octet-stream', 'a newer version’s');
  for (let number = 0; number < 51; number++)
    assert.deepEqual(typedValue(contentTypeOf(number), value), { value, flags: number });
});

test('a type that is not in the table stands before the value and comes back as it was, to the letter', () => {
  const others = [
    'Text/Plain;charset=UTF-8',
    'multipart/form-data; boundary=x',
    'image/x-é',
    '__proto__',
    'a',
    'x'.repeat(255),
  ];
  for (const type of others) {
    const stored = typedValue(type, value);
    assert.ok(hasTypePrefix(stored.flags), type);
    assert.ok(stored.value.length <= value.length + maxTypePrefixBytes);
    const split = splitTyped(stored.value);
    assert.equal(split.contentType, type);
    assert.deepEqual(new Uint8Array(split.value), new Uint8Array(value));
  }
  assert.deepEqual(typedValue('a', utf8('v')), { value: Uint8Array.of(1, 0x61, 0x76), flags: 0x100 }, 'for ever');
  assert.deepEqual(splitTyped(typedValue('a', new Uint8Array()).value).value.length, 0);
});

test('a stored type that would break a header is bytes', () => {
  const stored = typedValue('a\r\nset-cookie: x', value);
  assert.equal(splitTyped(stored.value).contentType, 'application/octet-stream');
});

test('no type is bytes, and one beyond 255 bytes is refused', () => {
  for (const none of [undefined, '']) assert.deepEqual(typedValue(none, value), { value, flags: 0 });
  assert.ok(!hasTypePrefix(0));
  assert.throws(() => typedValue('x'.repeat(256), value), { code: 'bad-argument', message: /256 bytes; at most 255/ });
});

test('bits above the lowest eight are others’ and change no type', () => {
  assert.equal(contentTypeOf(0x0fff_fe03), 'application/json');
});
