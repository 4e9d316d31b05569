import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeyIndex } from './key-index.js';
import { Slots } from './slots.js';

/** An index beside the `Map` that it has to be like. */
class Pair {
  readonly slots = new Slots(100_000);
  readonly index: KeyIndex;
  readonly map = new Map<string, number>();

  constructor(seed: number) {
    this.index = new KeyIndex(this.slots, seed);
  }

  add(key: string): void {
    if (this.map.has(key)) return;
    const slot = this.slots.take();
    this.slots.pairs[slot * 2] = key;
    this.index.add(key, slot);
    this.map.set(key, slot);
  }

  remove(key: string): void {
    const slot = this.map.get(key);
    if (slot === undefined) return;
    this.index.remove(key, slot);
    this.slots.give(slot);
    this.map.delete(key);
  }

  check(keys: Iterable<string>): void {
    for (const key of keys) assert.equal(this.index.find(key), this.map.get(key) ?? -1, JSON.stringify(key));
  }
}

test('an index finds what a Map finds, whatever is added and removed', () => {
  const key = fc.oneof(
    fc.nat(60).map(String),
    fc.string({ maxLength: 5 }),
    fc.string({ unit: 'binary', maxLength: 4 }),
  );
  const step = fc.record({ key, isAdded: fc.boolean() });
  fc.assert(
    fc.property(fc.integer(), fc.array(step, { maxLength: 300 }), (seed, steps) => {
      const pair = new Pair(seed);
      for (const { key, isAdded } of steps) {
        if (isAdded) pair.add(key);
        else pair.remove(key);
      }
      pair.check(steps.map(({ key }) => key));
    }),
    { numRuns: 300 },
  );
});

test('keys of one hash are all found, and cost no more than a Map where there are thousands of them', () => {
  // The highest bit, multiplied by an odd number, stays that bit alone, and the fold adds one more: the next two characters
  // can undo both, under any seed. Whoever knows that can make as many keys of one hash as they like.
  const parts = [
    String.fromCharCode(0x4e00, 0x4e00, 0x4e00, 0x4e00),
    String.fromCharCode(0x4e00, 0xce00, 0x4e00, 0xce01),
  ];
  const bits = Array.from({ length: 12 }, (_, bit) => bit);
  const alike = Array.from({ length: 4096 }, (_, i) => bits.map((bit) => parts[(i >>> bit) & 1]).join(''));
  const pair = new Pair(0x1234_5678);
  const others = Array.from({ length: 500 }, (_, i) => `other${i}`);
  for (const key of [...alike, ...others]) pair.add(key);
  const hashes = new Set(alike.map((key) => pair.slots.hashes[pair.map.get(key)!]));
  assert.equal(hashes.size, 1);
  pair.check([...alike, ...others]);
  for (const key of alike.slice(0, 2048)) pair.remove(key);
  pair.check([...alike, ...others]);
  for (const key of alike) pair.add(key);
  pair.check([...alike, ...others]);
});
