import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { firstByte, http1, http2, type Matcher, preface, tls } from './matchers.js';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

test('an HTTP/1 request line is told by its version, not by its method', () => {
  assert.equal(http1(bytes('GET / HTTP/1.1\r\n')), 'yes');
  assert.equal(http1(bytes('\r\nGET /a b HTTP/1.0\r\n')), 'yes');
  assert.equal(http1(bytes('GET foo\r\n')), 'no', 'an inline command of RESP');
  assert.equal(http1(bytes('GET foo')), 'more');
  assert.equal(http1(bytes('PRI * HTTP/2.0\r\n\r\n')), 'no');
  assert.equal(http1(bytes('*1\r\n$4\r\nPING\r\n')), 'no');
  assert.equal(http1(bytes(`${'A'.repeat(40)} / HTTP/1.1\r\n`)), 'no');
});

test('HTTP/2 is told by the whole preface', () => {
  assert.equal(http2(bytes('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0')), 'yes');
  assert.equal(http2(bytes('PRI * HTTP/2.0\r\n\r\nSM')), 'more');
  assert.equal(http2(bytes('PRX')), 'no');
});

test('TLS is a handshake record of version 3', () => {
  assert.equal(tls(new Uint8Array([0x16])), 'more');
  assert.equal(tls(new Uint8Array([0x16, 3, 1])), 'yes');
  assert.equal(tls(new Uint8Array([0x16, 2])), 'no');
});

test('a longer prefix never takes back a yes or a no, so chunking makes no difference', () => {
  const matchers: Matcher[] = [http1, http2, tls, preface(bytes('DC')), firstByte(0x2a, 0x24)];
  const starts = fc.constantFrom(
    'GET / HTTP/1.1\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\x16\x03\x01',
    'GET k\r\nHTTP/1.1',
    'DC',
    '',
    '\r\n\r\nPUT ',
  );
  fc.assert(
    fc.property(starts, fc.uint8Array({ maxLength: 30 }), fc.constantFrom(...matchers), (start, tail, matcher) => {
      const whole = Buffer.concat([bytes(start), tail]);
      let settled: string | undefined;
      for (let length = 0; length <= whole.length; length++) {
        const match = matcher(whole.subarray(0, length));
        if (settled !== undefined) assert.equal(match, settled, `at ${length} of ${whole.toString('latin1')}`);
        else if (match !== 'more') settled = match;
      }
    }),
    { numRuns: 3000 },
  );
});
