import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, formatEndpoint, parseAddress } from './address.js';

test('addresses are read and written as everybody writes them', () => {
  const cases: [string, string][] = [
    ['127.0.0.1', '7f000001'],
    ['::1', '00000000000000000000000000000001'],
    ['::', '00000000000000000000000000000000'],
    ['fe80::1:2', 'fe800000000000000000000000010002'],
    ['2001:db8:0:1::', '20010db8000000010000000000000000'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
  ];
  for (const [text, hex] of cases) {
    assert.equal(Buffer.from(parseAddress(text)!).toString('hex'), hex);
    assert.equal(formatAddress(new Uint8Array(Buffer.from(hex, 'hex'))), text);
  }
  assert.equal(formatAddress(parseAddress('::ffff:10.1.2.3')!), '10.1.2.3');
  assert.equal(formatEndpoint(parseAddress('::1')!, 80), '[::1]:80');
});

test('what is no address is none', () => {
  for (const text of ['', '1.2.3', '1.2.3.256', '1.2.3.4.5', ':', ':::', '1::2::3', '1:2:3:4:5:6:7', 'g::', '12345::'])
    assert.equal(parseAddress(text), undefined, text);
  assert.equal(formatAddress(new Uint8Array(5)), '');
});

test('any sixteen bytes are written so that the same bytes are read', () => {
  const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const addr = Uint8Array.from(groups.flatMap((value) => [value >> 8, value & 0xff]));
      const text = formatAddress(addr);
      assert.notEqual(isIP(text), 0, text);
      if (text.includes(':')) assert.deepEqual(parseAddress(text), addr);
    }),
  );
});
