import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStorage } from './storage.js';
import { allOf, entriesOf, testLogStorage } from './storage.test.helper.js';

testLogStorage('MemoryStorage', async () => new MemoryStorage());

test('a log in memory that is compacted for ever keeps its order and its size', async () => {
  const storage = new MemoryStorage();
  for (let index = 1; index <= 20_000; index++) {
    await storage.append(entriesOf(1, index, index), undefined);
    storage.compact(index - 100);
  }
  assert.deepEqual(allOf(storage), entriesOf(1, 19_901, 20_000));
  assert.ok(storage.sizeBytes < 100 * 100);
});
