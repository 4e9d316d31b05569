import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BytesError } from '@dcache/base';
import fc from 'fast-check';
import { CacheError } from '../errors.js';
import { createCopier } from './copy.js';
import { decodeValue } from './decode.js';
import { encodeValue } from './encode.js';

const roundTrip = (value: unknown): unknown => decodeValue(encodeValue(value)).value;

const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withTypedArray: true,
  withSparseArray: true,
  withBoxedValues: true,
});

test('what is encoded is decoded as structuredClone copies it', () => {
  fc.assert(
    fc.property(anything, (value) => {
      // Node 20's assertion takes no two invalid dates for equal, not even a date for itself; they have a test of their own.
      fc.pre(!fc.stringify(value).includes('Date(NaN)'));
      assert.deepStrictEqual(roundTrip(value), structuredClone(value));
    }),
    { numRuns: 500 },
  );
});

test('an invalid date stays an invalid date', () => {
  const date = roundTrip(new Date(Number.NaN));
  assert.ok(date instanceof Date && Number.isNaN(date.getTime()));
});

test('text of every kind survives: Latin-1, other letters, lone surrogates, long ones', () => {
  for (const text of ['', 'é'.repeat(40), 'ÿ', '日本', '😀', '\ud800', `x${'\udc00'.repeat(50)}`, 'a'.repeat(100_000)])
    assert.equal(roundTrip(text), text);
});

test('numbers keep their kind: minus zero, NaN, infinities, large integers', () => {
  for (const value of [0, -0, -1, NaN, Infinity, -Infinity, 2 ** 53 - 1, -(2 ** 53), 2 ** 60, 1.5])
    assert.ok(Object.is(roundTrip(value), value), String(value));
});

test('shared and circular references are kept, past a handful of objects too', () => {
  const shared = { name: 'shared' };
  const value: Record<string, unknown> = { first: shared, second: shared, map: new Map([[shared, shared]]) };
  value['self'] = value;
  for (let i = 0; i < 40; i++) value[`part${i}`] = { i, shared };
  const copy = roundTrip(value) as Record<string, unknown>;
  assert.equal(copy['self'], copy);
  assert.equal(copy['first'], copy['second']);
  assert.equal((copy['part39'] as Record<string, unknown>)['shared'], copy['first']);
});

test('an error keeps its message, name and cause; a property named __proto__ stays a property', () => {
  const copy = roundTrip(new RangeError('too far', { cause: { at: 3 } })) as Error;
  assert.deepEqual([copy.message, copy.name, copy.cause], ['too far', 'RangeError', { at: 3 }]);
  const hostile = roundTrip(JSON.parse('{"__proto__": {"isAdmin": true}}')) as object;
  assert.equal(Object.getPrototypeOf(hostile), Object.prototype);
  assert.deepEqual(Object.keys(hostile), ['__proto__']);
});

test('a function, a symbol, a promise or shared memory is refused, and the error says where it is', () => {
  const isRefused = (value: unknown, where: RegExp): void =>
    assert.throws(
      () => encodeValue(value),
      (error) => error instanceof CacheError && error.code === 'not-cloneable' && where.test(error.message),
    );
  isRefused(() => {}, /the value is a function/);
  isRefused({ a: [1, { b: Symbol('x') }] }, /at \.a\[1\]\.b is a symbol/);
  isRefused({ later: Promise.resolve() }, /at \.later is a Promise/);
  isRefused(new Uint8Array(new SharedArrayBuffer(8)), /shared memory/);
  let deep: unknown = 1;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  isRefused(deep, /nested more than/);
  // And the next value is encoded as if nothing had been.
  assert.deepEqual(roundTrip({ a: 1 }), { a: 1 });
});

test('bytes that are no value are an error, wherever they are cut or changed', () => {
  const bytes = encodeValue({ list: [1, 'two', new Map([['three', new Uint8Array(4)]])], date: new Date(5) });
  for (let end = 0; end < bytes.length; end++)
    assert.throws(() => decodeValue(bytes.subarray(0, end)), BytesError, `cut at ${end}`);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
      const changed = bytes.slice();
      changed[at] = value;
      try {
        decodeValue(changed);
      } catch (error) {
        assert.ok(error instanceof BytesError, String(error));
      }
    }),
  );
  // A count that lies takes no memory.
  assert.throws(() => decodeValue(new Uint8Array([1, 12, 0xff, 0xff, 0xff, 0x7f])), BytesError);
});

test('the bytes are the protocol', () => {
  const value = { n: 300, s: 'é', l: [null, true, -2], b: new Uint8Array([7]), d: new Date(0) };
  assert.equal(
    Buffer.from(encodeValue(value)).toString('hex'),
    '010e0509016e04ac02' + '0901730901e9' + '09016c0c0301020501' + '0901621400' + '0107' + '090164110000000000000000',
  );
});

test('freeze gives one frozen object to all; what cannot be frozen is copied for each', () => {
  const copier = createCopier('freeze');
  const plain = { name: 'Ada', roles: ['admin'] };
  const stored = copier.store(plain, copier.encode(plain));
  assert.equal(stored.cloneOnGet, false);
  assert.notEqual(stored.value, plain);
  assert.throws(() => ((stored.value as typeof plain).roles[0] = 'none'), TypeError);
  plain.roles.push('still mine to change');
  assert.deepEqual(stored.value, { name: 'Ada', roles: ['admin'] });

  const mutable = { at: new Date(1) };
  const held = copier.store(mutable, copier.encode(mutable));
  assert.equal(held.cloneOnGet, true);
  const given = copier.clone(held.value) as typeof mutable;
  given.at.setTime(2);
  assert.equal((held.value as typeof mutable).at.getTime(), 1);
});
