import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointOf, readHostPort } from './endpoint.js';

test('addresses are read, and written in one way', () => {
  assert.deepEqual(readHostPort('[::1]:80'), { host: '::1', port: 80 });
  assert.deepEqual(readHostPort('cache-1.example'), { host: 'cache-1.example', port: undefined });
  assert.deepEqual(readHostPort(':80'), { host: '', port: 80 });
  for (const wrong of ['a:b:c', '::1', '::1:80', 'a:99999', '[a]:1', 'a b:1', 'http://a:1'])
    assert.equal(readHostPort(wrong), undefined, wrong);
  assert.equal(endpointOf('0:0::0001', 7), '[::1]:7');
  assert.equal(endpointOf('127.0.0.1', 7), '127.0.0.1:7');
});
