import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { scramble, seededHash } from './hash.js';

/** HalfSipHash-c-d with 32 bits of output, straight from its definition. */
function halfSipHash(key0: number, key1: number, bytes: Uint8Array, c: number, d: number): number {
  const v = [key0, key1, 0x6c796765 ^ key0, 0x74656462 ^ key1];
  const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));
  const round = (): void => {
    const mix = (a: number, b: number, by: number): void => {
      v[a] = (v[a]! + v[b]!) | 0;
      v[b] = rotate(v[b]!, by) ^ v[a]!;
    };
    mix(0, 1, 5);
    v[0] = rotate(v[0]!, 16);
    mix(2, 3, 8);
    mix(0, 3, 7);
    mix(2, 1, 13);
    v[2] = rotate(v[2]!, 16);
  };
  const padded = new Uint8Array(Math.floor(bytes.length / 4) * 4 + 4);
  padded.set(bytes);
  padded[padded.length - 1] = bytes.length;
  for (let at = 0; at < padded.length; at += 4) {
    const word = new DataView(padded.buffer).getUint32(at, true);
    v[3]! ^= word;
    for (let i = 0; i < c; i++) round();
    v[0]! ^= word;
  }
  v[2]! ^= 0xff;
  for (let i = 0; i < d; i++) round();
  return (v[1]! ^ v[3]!) >>> 0;
}

test('the definition gives the published vectors of HalfSipHash-2-4', () => {
  const expected = [0x5b9f35a9, 0xb85a4727, 0x03a662fa, 0x04e7fe8a, 0x89466e2a, 0x69b6fac5, 0x23fc6358, 0xc563cf8b];
  const input = Uint8Array.from({ length: 8 }, (_, i) => i);
  const got = expected.map((_, length) => halfSipHash(0x03020100, 0x07060504, input.subarray(0, length), 2, 4));
  assert.deepEqual(got, expected);
});

test('the hash of keys is HalfSipHash-1-3 by the definition, at any offset and length', () => {
  const random = new SeededRandom(3);
  const bytes = Uint8Array.from({ length: 100 }, () => random.below(256));
  for (const seed of [0, 1, -1, 2 ** 40 + 5]) {
    const key0 = scramble(seed >>> 0);
    const key1 = scramble(Math.floor(seed / 2 ** 32) ^ 0x5bd1e995);
    for (let at = 0; at < 8; at++)
      for (let length = 0; length < 40; length++)
        assert.equal(
          seededHash(seed)(bytes, at, length),
          halfSipHash(key0, key1, bytes.subarray(at, at + length), 1, 3),
        );
  }
});

test('another seed gives another hash', () => {
  const key = new TextEncoder().encode('key');
  const hashes = new Set(Array.from({ length: 100 }, (_, seed) => seededHash(seed)(key, 0, 3)));
  assert.equal(hashes.size, 100);
});
