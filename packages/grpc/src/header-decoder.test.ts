import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeaderDecoder, type HeaderList, tooLong } from './core/header-decoder.js';
import { HeaderEncoder } from './core/header-encoder.js';
import { Http2Error } from './core/http2-error.js';

function bytes(hex: string): Uint8Array {
  return Buffer.from(hex.replace(/\s/g, ''), 'hex');
}

function decode(decoder: HeaderDecoder, hex: string): HeaderList {
  const block = bytes(hex);
  return decoder.decode(block, 0, block.length);
}

const get = [':method', 'GET', ':scheme', 'http', ':path', '/'];

test('the requests of RFC 7541 C.3, without Huffman code, are read with a table that grows', () => {
  const decoder = new HeaderDecoder(4_096, 65_536);
  assert.deepEqual(decode(decoder, '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d'), [
    ...get,
    ...[':authority', 'www.example.com'],
  ]);
  assert.deepEqual(decode(decoder, '8286 84be 5808 6e6f 2d63 6163 6865'), [
    ...get,
    ...[':authority', 'www.example.com', 'cache-control', 'no-cache'],
  ]);
});

test('the requests of RFC 7541 C.4, in Huffman code, are read with a table that grows', () => {
  const decoder = new HeaderDecoder(4_096, 65_536);
  const authority = [':authority', 'www.example.com'];
  assert.deepEqual(decode(decoder, '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'), [...get, ...authority]);
  assert.deepEqual(decode(decoder, '8286 84be 5886 a8eb 1064 9cbf'), [
    ...get,
    ...authority,
    'cache-control',
    'no-cache',
  ]);
  assert.deepEqual(decode(decoder, '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf'), [
    ...[':method', 'GET', ':scheme', 'https', ':path', '/index.html'],
    ...authority,
    ...['custom-key', 'custom-value'],
  ]);
});

test('an entry that the table has no room for pushes the oldest out, and one larger than the table empties it', () => {
  const decoder = new HeaderDecoder(100, 65_536);
  // Each entry is 1 + 1 + 32 bytes: two fit into 100.
  for (const name of ['61', '62', '63']) decode(decoder, `40 01 ${name} 01 31`);
  assert.deepEqual(decode(decoder, 'be bf'), ['c', '1', 'b', '1']);
  assert.throws(() => decode(decoder, 'c0'), /an entry 64 that the table does not have/);
  decode(decoder, `40 01 64 46 ${'31'.repeat(70)}`);
  assert.throws(() => decode(decoder, 'be'), Http2Error);
});

test('a table that its encoder makes smaller lets its oldest entries go, and takes what fits when it grows again', () => {
  const decoder = new HeaderDecoder(4_096, 65_536);
  for (const name of ['61', '62']) decode(decoder, `40 01 ${name} 01 31`);
  // To 40 bytes, which is room for one entry of 34; then to none; then to 4,096.
  assert.deepEqual(decode(decoder, '3f 09 be'), ['b', '1']);
  assert.throws(() => decode(decoder, 'bf'), /an entry 63 that the table does not have/);
  assert.deepEqual(decode(decoder, '20 82'), [':method', 'GET']);
  assert.throws(() => decode(decoder, 'be'), /an entry 62 that the table does not have/);
  assert.deepEqual(decode(decoder, '3f e1 1f 40 01 63 01 31 be'), ['c', '1', 'c', '1']);
});

test('a block that comes again gives the same list, until the table has changed', () => {
  const decoder = new HeaderDecoder(4_096, 65_536);
  decode(decoder, '40 01 61 01 31');
  const first = decode(decoder, '82 be');
  assert.equal(decode(decoder, '82 be'), first);
  decode(decoder, '40 01 62 01 32');
  assert.deepEqual(decode(decoder, '82 be'), [':method', 'GET', 'b', '2']);
});

test('a block that fills the table does so each time it comes', () => {
  const decoder = new HeaderDecoder(4_096, 65_536);
  for (let i = 0; i < 2; i++) decode(decoder, '40 01 61 01 31');
  assert.deepEqual(decode(decoder, 'be bf'), ['a', '1', 'a', '1']);
});

test('a list above the limit is told as too long, however short its block, and the table goes on', () => {
  const decoder = new HeaderDecoder(4_096, 8_192);
  decode(decoder, `40 01 61 7f ${'81'}17 ${'78'.repeat(3_072)}`);
  const bomb = Uint8Array.from({ length: 1_000 }, () => 0xbe);
  assert.equal(decoder.decode(bomb, 0, bomb.length), tooLong);
  assert.equal(decode(decoder, 'be').length, 2);
});

test('what is no header block is refused with its reason', () => {
  const cases: readonly (readonly [hex: string, reason: RegExp])[] = [
    ['80', /an entry 0/],
    ['ff ff ff ff ff 0f', /a number above 2\^28/],
    ['ff', /a number that the block cuts off/],
    ['40', /a string that the block cuts off/],
    ['40 05 61', /a string longer than its block/],
    ['40 01 61 81 00', /no Huffman code/],
    ['40 01 61 82 ff ff', /no Huffman code/],
    ['40 01 61 84 ff ff ff ff', /no Huffman code/],
    ['82 20', /in the middle of a block/],
    ['3f e1 7f', /a table of \d+ bytes/],
  ];
  for (const [hex, reason] of cases) assert.throws(() => decode(new HeaderDecoder(4_096, 65_536), hex), reason, hex);
});

test('what the encoder writes is read back, with and without a table at the other side', () => {
  const type = { name: 'content-type', value: 'application/grpc' };
  const status = { name: 'grpc-status', value: '0' };
  for (const limit of [4_096, 0]) {
    const encoder = new HeaderEncoder();
    const decoder = new HeaderDecoder(4_096, 65_536);
    const sizes: number[] = [];
    for (let i = 0; i < 4; i++) {
      if (i === 2) encoder.setTableLimit(limit);
      for (const fixed of [[type], [status], [status, type]]) {
        const block: number[] = [];
        encoder.encode(block, fixed.length === 1 ? 200 : 415, fixed, ['x', 'ä'.repeat(300)]);
        assert.deepEqual(decoder.decode(Uint8Array.from(block), 0, block.length), [
          ...[':status', fixed.length === 1 ? '200' : '415'],
          ...fixed.flatMap(({ name, value }) => [name, value]),
          ...['x', 'ä'.repeat(300)],
        ]);
        sizes.push(block.length);
        // RFC 7541 §4.2: who was told a smaller size says so first, once.
        assert.equal(block[0] === 0x20, limit === 0 && sizes.length === 7);
      }
    }
    assert.ok(sizes[3]! < sizes[0]!, 'the second time a fixed header is one byte');
    assert.equal(sizes[9]! < sizes[0]!, limit > 0, 'nothing is taken from a table that the other side does not keep');
  }
});
