import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DcacheError } from './errors.js';
import { parseIdempotencyKey } from './idempotency-key.js';

test('a quoted key and the bare one are the same key', () => {
  assert.equal(parseIdempotencyKey('"8e03978e-40d5"'), '8e03978e-40d5');
  assert.equal(parseIdempotencyKey('8e03978e-40d5'), '8e03978e-40d5');
  assert.equal(parseIdempotencyKey('"with a space, a \\" and a \\\\"'), 'with a space, a " and a \\');
  assert.equal(parseIdempotencyKey('x'.repeat(255))?.length, 255);
  assert.equal(parseIdempotencyKey(undefined), undefined);
});

test('what names no key, or several, is refused with what is allowed', () => {
  const wrong = ['', '""', '"open', 'a b', 'a, b', '"a", "b"', '"a";p=1', 'é', '"\\x"', 'x'.repeat(256), ['a', 'b']];
  for (const header of wrong)
    assert.throws(
      () => parseIdempotencyKey(header),
      (error) =>
        error instanceof DcacheError &&
        error.code === 'bad-argument' &&
        /^Idempotency-Key is .*; it takes one key of 1 to 255 visible ASCII characters/.test(error.message),
      JSON.stringify(header),
    );
});
