import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8, SeededRandom, utf8 } from '@dcache/base';
import { ENTRY_OVERHEAD_BYTES, Store } from './index.js';
import { applyToStore, keyOf, randomOperation, valueFor } from './testing/operation.js';
import { readSnapshot } from './testing/read-snapshot.js';

test('what was set is read back until it expires by log time', () => {
  const store = new Store();
  assert.equal(store.set(utf8('a'), utf8('one'), { revision: 1, expiresAtMs: 100, flags: 7 }), 'stored');
  assert.deepEqual(store.peekMeta(utf8('a')), { revision: 1, expiresAtMs: 100, flags: 7, valueBytes: 3 });
  assert.equal(store.nextExpiryMs(), 100);
  assert.equal(store.advance(99), 0);
  assert.equal(fromUtf8(store.get(utf8('a'))!.value), 'one');
  assert.equal(store.advance(100), 1);
  assert.equal(store.get(utf8('a')), undefined);
  assert.equal(store.nextExpiryMs(), undefined);
  assert.equal(store.nowMs, 100);
  assert.equal(store.advance(5), 0);
  assert.equal(store.nowMs, 100, 'log time does not go back');
});

test('what a budget left is invisible to every read, and goes first', () => {
  const store = new Store();
  for (let i = 1; i <= 5; i++) store.set(new Uint8Array([i]), utf8('x'), { revision: 10 - i, expiresAtMs: 50 });
  assert.equal(store.advance(50, 2), 2);
  assert.equal(store.stats().entries, 3);
  for (let i = 1; i <= 5; i++) {
    const key = new Uint8Array([i]);
    assert.equal(store.has(key), false);
    assert.equal(store.get(key), undefined);
    assert.equal(store.getInto(key, new Uint8Array(9)), -1);
    assert.equal(store.peekMeta(key), undefined);
  }
  assert.deepEqual(store.scan({ limit: 10 }), { entries: [], cursor: undefined });
  assert.equal(store.delete(new Uint8Array([1])), false);
  assert.equal(store.nextExpiryMs(), 50);
  store.set(new Uint8Array([2]), utf8('new'), { revision: 11 });
  assert.equal(store.advance(50), 1);
  assert.equal(fromUtf8(store.get(new Uint8Array([2]))!.value), 'new');
  assert.equal(store.stats().expirations, 5);
});

test('of entries that expire together the one of the lower revision goes first, and of one revision the lower key', () => {
  for (const order of [
    [1, 2, 3, 4],
    [4, 3, 2, 1],
    [3, 1, 4, 2],
  ]) {
    const store = new Store();
    for (const i of order) store.set(new Uint8Array([i]), utf8('x'), { revision: i < 3 ? 7 : 6, expiresAtMs: 50 });
    const gone: number[] = [];
    while (store.advance(50, 1) > 0) {
      const left = readSnapshot(store.snapshot().chunks()).entries.map(({ key }) => key.charCodeAt(0));
      gone.push(...order.filter((i) => !left.includes(i) && !gone.includes(i)));
    }
    assert.deepEqual(gone, [3, 4, 1, 2], `set in the order ${order}`);
  }
});

test('a set with an expiry that has passed counts as stored and removes what was there', () => {
  const store = new Store();
  store.advance(1000);
  store.set(utf8('a'), utf8('old'), { revision: 1 });
  assert.equal(store.set(utf8('a'), utf8('new'), { revision: 2, expiresAtMs: 1000 }), 'stored');
  assert.equal(store.has(utf8('a')), false);
  assert.equal(store.stats().entries, 0);
  assert.equal(store.stats().liveBytes, 0);
});

test('getInto writes what fits and says what is needed', () => {
  const store = new Store();
  for (const length of [0, 3, 48, 49, 5000]) {
    const value = valueFor(length, length);
    store.set(utf8('a'), value, { revision: length });
    const target = new Uint8Array(length + 2).fill(1);
    assert.equal(store.getInto(utf8('a'), target, 3), length);
    assert.ok(
      target.every((byte) => byte === 1),
      'one byte short: nothing is written',
    );
    assert.equal(store.getInto(utf8('a'), target, 2), length);
    assert.deepEqual(target.subarray(2), value);
  }
  assert.equal(store.getInto(utf8('b'), new Uint8Array(1)), -1);
});

test('what comes out is a copy, and so is what goes in', () => {
  const store = new Store();
  const key = utf8('key');
  const value = utf8('value');
  store.set(key, value, { revision: 1 });
  key.fill(0);
  value.fill(0);
  store.get(utf8('key'))!.value.fill(0);
  store.scan({ limit: 1 }).entries[0]!.key.fill(0);
  assert.equal(fromUtf8(store.get(utf8('key'))!.value), 'value');
});

test('sizes at each limit are taken, and one byte more is too large', () => {
  const maxBytes = 20 + 30 + ENTRY_OVERHEAD_BYTES;
  const store = new Store({ maxKeyBytes: 20, maxValueBytes: 40, maxBytes });
  const set = (keyBytes: number, valueBytes: number): string =>
    store.set(new Uint8Array(keyBytes), new Uint8Array(valueBytes), { revision: 1 });
  assert.equal(set(20, 30), 'stored');
  assert.equal(set(20, 31), 'too-large', 'the entry alone passes maxBytes');
  assert.equal(set(21, 0), 'too-large');
  assert.equal(set(0, 41), 'too-large');
  assert.equal(set(10, 40), 'stored');
  assert.equal(store.stats().entries, 1);
  const empty = new Store({ maxBytes: 0 });
  assert.equal(empty.set(new Uint8Array(), new Uint8Array(), { revision: 1 }), 'too-large');
});

test('the longest key, the largest numbers and a value of its own segment are kept', () => {
  const store = new Store();
  const key = new Uint8Array(65_536).fill(0x61);
  const meta = { revision: Number.MAX_SAFE_INTEGER, expiresAtMs: Number.MAX_SAFE_INTEGER, flags: 0xffff_ffff };
  const value = new Uint8Array(3_000_000).fill(9);
  assert.equal(store.set(key, value, meta), 'stored');
  assert.deepEqual(store.get(key), { ...meta, valueBytes: value.length, value });
  assert.equal(store.set(new Uint8Array(65_537), value, meta), 'too-large');
  assert.equal(store.delete(key), true);
  assert.ok(store.stats().allocatedBytes < 2_000_000, 'a segment of one record goes with it');
});

test('numbers out of range are refused before anything changes', () => {
  const store = new Store();
  const before = store.stateHash();
  for (const meta of [
    { revision: -1 },
    { revision: 1.5 },
    { revision: 2 ** 53 },
    { revision: 1, expiresAtMs: -1 },
    { revision: 1, expiresAtMs: Number.NaN },
    { revision: 1, flags: 2 ** 32 },
    { revision: 1, flags: -1 },
  ])
    assert.throws(() => store.set(utf8('a'), utf8('b'), meta), { name: 'AssertionError' });
  assert.throws(() => store.advance(-1), { name: 'AssertionError' });
  assert.throws(() => store.setMaxBytes(-1), TypeError);
  assert.equal(store.stateHash(), before);
});

test('an option out of range is named with what it got and what it takes', () => {
  assert.throws(() => new Store({ maxBytes: -1 }), /maxBytes is an integer from 0 to \d+, got -1/);
  assert.throws(() => new Store({ maxKeyBytes: 70_000 }), /maxKeyBytes/);
  assert.throws(() => new Store({ maxValueBytes: 2 ** 31 }), /maxValueBytes/);
  assert.throws(() => new Store({ seed: 0.5 }), /seed/);
  assert.throws(() => new Store({ segmentBytes: 1 }), /segmentBytes/);
  assert.throws(() => new Store({ eviction: 'lru' as 'sieve' }), /one of sieve, s3fifo, fifo, none, got lru/);
});

test('with a hash that makes all keys collide everything still works', () => {
  const store = new Store({ hash: () => 7, maxBytes: 20_000, segmentBytes: 4096 });
  const honest = new Store({ maxBytes: 20_000 });
  const random = new SeededRandom(2);
  for (let at = 1; at <= 3000; at++) {
    const operation = randomOperation(random, 200, 20_000);
    assert.equal(applyToStore(store, operation, at), applyToStore(honest, operation, at));
  }
  assert.equal(store.stateHash(), honest.stateHash());
  for (const each of [store, honest]) each.advance(each.nowMs);
  const pages = pagesOf(store, 7);
  assert.equal(pages.length, store.stats().entries);
});

test('lowering the limit evicts down to it, and raising it lets entries in again', () => {
  const store = new Store({ maxBytes: 100 * (3 + ENTRY_OVERHEAD_BYTES), eviction: 'fifo' });
  const add = (i: number): void => void store.set(utf8(String(i).padStart(3)), new Uint8Array(), { revision: i });
  for (let i = 0; i < 150; i++) add(i);
  assert.equal(store.stats().entries, 100);
  assert.equal(store.stats().evictions, 50);
  assert.equal(store.setMaxBytes(10 * (3 + ENTRY_OVERHEAD_BYTES)), 90);
  assert.equal(store.stats().entries, 10);
  assert.equal(store.has(utf8('140')), true);
  store.setMaxBytes(2 ** 20);
  for (let i = 0; i < 150; i++) add(i);
  assert.equal(store.stats().entries, 150);
});

test('a limit lowered with a budget is reached by the calls that follow, and writes do not push it away', () => {
  const size = 3 + ENTRY_OVERHEAD_BYTES;
  const store = new Store({ maxBytes: 1000 * size, eviction: 'fifo' });
  const add = (i: number): void => void store.set(utf8(String(i).padStart(3)), new Uint8Array(), { revision: i });
  for (let i = 0; i < 1000; i++) add(i);
  assert.equal(store.setMaxBytes(100 * size, 50), 50);
  assert.equal(store.stats().entries, 950);
  add(0);
  assert.equal(store.stats().entries, 950 - 16, 'one went for the new one, and 16 more');
  assert.equal(store.advance(1, 500), 0);
  assert.equal(store.stats().entries, 950 - 16 - 500);
  store.advance(2);
  assert.equal(store.stats().liveBytes, 100 * size);
});

test('clear forgets all but limits and time, and is the same on every replica', () => {
  const [one, other] = [1, 2].map((seed) => {
    const store = new Store({ eviction: 's3fifo', maxBytes: 3000, seed });
    const random = new SeededRandom(5);
    for (let at = 1; at < 2000; at++) applyToStore(store, randomOperation(random, 300, 3000), at);
    store.setMaxBytes(4000);
    return store;
  }) as [Store, Store];
  const { nowMs } = one;
  const restorer = other.restore();
  for (const chunk of one.snapshot().chunks()) restorer.write(chunk);
  restorer.finish();
  one.clear();
  other.clear();
  assert.equal(one.stateHash(), other.stateHash());
  assert.deepEqual([one.stats().entries, one.stats().liveBytes, one.stats().maxBytes, one.nowMs], [0, 0, 4000, nowMs]);
});

test('reads are sampled once for each key, and only where a touch would change something', () => {
  const store = new Store({ eviction: 'sieve' });
  for (let i = 0; i < 10; i++) store.set(utf8(`k${i}`), utf8('v'), { revision: i + 1 });
  for (let times = 0; times < 50; times++) store.get(utf8('k1'));
  store.getInto(utf8('k2'), new Uint8Array(1));
  store.has(utf8('k3'));
  store.peekMeta(utf8('k4'));
  store.get(utf8('missing'));
  store.get(utf8('k5'));
  store.delete(utf8('k5'));
  const taken = store.takeTouched().map(fromUtf8).sort();
  assert.deepEqual(taken, ['k1', 'k2']);
  assert.deepEqual(store.takeTouched(), []);
  for (const key of taken) store.touch(utf8(key));
  store.get(utf8('k1'));
  assert.deepEqual(store.takeTouched(), [], 'k1 counts as touched already');
  for (let i = 6; i < 10; i++) store.get(utf8(`k${i}`));
  assert.equal(store.takeTouched(3).length, 3);
  assert.equal(store.takeTouched(3).length, 1);
});

test('a million reads leave a sample of bounded size', () => {
  const store = new Store();
  for (let i = 0; i < 20_000; i++) store.set(keyOf(i + 16), new Uint8Array(), { revision: i });
  for (let i = 0; i < 20_000; i++) store.get(keyOf(i + 16));
  const { length } = store.takeTouched();
  assert.ok(length > 1000 && length <= 4096, `${length} keys`);
});

function pagesOf(store: Store, limit: number, prefix?: Uint8Array, between?: () => void): string[] {
  const keys: string[] = [];
  let cursor: string | undefined;
  do {
    const page = store.scan({ limit, cursor, ...(prefix === undefined ? {} : { prefix }) });
    assert.ok(page.entries.length <= limit);
    for (const { key } of page.entries) keys.push(Buffer.from(key).toString('latin1'));
    cursor = page.cursor;
    between?.();
  } while (cursor !== undefined);
  return keys;
}

test('a scan gives every key of a prefix once, in pages of any size', () => {
  const store = new Store();
  const keys = Array.from({ length: 700 }, (_, i) => `${i % 3 === 0 ? 'a' : 'b'}${i}`);
  keys.forEach((key, i) => {
    store.set(utf8(key), utf8(key), { revision: i, flags: i });
  });
  for (const limit of [1, 13, 10_000]) {
    assert.deepEqual(pagesOf(store, limit).sort(), keys.toSorted());
    assert.deepEqual(pagesOf(store, limit, utf8('a')).sort(), keys.filter((key) => key.startsWith('a')).sort());
    assert.deepEqual(pagesOf(store, limit, utf8('nothing')), []);
  }
  const { key, ...meta } = store.scan({ limit: 1, prefix: utf8('b100') }).entries[0]!;
  assert.deepEqual(
    { key: fromUtf8(key), ...meta },
    { key: 'b100', revision: 100, expiresAtMs: 0, flags: 100, valueBytes: 4 },
  );
});

test('what is there during a whole scan comes exactly once, while the table grows and shrinks under it', () => {
  const store = new Store();
  let revision = 0;
  const put = (name: string): void => void store.set(utf8(name), new Uint8Array(9), { revision: ++revision });
  for (let i = 0; i < 3000; i++) put(`stay${i}`);
  let round = 0;
  const seen = pagesOf(store, 100, undefined, () => {
    round++;
    for (let i = 0; i < 70; i++) put(`new${round}.${i}`);
    if (round % 3 === 0) for (let i = 0; i < 70; i++) store.delete(utf8(`new${round - 1}.${i}`));
    put(`stay${round}`);
  });
  assert.deepEqual(
    seen.filter((key) => key.startsWith('stay')).sort(),
    Array.from({ length: 3000 }, (_, i) => `stay${i}`).sort(),
  );
});

test('a scan for a rare prefix looks at a bounded number of entries a page', () => {
  const store = new Store();
  for (let i = 0; i < 25_000; i++) store.set(keyOf(i + 16), new Uint8Array(), { revision: i });
  const first = store.scan({ limit: 5, prefix: utf8('rare') });
  assert.deepEqual(first.entries, []);
  assert.notEqual(first.cursor, undefined);
});

test('a cursor that this store did not make is refused', () => {
  const store = new Store({ seed: 1 });
  const other = new Store({ seed: 2 });
  for (let i = 0; i < 10; i++) for (const each of [store, other]) each.set(keyOf(i), new Uint8Array(), { revision: i });
  const foreign = other.scan({ limit: 2 }).cursor;
  for (const cursor of [foreign, '', 'x', '--', `${store.scan({ limit: 2 }).cursor}-1`, 'a-zzzzzzzzzzzz-1'])
    assert.throws(() => store.scan({ limit: 1, cursor }), { name: 'StoreError', code: 'bad-cursor' });
  assert.throws(() => store.scan({ limit: 0 }), TypeError);
});
