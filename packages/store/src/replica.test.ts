import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import type { EvictionPolicy } from './options.js';
import { Store } from './store.js';
import { applyToStore, randomOperation } from './testing/operation.js';

function bytesOf(chunks: Iterable<Uint8Array>): Buffer {
  return Buffer.concat([...chunks]);
}

for (const eviction of ['sieve', 's3fifo', 'fifo', 'none'] as const satisfies readonly EvictionPolicy[]) {
  test(`${eviction}: replicas agree at every position, healed by a snapshot in the middle or not`, () => {
    const random = new SeededRandom(eviction.length);
    const maxBytes = 150_000;
    const newStore = (seed: number, segmentBytes: number): Store =>
      new Store({ eviction, maxBytes, seed, segmentBytes });
    const straight = newStore(1, 4096);
    let healed = newStore(2, 16_384);
    let behind: { chunks: Uint8Array[]; since: number } | undefined;
    let most = 0;
    const log: Parameters<typeof applyToStore>[1][] = [];
    for (let at = 1; at <= 15_000; at++) {
      log.push(randomOperation(random, 1200, maxBytes));
      const answer = applyToStore(straight, log[at - 1]!, at);
      if (at % 3000 === 1000) behind = { chunks: [...straight.snapshot().chunks()], since: at };
      most = Math.max(most, straight.stats().entries);
      if (behind === undefined) {
        assert.equal(applyToStore(healed, log[at - 1]!, at), answer);
        assert.equal(healed.stateHash(), straight.stateHash(), `after operation ${at}`);
      } else if (at === behind.since + 500) {
        healed = newStore(at, at % 2 === 0 ? 4096 : 8192);
        healed.set(new Uint8Array([1]), new Uint8Array(), { revision: 1 });
        const restorer = healed.restore();
        for (const chunk of behind.chunks) restorer.write(chunk);
        restorer.finish();
        for (let missed = behind.since + 1; missed <= at; missed++) applyToStore(healed, log[missed - 1]!, missed);
        assert.equal(healed.stateHash(), straight.stateHash(), `after catching up at ${at}`);
        behind = undefined;
      }
    }
    assert.deepEqual(bytesOf(healed.snapshot().chunks()), bytesOf(straight.snapshot().chunks()));
    assert.ok(most > 400, `never more than ${most} entries`);
  });
}

test('the state hash tells apart what differs in one value byte, revision, expiry, flag, touch, order, time or limit', () => {
  const key = (i: number): Uint8Array => new Uint8Array([i]);
  const base = (store: Store): void => {
    for (let i = 1; i <= 4; i++) store.set(key(i), new Uint8Array([9, i]), { revision: i, expiresAtMs: 100, flags: 1 });
  };
  const variants: ((store: Store) => void)[] = [
    () => {},
    (store) => store.set(key(4), new Uint8Array([9, 5]), { revision: 4, expiresAtMs: 100, flags: 1 }),
    (store) => store.set(key(4), new Uint8Array([9, 4]), { revision: 5, expiresAtMs: 100, flags: 1 }),
    (store) => store.set(key(4), new Uint8Array([9, 4]), { revision: 4, expiresAtMs: 101, flags: 1 }),
    (store) => store.set(key(4), new Uint8Array([9, 4]), { revision: 4, expiresAtMs: 100, flags: 2 }),
    (store) => store.touch(key(1)),
    (store) => store.touch(key(2)),
    (store) => store.delete(key(3)),
    (store) => store.advance(1),
    (store) => store.setMaxBytes(1000),
    (store) => {
      store.delete(key(3));
      store.set(key(3), new Uint8Array([9, 3]), { revision: 3, expiresAtMs: 100, flags: 1 });
    },
  ];
  const hashes = variants.map((vary) => {
    const store = new Store({ eviction: 'sieve' });
    base(store);
    vary(store);
    return store.stateHash();
  });
  // A write to a present key also touches it, so a variant never equals the base by accident.
  assert.equal(new Set(hashes).size, variants.length);
});

test('a delete undoes a set in the state hash, and reading leaves no trace', () => {
  const store = new Store();
  store.set(new Uint8Array([1]), new Uint8Array([1]), { revision: 1 });
  const before = store.stateHash();
  store.set(new Uint8Array([2]), new Uint8Array([2]), { revision: 2, expiresAtMs: 50 });
  assert.notEqual(store.stateHash(), before);
  store.get(new Uint8Array([1]));
  store.getInto(new Uint8Array([1]), new Uint8Array(1));
  store.scan({ limit: 10 });
  store.takeTouched();
  store.delete(new Uint8Array([2]));
  assert.equal(store.stateHash(), before);
});
