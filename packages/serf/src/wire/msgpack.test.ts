import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MsgpackReader, MsgpackWriter, TruncatedError, WireError } from './msgpack.js';

function written(write: (out: MsgpackWriter) => void): string {
  const out = new MsgpackWriter();
  write(out);
  return Buffer.from(out.copy()).toString('hex');
}

function reader(hex: string): MsgpackReader {
  return new MsgpackReader(new Uint8Array(Buffer.from(hex, 'hex')));
}

test('integers take the fewest bytes', () => {
  const cases: [number, string][] = [
    [0, '00'],
    [127, '7f'],
    [128, 'cc80'],
    [255, 'ccff'],
    [256, 'cd0100'],
    [65_535, 'cdffff'],
    [65_536, 'ce00010000'],
    [2 ** 32 - 1, 'ceffffffff'],
    [2 ** 32, 'cf0000000100000000'],
    [-1, 'ff'],
    [-32, 'e0'],
    [-33, 'd0df'],
    [-129, 'd1ff7f'],
    [-32_769, 'd2ffff7fff'],
  ];
  for (const [value, hex] of cases) {
    assert.equal(
      written((out) => out.int(value)),
      hex,
    );
    assert.equal(reader(hex).int(), value);
  }
});

test('strings and bytes use the raw family only, never str8 or bin', () => {
  assert.equal(written((out) => out.text('a'.repeat(31))).slice(0, 2), 'bf');
  assert.equal(written((out) => out.text('a'.repeat(32))).slice(0, 6), 'da0020');
  assert.equal(written((out) => out.raw(new Uint8Array(70_000))).slice(0, 10), 'db00011170');
  assert.equal(
    written((out) => out.bytes(new Uint8Array(0))),
    'c0',
  );
});

test('what newer and other encoders write is read too', () => {
  assert.equal(reader('d903616263').text(), 'abc');
  assert.equal(reader('c403616263').text(), 'abc');
  assert.equal(reader('c50003616263').text(), 'abc');
  assert.equal(reader('c600000003616263').text(), 'abc');
  // A signed form of a positive number, as go-msgpack 2 writes Go ints above 127.
  assert.equal(reader('d100ff').int(), 255);
  assert.equal(reader('d20000ffff').int(), 65_535);
  assert.equal(reader('d300000000ffffffff').int(), 2 ** 32 - 1);
  assert.equal(reader('de0001a161c3').map(), 1);
  assert.equal(reader('df00000001').map(), 1);
  assert.equal(reader('dd00000002').array(), 2);
  assert.equal(reader('c0').int(), 0);
  assert.equal(reader('05').float(), 5);
});

test('a value of the wrong kind, or beyond its range, is refused', () => {
  assert.throws(() => reader('cb3ff0000000000000').int(), WireError);
  assert.throws(() => reader('a161').int(), WireError);
  assert.throws(() => reader('01').text(), WireError);
  assert.throws(() => reader('cf0020000000000000').int(), /beyond 2\^53/);
  assert.throws(() => reader('ce00010000').uint(0xffff), /allowed is 0 to 65535/);
  assert.throws(() => reader('ff').uint(10), /allowed is 0 to 10/);
});

test('a struct skips what it does not know, of every kind', () => {
  const unknown = ['01', 'ff', 'c0', 'c2', 'cb3ff0000000000000', 'ca3f800000', 'a161', 'da000161', 'd90161'];
  unknown.push('c40161', '920102', '81a16101', 'cfffffffffffffffff', 'd3ffffffffffffffff', 'd0ff', 'd1ffff');
  for (const value of unknown) {
    let known = 0;
    const input = reader(`82a178${value}a16b07`);
    input.struct((key) => {
      if (key !== 'k') return false;
      known = input.int();
      return true;
    });
    assert.equal(known, 7, value);
    assert.equal(input.remaining, 0, value);
  }
});

test('deep nests, huge structs and floods of unknown values are refused', () => {
  assert.throws(() => reader('91'.repeat(100)).skip(), /nest deeper/);
  assert.throws(() => reader('deffff').struct(() => false), /allowed are 256/);
  const flood = new MsgpackWriter().map(1).text('x').array(40_000);
  for (let i = 0; i < 40_000; i++) flood.int(1);
  assert.throws(() => new MsgpackReader(flood.copy()).struct(() => false), /nobody asked for/);
});

test('every cut of a value is told apart from a wrong one', () => {
  const whole = new MsgpackWriter().map(2).text('aa').text('b'.repeat(40)).text('c').array(1).float(1.5).copy();
  for (let cut = 0; cut < whole.length; cut++)
    assert.throws(() => new MsgpackReader(whole.subarray(0, cut)).skip(), TruncatedError);
});

test('names that are not UTF-8 keep their bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const text = new MsgpackReader(new MsgpackWriter().raw(bytes).copy()).text();
      assert.deepEqual(new MsgpackReader(new MsgpackWriter().text(text).copy()).raw(), bytes);
    }),
    { numRuns: 3000 },
  );
});

test('texts of any language are written and read alike', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      assert.equal(new MsgpackReader(new MsgpackWriter().text(text).copy()).text(), text);
    }),
  );
});
