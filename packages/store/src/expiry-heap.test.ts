import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { Epochs } from './epochs.js';
import { ExpiryHeap } from './expiry-heap.js';

test('entries leave by time and then by the given order, whatever was added, changed and removed before', () => {
  const random = new SeededRandom(9);
  const heap = new ExpiryHeap(new Epochs(), (a, b) => a < b);
  const model = new Map<number, number>();
  for (let step = 0; step < 60_000; step++) {
    const id = 1 + random.below(9000);
    const timeMs = random.below(3) === 0 ? random.below(5) : random.below(2 ** 42);
    if (!model.has(id)) heap.add(id, timeMs);
    else if (random.below(3) > 0) heap.change(id, timeMs);
    else {
      heap.remove(id);
      model.delete(id);
      continue;
    }
    model.set(id, timeMs);
    assert.equal(heap.timeMs(id), timeMs);
  }
  const expected = [...model].sort((a, b) => a[1] - b[1] || a[0] - b[0]);
  assert.equal(heap.size, expected.length);
  for (const [id, timeMs] of expected) {
    assert.equal(heap.first, id);
    assert.equal(heap.timeMs(heap.first), timeMs);
    heap.remove(id);
  }
  assert.equal(heap.first, 0);
});
