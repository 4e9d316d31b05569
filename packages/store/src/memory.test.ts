import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { ENTRY_OVERHEAD_BYTES } from './options.js';
import { Store } from './store.js';
import { keyOf, valueFor } from './testing/operation.js';

const segmentBytes = 16_384;

/** At most 1.5 bytes of segments for a live one, a few segments half empty, and the rows of the most entries there were. */
function assertCompact(store: Store, mostEntries: number, what: string): void {
  const { allocatedBytes, liveBytes, entries } = store.stats();
  const most =
    1.5 * (liveBytes - entries * ENTRY_OVERHEAD_BYTES) + mostEntries * 26 + entries * 15 + 8 * segmentBytes + 60_000;
  assert.ok(allocatedBytes < most, `${what}: ${allocatedBytes} bytes are allocated for ${liveBytes}, at most ${most}`);
}

test('overwriting with other sizes for long keeps memory near what lives, and every value right', () => {
  const random = new SeededRandom(1);
  const store = new Store({ segmentBytes });
  const written = new Map<number, { revision: number; bytes: number }>();
  for (let revision = 1; revision <= 40_000; revision++) {
    const key = random.below(3000);
    const bytes = random.below(20) === 0 ? random.below(9000) : random.below(900);
    store.set(keyOf(key), valueFor(revision, bytes), { revision });
    written.set(key, { revision, bytes });
    if (revision % 1000 === 0) assertCompact(store, 3000, `after ${revision} writes`);
  }
  for (const [key, { revision, bytes }] of written)
    assert.deepEqual(store.get(keyOf(key))!.value, valueFor(revision, bytes));
});

test('deletes alone give memory back', () => {
  const store = new Store({ segmentBytes });
  for (let i = 0; i < 20_000; i++) store.set(keyOf(i), valueFor(i, 300), { revision: i });
  const full = store.stats().allocatedBytes;
  for (let i = 0; i < 20_000; i++) if (i % 10 !== 0) store.delete(keyOf(i));
  assertCompact(store, 20_000, 'after nine of ten were deleted');
  assert.ok(store.stats().allocatedBytes < full / 3);
  for (let i = 0; i < 20_000; i += 10) assert.deepEqual(store.get(keyOf(i))!.value, valueFor(i, 300));
});

test('entries that expire give memory back', () => {
  const store = new Store({ segmentBytes });
  for (let i = 0; i < 20_000; i++)
    store.set(keyOf(i), valueFor(i, 300), { revision: i, expiresAtMs: i % 10 === 0 ? 0 : 1 + (i % 997) });
  for (let nowMs = 0; nowMs < 1000; nowMs++) while (store.advance(nowMs, 7) > 0);
  assert.equal(store.stats().entries, 2000);
  assertCompact(store, 20_000, 'after nine of ten expired');
});

test('a million bytes that expire at once are given back by the calls that follow', () => {
  const store = new Store({ segmentBytes });
  for (let i = 0; i < 20_000; i++)
    store.set(keyOf(i), valueFor(i, 300), { revision: i, expiresAtMs: i % 10 === 0 ? 0 : 50 });
  assert.equal(store.advance(50), 18_000);
  for (let calls = 0; calls < 20; calls++) store.advance(50);
  assertCompact(store, 20_000, 'after nine of ten expired at once');
});

test('an open snapshot at worst doubles the memory, and closing it lets it go', () => {
  const store = new Store({ segmentBytes });
  const fill = (from: number): void => {
    for (let i = 0; i < 10_000; i++) store.set(keyOf(i), valueFor(i, 200 + (from % 7)), { revision: from + i });
  };
  fill(1);
  const before = store.stats().allocatedBytes;
  const snapshot = store.snapshot();
  for (let round = 1; round < 6; round++) fill(round * 10_000 + round);
  assert.ok(store.stats().allocatedBytes < before * 1.6, 'the store itself holds no more than usual');
  snapshot.close();
  for (let round = 6; round < 9; round++) fill(round * 10_000 + round);
  assertCompact(store, 10_000, 'after the snapshot was closed');
});
