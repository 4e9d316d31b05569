import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contentTypeFlags, contentTypeOf } from './content-type.js';

test('the numbers of types are in logs and snapshots, and stay', () => {
  assert.equal(contentTypeOf(0), 'application/octet-stream');
  assert.equal(contentTypeOf(2), 'text/plain; charset=utf-8');
  assert.equal(contentTypeOf(3), 'application/json');
  assert.equal(contentTypeOf(39), 'image/svg+xml');
  assert.equal(contentTypeOf(49), 'application/sql');
  assert.equal(contentTypeOf(50), 'application/octet-stream', 'a newer version’s');
  for (let number = 0; number < 50; number++) assert.equal(contentTypeFlags(contentTypeOf(number)), number);
});

test('spellings of one type are one, and what is not in the table is not kept', () => {
  assert.equal(contentTypeOf(contentTypeFlags('Text/Plain;charset=UTF-8')), 'text/plain; charset=utf-8');
  assert.equal(contentTypeOf(contentTypeFlags('application/JSON ; charset="utf8"')), 'application/json; charset=utf-8');
  for (const other of [undefined, '', 'application/x-www-form-urlencoded', 'text/plain; charset=latin1', '__proto__'])
    assert.equal(contentTypeFlags(other), 0, other);
});

test('bits above the lowest eight are others’ and change no type', () => {
  assert.equal(contentTypeOf(0x0fff_ff03), 'application/json');
});
