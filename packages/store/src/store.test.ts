import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8, utf8 } from '@dcache/base';
import { Store, StoreError } from './index.js';

test('what was set is read back until it expires by log time', () => {
  const store = new Store();
  assert.equal(store.set(utf8('a'), utf8('one'), { revision: 1, expiresAtMs: 100, flags: 7 }), 'stored');
  assert.deepEqual(store.peekMeta(utf8('a')), { revision: 1, expiresAtMs: 100, flags: 7, valueBytes: 3 });
  assert.equal(store.nextExpiryMs(), 100);
  assert.equal(store.advance(99), 0);
  assert.equal(fromUtf8(store.get(utf8('a'))!.value), 'one');
  assert.equal(store.advance(100), 1);
  assert.equal(store.get(utf8('a')), undefined);
  assert.equal(store.nowMs, 100);
});

test('getInto writes what fits and says what is needed', () => {
  const store = new Store();
  store.set(utf8('a'), utf8('one'), { revision: 1 });
  const target = new Uint8Array(4);
  assert.equal(store.getInto(utf8('a'), target, 2), 3);
  assert.deepEqual([...target], [0, 0, 0, 0]);
  assert.equal(store.getInto(utf8('a'), target, 1), 3);
  assert.equal(fromUtf8(target.subarray(1)), 'one');
  assert.equal(store.getInto(utf8('b'), target), -1);
});

test('a snapshot restores to the same state, and a damaged one changes nothing', () => {
  const store = new Store();
  for (let i = 0; i < 100; i++) store.set(utf8(`key${i}`), utf8(`value${i}`), { revision: i + 1 });
  const chunks = [...store.snapshot().chunks()];
  const copy = new Store();
  const restorer = copy.restore();
  for (const chunk of chunks) restorer.write(chunk);
  restorer.finish();
  assert.equal(copy.stateHash(), store.stateHash());
  const broken = copy.restore();
  assert.throws(() => {
    broken.write(chunks[0]!.subarray(0, 50));
    broken.finish();
  }, StoreError);
  assert.equal(copy.stateHash(), store.stateHash());
});
