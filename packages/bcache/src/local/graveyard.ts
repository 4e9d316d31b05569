/**
 * Remembers the newest version of what is no longer held: keys that were evicted, expired, or deleted so long ago that
 * their tombstone is gone, and tags invalidated as long ago. An older version that arrives late is refused by it.
 *
 * A four-way associative table of exact tags. Where a row is full it forgets its oldest grave and keeps that one's stamp
 * as the row's floor: of a key unknown to a row nothing at or below its floor is taken. So what arrives later than some
 * 65,536 others were let go may be refused for nothing: a miss is right, a stale value is not.
 *
 * Bounded: 20 bytes an entry and 8 a row, 1.4 MiB at most. A version is a stamp and the rank of its origin.
 */
export class Graveyard {
  readonly #rows: number;
  readonly #tags: Float64Array;
  readonly #stamps: Float64Array;
  readonly #ranks: Uint32Array;
  readonly #floors: Float64Array;
  #size = 0;
  /** Graves forgotten because what they are of was void. */
  voided = 0;

  constructor(entries: number) {
    this.#rows = 2 ** Math.ceil(Math.log2(Math.max(1, entries) / 4));
    this.#tags = new Float64Array(this.#rows * 4);
    this.#stamps = new Float64Array(this.#rows * 4);
    this.#ranks = new Uint32Array(this.#rows * 4);
    this.#floors = new Float64Array(this.#rows);
  }

  get size(): number {
    return this.#size;
  }

  /** `isHearsay`: another node's grave. It takes a free place only: that node may have far more of them. */
  bury(tag: number, stamp: number, rank: number, isHearsay = false): void {
    const row = (tag % this.#rows) * 4;
    let oldest = row;
    for (let at = row; at < row + 4; at++) {
      if (this.#tags[at] === tag && this.#stamps[at] !== 0) {
        if (this.#isAbove(at, stamp, rank)) return;
        oldest = at;
        break;
      }
      if (this.#stamps[at]! < this.#stamps[oldest]!) oldest = at;
    }
    const held = this.#stamps[oldest]!;
    if (held === 0) this.#size++;
    else if (this.#tags[oldest] !== tag) {
      if (isHearsay) return;
      this.#raise(row / 4, Math.min(held, stamp));
      if (stamp < held) return;
    }
    this.#tags[oldest] = tag;
    this.#stamps[oldest] = stamp;
    this.#ranks[oldest] = rank;
  }

  /** Whether a version newer than this one is known to have been held, or may have been. */
  outdates(tag: number, stamp: number, rank: number): boolean {
    const row = tag % this.#rows;
    for (let at = row * 4; at < row * 4 + 4; at++)
      if (this.#tags[at] === tag && this.#stamps[at] !== 0) return this.#isAbove(at, stamp, rank);
    return stamp <= this.#floors[row]!;
  }

  /** As `outdates`, by graves alone. */
  knowsNewer(tag: number, stamp: number, rank: number): boolean {
    const row = (tag % this.#rows) * 4;
    for (let at = row; at < row + 4; at++)
      if (this.#tags[at] === tag && this.#stamps[at] !== 0) return this.#isAbove(at, stamp, rank);
    return false;
  }

  /** Forgets stamps above `highest`, which are void. Returns the highest that is left. */
  forgetAbove(highest: number): number {
    let left = 0;
    for (let at = 0; at < this.#stamps.length; at++) {
      const stamp = this.#stamps[at]!;
      if (stamp <= highest) left = Math.max(left, stamp);
      else this.#forget(at);
    }
    for (let row = 0; row < this.#rows; row++) {
      const floor = Math.min(this.#floors[row]!, highest);
      this.#floors[row] = floor;
      left = Math.max(left, floor);
    }
    return left;
  }

  /** Forgets what origins, by their ranks, said above a stamp: it is void. */
  forgetOf(voidAbove: ReadonlyMap<number, number>): void {
    if (this.#size === 0) return;
    for (let at = 0; at < this.#stamps.length; at++) {
      const stamp = this.#stamps[at]!;
      if (stamp !== 0 && stamp > (voidAbove.get(this.#ranks[at]!) ?? Infinity)) this.#forget(at);
    }
  }

  *entries(): Generator<readonly [tag: number, stamp: number, rank: number]> {
    for (let at = 0; at < this.#tags.length; at++)
      if (this.#stamps[at] !== 0) yield [this.#tags[at]!, this.#stamps[at]!, this.#ranks[at]!];
  }

  #raise(row: number, stamp: number): void {
    if (stamp > this.#floors[row]!) this.#floors[row] = stamp;
  }

  #forget(at: number): void {
    this.#stamps[at] = 0;
    this.#tags[at] = 0;
    this.#size--;
    this.voided++;
  }

  #isAbove(at: number, stamp: number, rank: number): boolean {
    const held = this.#stamps[at]!;
    return held > stamp || (held === stamp && this.#ranks[at]! > rank);
  }
}

/** A 52-bit hash of a key in a namespace; the same on every node, for graves travel. */
export function graveTag(space: string, key: string): number {
  return hash52(space, keyMark, key);
}

/** The same of a tag: never that of a key. */
export function tagGrave(space: string, tag: string): number {
  return hash52(space, tagMark, tag);
}

const keyMark = 0x10000;
const tagMark = 0x20000;

/** `mark` is no character: it tells the two texts apart. */
function hash52(space: string, mark: number, key: string): number {
  let a = 0x811c9dc5;
  let b = 0x9e3779b9;
  for (let i = 0; i < space.length; i++) {
    a = Math.imul(a ^ space.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ space.charCodeAt(i), 0x5bd1e995);
  }
  a ^= mark;
  for (let i = 0; i < key.length; i++) {
    a = Math.imul(a ^ key.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ key.charCodeAt(i), 0x5bd1e995);
    b ^= b >>> 15;
  }
  return (a >>> 0) * 0x10_0000 + (mix(b) >>> 12);
}

/** Spreads a 32-bit hash over all its bits (the finalizer of MurmurHash3). */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
