import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteReader, BytesError, ByteWriter, compareBytes, concatBytes, fromUtf8, tryFromUtf8, utf8 } from './bytes.js';

const integer = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.maxSafeNat());

test('what is written is read back, for every integer below 2^53', () => {
  fc.assert(
    fc.property(integer, integer, fc.uint8Array(), fc.string(), fc.double(), (a, b, bytes, text, float) => {
      const written = new ByteWriter(1).varint(a).u64(b).bytes(bytes).text(text).f64(float).copy();
      const reader = new ByteReader(written);
      assert.equal(reader.varint(), a);
      assert.equal(reader.u64(), b);
      assert.deepEqual(new Uint8Array(reader.bytes()), bytes);
      assert.equal(reader.text(), new TextDecoder().decode(new TextEncoder().encode(text)));
      assert.ok(Object.is(reader.f64(), float));
      reader.end();
    }),
  );
});

test('text keeps a byte order mark, so that two texts are never read as one', () => {
  for (const text of ['\ufeff', '\ufeffa', 'a\ufeff', '\ufeff\ufeff']) {
    assert.equal(fromUtf8(utf8(text)), text);
    assert.equal(tryFromUtf8(utf8(text)), text);
    assert.equal(new ByteReader(new ByteWriter().text(text).copy()).text(), text);
  }
  assert.equal(tryFromUtf8(new Uint8Array([0xff])), undefined);
});

test('the bytes of the fixed-size integers are big-endian', () => {
  const bytes = new ByteWriter()
    .u8(1)
    .u16(0x0203)
    .u32(0x04050607)
    .u64(2 ** 52 + 9)
    .copy();
  assert.equal(Buffer.from(bytes).toString('hex'), '01020304050607' + '0010000000000009');
});

test('a value cut short, a varint too long and bytes left over are errors that name the offset', () => {
  assert.throws(() => new ByteReader(new Uint8Array([0, 1])).u32(), /wanted a u32 at offset 0, but only 2 bytes/);
  assert.throws(() => new ByteReader(new Uint8Array([0x80])).varint(), BytesError);
  assert.throws(() => new ByteReader(new Uint8Array(9).fill(0x80)).varint(), /varint at offset 0/);
  assert.throws(() => new ByteReader(new Uint8Array(8).fill(0xff)).u64(), /2\^53/);
  assert.throws(() => new ByteReader(new Uint8Array([5, 1])).bytes(), /wanted 5 bytes at offset 1/);
  assert.throws(() => new ByteReader(new Uint8Array(3)).end(), /3 bytes too many/);
});

test('a negative or fractional number is refused by the writer', () => {
  assert.throws(() => new ByteWriter().varint(-1), /0 to 2\^53-1/);
  assert.throws(() => new ByteWriter().u64(1.5), /0 to 2\^53-1/);
});

test('bytes compare as Buffer.compare does', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      assert.equal(compareBytes(a, b), Buffer.compare(a, b));
    }),
  );
});

test('concatenation keeps order and copies', () => {
  const part = new Uint8Array([1, 2]);
  const whole = concatBytes([part, new Uint8Array(), new Uint8Array([3])]);
  part[0] = 9;
  assert.deepEqual([...whole], [1, 2, 3]);
});

test('bytes that are not UTF-8 are told apart', () => {
  assert.equal(tryFromUtf8(new Uint8Array([0xff])), undefined);
  assert.equal(tryFromUtf8(new Uint8Array([0xc3, 0xa9])), 'é');
});
