import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { key, nextKey, sees, start } from './node.test.helper.js';

test('an encrypted pool changes its key without losing a member, and keeps the ring in a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'serf-'));
  const keyringFile = join(folder, 'keyring.json');
  const one = await start('one', { keyring: [key], keyringFile });
  const two = await start('two', { keyring: [key] });
  await two.join([one.address]);
  await sees(one, 'two', 'alive');
  const plain = await start('plain');
  await assert.rejects(plain.join([one.address]), { code: 'join-failed' });
  for (const step of ['install', 'use'] as const) assert.deepEqual((await one.keys[step](nextKey)).errors, 0);
  assert.equal((await two.keys.remove(key)).answers, 2);
  const listed = await one.keys.list();
  assert.deepEqual([...listed.keys], [[nextKey, 2]]);
  assert.deepEqual([...listed.primaryKeys], [[nextKey, 2]]);
  assert.deepEqual(JSON.parse(await readFile(keyringFile, 'utf8')), [nextKey]);
  const refused = await one.keys.remove(nextKey);
  assert.equal(refused.errors, 2);
  assert.match(refused.messages.get('two')!, /primary key is not allowed/);
  const heard = once(two, 'user');
  one.userEvent('under the new key');
  await heard;
  const third = await start('third', { keyringFile });
  await third.join([two.address]);
  await rm(folder, { recursive: true });
});

test('a list of more keys than an answer holds is cut, and says so', async () => {
  const keys = Array.from({ length: 40 }, (_, i) => Buffer.alloc(32, i).toString('base64'));
  const one = await start('one', { keyring: keys });
  const listed = await one.keys.list();
  assert.equal(listed.errors, 0);
  assert.ok(listed.keys.size > 5 && listed.keys.size < 40);
  assert.match(listed.messages.get('one')!, /^truncated to \d+ of 40$/);
});
