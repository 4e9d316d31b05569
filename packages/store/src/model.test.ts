import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import fc from 'fast-check';
import type { EvictionPolicy } from './options.js';
import { Store } from './store.js';
import { Model } from './testing/model.js';
import { applyToModel, applyToStore, type Operation, randomOperation } from './testing/operation.js';
import { readSnapshot } from './testing/read-snapshot.js';

const policies: readonly EvictionPolicy[] = ['sieve', 's3fifo', 'fifo', 'none'];

/** Everything of the store that a user could ever come to see equals the model. */
function assertSame(store: Store, model: Model): void {
  const content = readSnapshot(store.snapshot().chunks());
  const expected = [...model.small, ...model.main].map((key) => {
    const { touches, value, revision, expiresAtMs, flags } = model.entries.get(key)!;
    return {
      key,
      value,
      revision,
      expiresAtMs,
      flags,
      touches,
      isSmall: model.small.includes(key),
      isHand: model.hand === key,
    };
  });
  assert.deepEqual(content.entries, expected);
  assert.equal(content.ghosts, model.ghosts.length);
  assert.equal(content.maxBytes, model.maxBytes);
  assert.equal(content.nowMs, model.nowMs);
  assert.equal(content.stateHash, store.stateHash());
  assert.equal(store.nextExpiryMs(), model.nextExpiryMs());
  const { entries, liveBytes, evictions, expirations } = store.stats();
  assert.deepEqual(
    { entries, liveBytes, evictions, expirations },
    {
      entries: model.entries.size,
      liveBytes: model.liveBytes(),
      evictions: model.evictions,
      expirations: model.expirations,
    },
  );
}

function restored(store: Store): Store {
  const copy = new Store({ segmentBytes: 8192 });
  const restorer = copy.restore();
  for (const chunk of store.snapshot().chunks()) restorer.write(chunk);
  restorer.finish();
  return copy;
}

const key = fc.nat({ max: 30 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('set' as const),
      key,
      bytes: fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 2000 })),
      ttlMs: fc.oneof(fc.constant(0), fc.integer({ min: -3, max: 30 })),
      flags: fc.oneof(fc.constant(0), fc.nat({ max: 2 ** 32 - 1 })),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constantFrom('delete' as const, 'touch' as const, 'read' as const), key }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('advance' as const),
      byMs: fc.nat({ max: 20 }),
      budget: fc.nat({ max: 4 }),
    }),
  },
);

for (const policy of policies) {
  test(`${policy}: every short run of operations does what the model does`, () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 120 }), fc.nat({ max: 5000 }), (operations, maxBytes) => {
        const store = new Store({ eviction: policy, maxBytes, segmentBytes: 4096 });
        const model = new Model(policy, maxBytes);
        operations.forEach((each, at) => {
          assert.equal(applyToStore(store, each, at + 1), applyToModel(model, each, at + 1));
        });
        assertSame(store, model);
      }),
      { numRuns: 150, seed: 1 },
    );
  });

  test(`${policy}: 20,000 random operations with time, limits, compaction and restores do what the model does`, () => {
    const random = new SeededRandom(policies.indexOf(policy) + 7);
    const maxBytes = 60_000;
    let store = new Store({ eviction: policy, maxBytes, segmentBytes: 4096, seed: 5 });
    const model = new Model(policy, maxBytes);
    for (let at = 1; at <= 20_000; at++) {
      const each = randomOperation(random, 500, maxBytes);
      assert.equal(
        applyToStore(store, each, at),
        applyToModel(model, each, at),
        `operation ${at}: ${JSON.stringify(each)}`,
      );
      if (at % 500 === 0) assertSame(store, model);
      if (at % 4001 === 0) {
        const copy = restored(store);
        assertSame(copy, Object.assign(Object.create(Model.prototype), model, { evictions: 0, expirations: 0 }));
        store = copy;
        model.evictions = 0;
        model.expirations = 0;
      }
    }
    assert.ok(store.stats().allocatedBytes < 400_000, `${store.stats().allocatedBytes} bytes for ${maxBytes}`);
  });
}
