import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Change, ChangeKind } from '../core/change.js';
import { createCopier } from '../value/copy.js';
import { encodeValue } from '../value/encode.js';
import { LocalStore } from './store.js';

const copier = createCopier('freeze');

function newStore(now: () => number = () => 0): LocalStore {
  return new LocalStore({
    maxKeys: 1000,
    maxBytes: Number.POSITIVE_INFINITY,
    eviction: 'lru',
    deletionDelayMs: 1000,
    hashSeed: 1,
    codec: copier,
    now,
    clusterOffset: () => 0,
  });
}

/** What a store shows: living values, and nothing of how it got there. */
function shown(store: LocalStore): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const name of ['', 's']) {
    const space = store.space(name);
    for (const key of [...store.entries.keysOf(space)].sort())
      found[`${name}/${key}`] = store.entries.valueAt(store.entries.find(space, key));
  }
  return found;
}

const change: fc.Arbitrary<Change> = fc
  .record({
    kind: fc.constantFrom(0, 0, 0, 0, 1, 1, 2, 3) as fc.Arbitrary<ChangeKind>,
    space: fc.constantFrom('', 's'),
    key: fc.constantFrom('k1', 'k2', 'k3'),
    stamp: fc.integer({ min: 1, max: 12 }),
    origin: fc.constantFrom('a/1', 'b/1', 'c/1'),
    tags: fc.subarray(['k1', 'red']),
    expiresAtMs: fc.constantFrom(0, 0, 0, 5000),
  })
  .map((drawn) => {
    const isSet = drawn.kind === ChangeKind.set;
    // One version is one write: its value follows from it.
    const value = isSet
      ? encodeValue(`${drawn.space}/${drawn.key} of ${drawn.stamp} at ${drawn.origin}`)
      : new Uint8Array();
    const key = drawn.kind === ChangeKind.clear ? '' : drawn.key;
    return { ...drawn, key, dot: drawn.stamp, graceMs: 0, value, tags: isSet ? drawn.tags : [] };
  });

/** Two writes of one version would be one node giving one stamp twice: no clock does that. */
const changes = fc.uniqueArray(change, { maxLength: 25, selector: ({ stamp, origin }) => `${stamp} ${origin}` });

function merge(store: LocalStore, list: readonly Change[]): LocalStore {
  for (const one of list) store.apply(one);
  return store;
}

test('merging commutes: in whatever order changes arrive, a store shows the same', () => {
  fc.assert(
    fc.property(
      changes.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
      ([list, shuffled]) => {
        assert.deepEqual(shown(merge(newStore(), shuffled)), shown(merge(newStore(), list)));
      },
    ),
    { numRuns: 1000 },
  );
});

test('merging is idempotent: a change that comes again changes nothing', () => {
  fc.assert(
    fc.property(changes, fc.array(fc.nat(24)), (list, again) => {
      const once = shown(merge(newStore(), list));
      const repeated = [...list, ...again.flatMap((at) => list[at] ?? []), ...list];
      assert.deepEqual(shown(merge(newStore(), repeated)), once);
    }),
    { numRuns: 500 },
  );
});

test('merging is associative: the state of another store can be merged in place of its changes', () => {
  fc.assert(
    fc.property(changes, fc.nat(25), fc.nat(25), (list, i, j) => {
      const [from, to] = [Math.min(i, j), Math.max(i, j)];
      const parts = [list.slice(0, from), list.slice(from, to), list.slice(to)] as const;
      const whole = shown(merge(newStore(), list));
      // a + (b + c), where b + c is known by its state alone; and the other way round.
      const right = (): LocalStore => merge(merge(newStore(), parts[1]), parts[2]);
      const left = (): LocalStore => merge(newStore(), parts[0]);
      assert.deepEqual(shown(take(left(), right())), whole);
      assert.deepEqual(shown(take(right(), left())), whole);
    }),
    { numRuns: 500 },
  );
});

/** Merges the state of a store into another, as a newcomer does: first what it let go, then what it holds. */
function take(store: LocalStore, donor: LocalStore): LocalStore {
  for (const grave of donor.graves()) store.bury(grave);
  const records = donor.snapshot();
  for (let next = records.next(); !next.done; next = records.next()) store.apply(next.value);
  store.dropOutdated();
  return store;
}

test('an older invalidation that comes late does not hide a newer one that only its grave is left of', () => {
  const record = (kind: ChangeKind, key: string, stamp: number): Change => ({
    ...{ kind, space: '', key, stamp, dot: stamp, origin: 'a/1', expiresAtMs: 0, graceMs: 0 },
    tags: kind === ChangeKind.set ? ['t'] : [],
    value: kind === ChangeKind.set ? encodeValue(stamp) : new Uint8Array(),
  });
  const store = newStore();
  let nowMs = 0;
  const donor = newStore(() => nowMs);
  donor.apply(record(ChangeKind.invalidate, 't', 30));
  nowMs = 5_000;
  donor.tick();
  for (const grave of donor.graves()) store.bury(grave);
  merge(store, [record(ChangeKind.invalidate, 't', 10), record(ChangeKind.set, 'k', 20)]);
  assert.deepEqual(shown(store), {});
});
