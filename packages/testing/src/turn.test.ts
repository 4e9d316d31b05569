import assert from 'node:assert/strict';
import { test } from 'node:test';
import { turn } from './turn.js';

test('a turn lets run what waits for the event loop, and what that puts off', async () => {
  const ran: string[] = [];
  setImmediate(() => {
    ran.push('first');
    setImmediate(() => ran.push('put off'));
  });
  await turn();
  assert.deepEqual(ran, ['first', 'put off']);
});
