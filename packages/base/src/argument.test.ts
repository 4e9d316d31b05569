import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArgumentError, show } from './argument.js';

test('a value is shown in one short line, whatever it is', () => {
  const odd = { toString: () => assert.fail('it is not asked') };
  assert.deepEqual([undefined, null, 5, 7n, true, 'a\n"b"', [1, 2], odd, () => 1, Symbol('s')].map(show), [
    'undefined',
    'null',
    '5',
    '7',
    'true',
    '"a\\n\\"b\\""',
    'an array of 2',
    'an object',
    'a function',
    'Symbol(s)',
  ]);
  assert.equal(show('x'.repeat(1_000)), `"${'x'.repeat(80)}…"`);
});

test('an argument error is a TypeError with a code', () => {
  const error = new ArgumentError('ttl is 0');
  assert.ok(error instanceof TypeError);
  assert.equal(error.code, 'bad-argument');
});
