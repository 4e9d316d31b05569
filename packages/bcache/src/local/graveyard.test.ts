import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChangeKind, noBytes } from '../core/change.js';
import { createCopier } from '../value/copy.js';
import { encodeValue } from '../value/encode.js';
import { Graveyard, graveTag, tagGrave } from './graveyard.js';
import { LocalStore } from './store.js';

test('a graveyard refuses what is older than it knows, and what may be older than it has forgotten', () => {
  const burial = fc.record({ tag: fc.nat(40), stamp: fc.integer({ min: 1, max: 100 }), rank: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(burial, { maxLength: 100 }), burial, (burials, asked) => {
      const graves = new Graveyard(8);
      for (const { tag, stamp, rank } of burials) graves.bury(tag, stamp, rank);
      const isOlder = burials.some(
        ({ tag, stamp, rank }) =>
          tag === asked.tag && (stamp > asked.stamp || (stamp === asked.stamp && rank > asked.rank)),
      );
      if (isOlder) assert.ok(graves.outdates(asked.tag, asked.stamp, asked.rank));
      // Newer than all there is: never refused.
      assert.ok(!graves.outdates(asked.tag, 101, 0));
      assert.ok(graves.size <= 8);
    }),
    { numRuns: 2000 },
  );
});

test("another node's graves fill free places, and refuse nothing but what they are of", () => {
  const graves = new Graveyard(4);
  for (let tag = 0; tag < 100; tag++) graves.bury(tag, 50, 1, true);
  assert.equal(graves.size, 4);
  assert.ok(graves.outdates(0, 49, 1));
  assert.ok(!graves.outdates(99, 1, 1));
});

test('void stamps are forgotten, and so is what was refused for them', () => {
  const graves = new Graveyard(4);
  for (let tag = 0; tag < 6; tag++) graves.bury(tag, 100 + tag, 7);
  assert.equal(graves.forgetAbove(60), 60);
  assert.equal(graves.size, 0);
  assert.ok(!graves.outdates(5, 61, 0));
});

test('the grave of a tag is never that of a key', () => {
  assert.notEqual(graveTag('space', 'name'), tagGrave('space', 'name'));
});

test('whatever is evicted, expires or is deleted, and however late an older version comes, it is not shown', () => {
  const copier = createCopier('freeze');
  const step = fc.record({
    key: fc.integer({ min: 0, max: 30 }).map((i) => `k${i}`),
    kind: fc.constantFrom(ChangeKind.set, ChangeKind.set, ChangeKind.set, ChangeKind.delete),
    stamp: fc.integer({ min: 1, max: 1000 }),
    lifeMs: fc.constantFrom(0, 0, 3),
  });
  const steps = fc.uniqueArray(step, { maxLength: 120, selector: ({ stamp }) => stamp });
  fc.assert(
    fc.property(steps, (list) => {
      let nowMs = 0;
      const store = new LocalStore({
        maxKeys: 5,
        maxBytes: Number.POSITIVE_INFINITY,
        eviction: 'lru',
        deletionDelayMs: 2,
        // Far fewer than there are keys: most are forgotten again.
        graves: 8,
        hashSeed: 1,
        codec: copier,
        now: () => nowMs,
        clusterOffset: () => 0,
      });
      const space = store.space('');
      const newest = new Map<string, number>();
      for (const { key, kind, stamp, lifeMs } of list) {
        nowMs++;
        const isSet = kind === ChangeKind.set;
        store.apply({
          ...{ kind, space: '', key, stamp, dot: stamp, origin: 'a/1', graceMs: 0, tags: [] },
          expiresAtMs: isSet && lifeMs > 0 ? nowMs + lifeMs : 0,
          value: isSet ? encodeValue(stamp) : noBytes,
        });
        store.tick();
        newest.set(key, Math.max(stamp, newest.get(key) ?? 0));
        for (const shown of store.entries.keysOf(space))
          assert.equal(store.entries.valueAt(store.entries.find(space, shown)), newest.get(shown));
      }
    }),
    { numRuns: 500 },
  );
});
