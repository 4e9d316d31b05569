import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DcacheError } from '@dcache/protocol';
import { checkOrigin } from './origin.js';

test('a request without an Origin is no browser’s and is taken', () => {
  checkOrigin(undefined, 'anything');
  checkOrigin(undefined, undefined);
});

test('a page of this server’s own address is taken, by localhost or by an IP address', () => {
  checkOrigin('http://localhost:9200', 'localhost:9200');
  checkOrigin('http://127.0.0.1:9200', '127.0.0.1:9200');
  checkOrigin('http://[::1]:9200', '[::1]:9200');
  checkOrigin('http://10.0.0.7', '10.0.0.7');
});

test('a foreign page, one whose name was pointed here, and an origin that is none are forbidden', () => {
  for (const [origin, host] of [
    ['http://evil.example', '127.0.0.1:9200'],
    ['http://localhost:3000', 'localhost:9200'],
    ['http://evil.example:9200', 'evil.example:9200'],
    ['http://localhost.evil.example', 'localhost.evil.example'],
    ['null', '127.0.0.1:9200'],
    ['', '127.0.0.1:9200'],
    ['http://127.0.0.1:9200', undefined],
    ['http://127.0.0.1:9200@evil.example', '127.0.0.1:9200'],
  ] as const)
    assert.throws(
      () => checkOrigin(origin, host),
      (error: unknown) => {
        assert.ok(error instanceof DcacheError, `${origin} at ${host}`);
        assert.equal(error.code, 'forbidden');
        return true;
      },
    );
});

test('an endless Origin does not make an endless message', () => {
  assert.throws(
    () => checkOrigin(`http://${'x'.repeat(60_000)}`, 'y'.repeat(60_000)),
    (error: Error) => error.message.length < 500,
  );
});
