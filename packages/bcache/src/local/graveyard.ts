/**
 * Remembers the newest version of keys that are no longer held: evicted, expired, or deleted so long ago that their
 * tombstone is gone. An older version that arrives late is refused by it; a miss is right, a stale value is not.
 *
 * A four-way associative table of exact tags, so that nothing is refused by mistake; a full row forgets its oldest.
 * Bounded: 20 bytes an entry, at most 1.25 MiB. A version is a stamp and the rank of its origin.
 */
export class Graveyard {
  readonly #rows: number;
  readonly #tags: Float64Array;
  readonly #stamps: Float64Array;
  readonly #ranks: Uint32Array;
  #size = 0;

  constructor(entries: number) {
    this.#rows = 2 ** Math.ceil(Math.log2(Math.min(65_536, Math.max(1_024, entries)) / 4));
    this.#tags = new Float64Array(this.#rows * 4);
    this.#stamps = new Float64Array(this.#rows * 4);
    this.#ranks = new Uint32Array(this.#rows * 4);
  }

  get size(): number {
    return this.#size;
  }

  bury(tag: number, stamp: number, rank: number): void {
    const row = (tag % this.#rows) * 4;
    let oldest = row;
    for (let at = row; at < row + 4; at++) {
      if (this.#tags[at] === tag) {
        if (this.#isAbove(at, stamp, rank)) return;
        oldest = at;
        break;
      }
      if (this.#stamps[at]! < this.#stamps[oldest]!) oldest = at;
    }
    if (this.#stamps[oldest] === 0) this.#size++;
    this.#tags[oldest] = tag;
    this.#stamps[oldest] = stamp;
    this.#ranks[oldest] = rank;
  }

  /** Whether a version newer than this one is known to have been held. */
  outdates(tag: number, stamp: number, rank: number): boolean {
    const row = (tag % this.#rows) * 4;
    for (let at = row; at < row + 4; at++) if (this.#tags[at] === tag) return this.#isAbove(at, stamp, rank);
    return false;
  }

  /** Forgets stamps above `highest`, which are void. Returns the highest that is left. */
  forgetAbove(highest: number): number {
    let left = 0;
    for (let at = 0; at < this.#stamps.length; at++) {
      const stamp = this.#stamps[at]!;
      if (stamp <= highest) left = Math.max(left, stamp);
      else {
        this.#stamps[at] = 0;
        this.#tags[at] = 0;
        this.#size--;
      }
    }
    return left;
  }

  /** Forgets what an origin, by its rank, said above a stamp: it is void. */
  forgetOf(rank: number, above: number): void {
    for (let at = 0; at < this.#stamps.length; at++) {
      if (this.#ranks[at] !== rank || this.#stamps[at]! <= above) continue;
      this.#stamps[at] = 0;
      this.#tags[at] = 0;
      this.#size--;
    }
  }

  *entries(): Generator<readonly [tag: number, stamp: number, rank: number]> {
    for (let at = 0; at < this.#tags.length; at++)
      if (this.#stamps[at] !== 0) yield [this.#tags[at]!, this.#stamps[at]!, this.#ranks[at]!];
  }

  #isAbove(at: number, stamp: number, rank: number): boolean {
    const held = this.#stamps[at]!;
    return held > stamp || (held === stamp && this.#ranks[at]! > rank);
  }
}

/** A 52-bit hash of a key in a namespace; the same on every node, for graves travel. */
export function graveTag(space: string, key: string): number {
  let a = 0x811c9dc5;
  let b = 0x9e3779b9;
  for (let i = 0; i < space.length; i++) {
    a = Math.imul(a ^ space.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ space.charCodeAt(i), 0x5bd1e995);
  }
  a ^= 0x10000;
  for (let i = 0; i < key.length; i++) {
    a = Math.imul(a ^ key.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ key.charCodeAt(i), 0x5bd1e995);
    b ^= b >>> 15;
  }
  return (a >>> 0) * 0x10_0000 + (mix(b) >>> 12);
}

/** Spreads a 32-bit hash over all its bits (the finalizer of MurmurHash3). */
export function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** A 32-bit hash of a key, for sketches and ghosts. */
export function keyHash(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return mix(hash);
}
