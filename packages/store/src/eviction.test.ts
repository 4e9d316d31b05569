import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8, utf8 } from '@dcache/base';
import { ENTRY_OVERHEAD_BYTES, type EvictionPolicy } from './options.js';
import { Store } from './store.js';
import { readSnapshot } from './testing/read-snapshot.js';

/** A store for `count` entries of keys of one letter and no value. */
function storeOf(eviction: EvictionPolicy, count: number): { put: (keys: string) => void; store: Store } {
  const store = new Store({ eviction, maxBytes: count * (1 + ENTRY_OVERHEAD_BYTES) });
  let revision = 0;
  const put = (keys: string): void => {
    for (const key of keys) store.set(utf8(key), new Uint8Array(), { revision: ++revision });
  };
  return { put, store };
}

function keysOf(store: Store): string {
  return readSnapshot(store.snapshot().chunks())
    .entries.map(({ key }) => key)
    .join('');
}

function touch(store: Store, keys: string): void {
  for (const key of keys) store.touch(utf8(key));
}

test('the hand of SIEVE spares what was touched once, and goes on where it stopped (NSDI 2024, algorithm 1)', () => {
  const { put, store } = storeOf('sieve', 7);
  put('ABCDEFG');
  touch(store, 'ABG');
  put('H');
  assert.equal(keysOf(store), 'ABDEFGH', 'the hand spares A and B and takes C');
  touch(store, 'AD');
  put('I');
  assert.equal(keysOf(store), 'ABDFGHI', 'it goes on at D, which was visited, and takes E');
  put('J');
  assert.equal(keysOf(store), 'ABDGHIJ', 'F was never visited');
});

test('a hand whose entry is deleted goes on at the next newer one', () => {
  const { put, store } = storeOf('sieve', 4);
  put('ABCD');
  put('E');
  store.delete(utf8('B'));
  put('FG');
  assert.equal(keysOf(store), 'DEFG');
});

test('FIFO lets the oldest go, touched and overwritten or not', () => {
  const { put, store } = storeOf('fifo', 3);
  put('ABC');
  put('A');
  touch(store, 'A');
  put('D');
  assert.equal(keysOf(store), 'BCD');
});

test('S3-FIFO keeps what was touched twice from a scan, and knows a key that comes back (SOSP 2023, algorithm 1)', () => {
  const { put, store } = storeOf('s3fifo', 10);
  put('ABCDEFGHIJ');
  touch(store, 'AABB');
  put('0123456789');
  assert.ok(keysOf(store).includes('A') && keysOf(store).includes('B'), 'A and B moved to the main queue');
  assert.ok(!keysOf(store).includes('C'));
  put('8abcdefgh');
  assert.ok(!keysOf(store).includes('0'));
  put('6');
  const { entries } = readSnapshot(store.snapshot().chunks());
  const six = entries.find(({ key }) => key === '6');
  assert.equal(six?.isSmall, false, 'a remembered key starts in the main queue');
});

test('with none a write that does not fit is refused and changes nothing; a smaller one over an old value is not', () => {
  const store = new Store({ eviction: 'none', maxBytes: 100 });
  assert.equal(store.set(utf8('a'), new Uint8Array(59), { revision: 1 }), 'stored');
  const before = store.stateHash();
  assert.equal(store.set(utf8('b'), new Uint8Array(0), { revision: 2 }), 'full');
  assert.equal(store.set(utf8('a'), new Uint8Array(60), { revision: 3 }), 'too-large');
  assert.equal(store.stateHash(), before);
  assert.equal(store.set(utf8('a'), new Uint8Array(18), { revision: 4 }), 'stored');
  assert.equal(store.set(utf8('b'), new Uint8Array(0), { revision: 5 }), 'stored');
  assert.equal(store.stats().liveBytes, 100);
  assert.equal(store.setMaxBytes(50), 0);
  assert.equal(store.set(utf8('b'), new Uint8Array(0), { revision: 6 }), 'full');
  assert.equal(store.stats().entries, 2);
});

test('one write passes over at most 4,096 touched entries', () => {
  for (const eviction of ['sieve', 's3fifo'] as const) {
    const store = new Store({ eviction, maxBytes: 6000 * (5 + ENTRY_OVERHEAD_BYTES) });
    const name = (i: number): Uint8Array => utf8(String(i).padStart(5, '0'));
    for (let i = 0; i < 6000; i++) store.set(name(i), new Uint8Array(), { revision: i + 1 });
    for (let i = 0; i < 6000; i++) for (let times = 0; times < 3; times++) store.touch(name(i));
    store.set(name(9999), new Uint8Array(), { revision: 6001 });
    const present = new Set(readSnapshot(store.snapshot().chunks()).entries.map(({ key }) => key));
    const gone = Array.from({ length: 6000 }, (_, i) => fromUtf8(name(i))).filter((key) => !present.has(key));
    assert.deepEqual(gone, ['04096'], eviction);
  }
});
