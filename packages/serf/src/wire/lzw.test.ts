import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, utf8 } from '@dcache/base';
import fc from 'fast-check';
import { lzwDecode, lzwEncode } from './lzw.js';
import { WireError } from './msgpack.js';

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

test('known texts give the bytes that Go gives', () => {
  assert.equal(hex(lzwEncode(new Uint8Array(0))), '000302');
  assert.equal(hex(lzwEncode(utf8('TOBEORNOTTOBEORTOBEORNOT'))), '00a93c1152e48914274fa80824687061c183090302');
});

test('what is encoded is decoded again', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
      assert.deepEqual(lzwDecode(lzwEncode(bytes), bytes.length), bytes);
    }),
  );
});

test('a full table is cleared and filled again, in text as in noise', () => {
  const random = new SeededRandom(7);
  for (const alphabet of [2, 5, 256]) {
    const bytes = Uint8Array.from({ length: 120_000 }, () => random.below(alphabet));
    assert.deepEqual(lzwDecode(lzwEncode(bytes), bytes.length), bytes);
  }
  const same = new Uint8Array(500_000).fill(65);
  assert.deepEqual(lzwDecode(lzwEncode(same), same.length), same);
});

test('a bomb is refused at its limit, not after', () => {
  const bomb = lzwEncode(new Uint8Array(5_000_000));
  assert.ok(bomb.length < 30_000, `${bomb.length} bytes`);
  assert.throws(() => lzwDecode(bomb, 100_000), /more than the 100000 bytes allowed/);
});

test('a stream without its first clear is taken', () => {
  // 9-bit codes: "A", then the end.
  assert.deepEqual(lzwDecode(Uint8Array.of(0x41, 0x02, 0x02), 10), utf8('A'));
});

test('a stream without its end is refused', () => {
  const whole = lzwEncode(utf8('hello hello hello'));
  for (let cut = 0; cut < whole.length; cut++)
    assert.throws(() => lzwDecode(whole.subarray(0, cut), 1000), /without an end code/);
});

test('any bytes are decoded or refused with a WireError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
      try {
        assert.ok(lzwDecode(bytes, 10_000).length <= 10_000);
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
