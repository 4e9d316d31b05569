import type { Slots } from './slots.js';

/**
 * Finds the slot of a key: open addressing with linear probing, at most half full (Knuth, TAOCP vol. 3, §6.4,
 * algorithms L and R). A place is one integer: bits 0-23 the slot + 1, 0 where it is free; bits 24-31 bits of the key's
 * hash, so that nearly every wrong key is told apart without a look at it.
 *
 * It takes the place of a `Map`: 8 to 16 bytes an entry instead of 30, and one place to fetch where a `Map` has a bucket
 * and a chain of entries. The hash of a string that V8 keeps cannot be had, so each call computes one: about a
 * nanosecond for two characters, less than one miss of the processor's cache.
 *
 * Keys come from users: the seed is secret, and a key that would be further than `farthest` from its place goes to a
 * `Map`, so that whoever finds keys of one hash even so gains nothing.
 */
export class KeyIndex {
  readonly #slots: Slots;
  readonly #seed: number;
  #table: Int32Array = new Int32Array(16);
  #mask = 15;
  #size = 0;
  #far: Map<string, number> | undefined;

  constructor(slots: Slots, seed: number) {
    this.#slots = slots;
    this.#seed = seed | 0;
  }

  /** The key's slot, or -1. */
  find(key: string): number {
    const hash = hashOf(key, this.#seed);
    const table = this.#table;
    const mask = this.#mask;
    const { pairs } = this.#slots;
    let at = hash & mask;
    for (let steps = farthest; steps > 0; steps--) {
      const entry = table[at]!;
      if (entry === 0) break;
      if (((entry ^ hash) & hashBits) === 0) {
        const slot = (entry & slotBits) - 1;
        if (pairs[slot * 2] === key) return slot;
      }
      at = (at + 1) & mask;
    }
    return this.#far === undefined ? -1 : (this.#far.get(key) ?? -1);
  }

  /** Adds a key that is not in it; notes its hash in the slot. */
  add(key: string, slot: number): void {
    if (++this.#size * 2 > this.#mask) this.#grow();
    const hash = hashOf(key, this.#seed);
    this.#slots.hashes[slot] = hash;
    if (!this.#place(slot, hash)) this.#placeFar(key, slot);
  }

  /** Removes the key of a slot. */
  remove(key: string, slot: number): void {
    this.#size--;
    const { hashes } = this.#slots;
    const table = this.#table;
    const mask = this.#mask;
    let hole = hashes[slot]! & mask;
    for (let steps = 0; (table[hole]! & slotBits) !== slot + 1; steps++) {
      if (steps === farthest || table[hole] === 0) {
        this.#far?.delete(key);
        return;
      }
      hole = (hole + 1) & mask;
    }
    // Who probed past the hole to its place moves into it, so that no search stops too early.
    for (let at = (hole + 1) & mask; table[at] !== 0; at = (at + 1) & mask) {
      const home = hashes[(table[at]! & slotBits) - 1]! & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      table[hole] = table[at]!;
      hole = at;
    }
    table[hole] = 0;
  }

  #place(slot: number, hash: number): boolean {
    const table = this.#table;
    const mask = this.#mask;
    let at = hash & mask;
    for (let steps = farthest; steps > 0; steps--) {
      if (table[at] === 0) {
        table[at] = (hash & hashBits) | (slot + 1);
        return true;
      }
      at = (at + 1) & mask;
    }
    return false;
  }

  #placeFar(key: string, slot: number): void {
    this.#far ??= new Map();
    this.#far.set(key, slot);
  }

  #grow(): void {
    const old = this.#table;
    const far = this.#far;
    const { hashes, pairs } = this.#slots;
    this.#table = new Int32Array(old.length * 2);
    this.#mask = this.#table.length - 1;
    this.#far = undefined;
    const place = (slot: number): void => {
      if (!this.#place(slot, hashes[slot]!)) this.#placeFar(pairs[slot * 2] as string, slot);
    };
    for (let at = 0; at < old.length; at++) if (old[at] !== 0) place((old[at]! & slotBits) - 1);
    if (far !== undefined) for (const slot of far.values()) place(slot);
  }
}

const slotBits = 0xff_ffff;
const hashBits = 0xff00_0000;
/** Half full, one key in 250,000 is further from its place than this. */
const farthest = 64;

/** A seeded 32-bit hash, two characters at a time: multiply, then fold the high half down. */
function hashOf(key: string, seed: number): number {
  const end = key.length - 1;
  let hash = seed;
  let i = 0;
  for (; i < end; i += 2) {
    hash = Math.imul(hash ^ (key.charCodeAt(i) | (key.charCodeAt(i + 1) << 16)), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  if (i === end) {
    hash = Math.imul(hash ^ key.charCodeAt(i), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  // Short keys that differ in little: once more, for the policies that use the hash too.
  hash = Math.imul(hash, 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
