/** Slots a shard may have before it splits in two: 32 KiB, whose rehash takes some ten microseconds. */
const MOST_SLOTS = 4096;
const LEAST_SLOTS = 16;
/** Fullest a shard may be. Linear probing then looks at about 4 slots for a hit and 23 for a miss, side by side. */
const MOST_LOAD = 0.85;
/** Load after a rehash: growth in steps of a quarter keeps the average load near 0.76, where doubling gives 0.6. */
const FRESH_LOAD = 0.68;

/** Pairs of (hash, id) in open addressing with linear probing; id 0 marks an empty slot. */
interface Shard {
  slots: Uint32Array;
  /** Slots, half of `slots.length`. */
  size: number;
  count: number;
  /** High bits of the hash that all pairs of the shard share. */
  depth: number;
}

/**
 * A multimap from 32-bit hashes to 32-bit ids that grows without a pause: extendible hashing (Fagin et al., TODS 1979)
 * over small shards. A directory indexed by the hash's high bits names the shard; within it the low 16 bits give the
 * place. A shard that fills up is rehashed alone, by a quarter larger or in two halves, so no operation moves more than
 * `MOST_SLOTS` pairs, and none reads a key. 9.4 to 11.8 bytes an id.
 *
 * Rejected: one table with two generations (Redis), which needs twice the memory while it moves and a look into both;
 * hashes beside the entries instead of here, which costs a cache miss at every probe.
 */
export class Table {
  #directory: Shard[] = [newShard(LEAST_SLOTS, 0)];
  /** The directory has 2^depth places. */
  #depth = 0;
  #allocatedBytes = LEAST_SLOTS * 8;
  /** Where `next` goes on. */
  #slots: Uint32Array = this.#directory[0]!.slots;
  #hash = 0;
  #at = 0;

  get allocatedBytes(): number {
    return this.#allocatedBytes + this.#directory.length * 8;
  }

  /** The first id of `hash`, or 0. Ids of one hash come in no order. */
  first(hash: number): number {
    const shard = this.#shardOf(hash);
    this.#slots = shard.slots;
    this.#hash = hash;
    this.#at = home(hash, shard.size) * 2;
    return this.next();
  }

  /** The next id of the hash that `first` was asked for, or 0. Not across `add` or `remove`. */
  next(): number {
    const slots = this.#slots;
    const hash = this.#hash;
    let at = this.#at;
    for (;;) {
      const id = slots[at + 1]!;
      const isMatch = slots[at] === hash;
      if (id === 0) {
        this.#at = at;
        return 0;
      }
      at += 2;
      if (at === slots.length) at = 0;
      if (isMatch) {
        this.#at = at;
        return id;
      }
    }
  }

  /** Adds a pair that is not there yet. */
  add(hash: number, id: number): void {
    let shard = this.#shardOf(hash);
    while (shard.count + 1 > shard.size * MOST_LOAD) {
      this.#makeRoom(shard);
      shard = this.#shardOf(hash);
    }
    place(shard.slots, shard.size, hash, id);
    shard.count++;
  }

  /** Removes a pair; false when it is not there. What was probed past it moves back, so there are no tombstones. */
  remove(hash: number, id: number): boolean {
    const shard = this.#shardOf(hash);
    const { slots, size } = shard;
    let hole = home(hash, size);
    while (slots[hole * 2 + 1] !== id) {
      if (slots[hole * 2 + 1] === 0) return false;
      if (++hole === size) hole = 0;
    }
    let at = hole;
    for (;;) {
      if (++at === size) at = 0;
      if (slots[at * 2 + 1] === 0) break;
      const from = home(slots[at * 2]!, size);
      // Moving back is allowed only where the probe from its home passes the hole.
      const isBetween = hole <= at ? hole < from && from <= at : hole < from || from <= at;
      if (isBetween) continue;
      slots[hole * 2] = slots[at * 2]!;
      slots[hole * 2 + 1] = slots[at * 2 + 1]!;
      hole = at;
    }
    slots[hole * 2 + 1] = 0;
    shard.count--;
    if (shard.count * 4 < size && size > LEAST_SLOTS * 2) this.#resize(shard, shard.count / FRESH_LOAD);
    return true;
  }

  /**
   * Ids at or after (hash, id), in the order of hash then id, for the one shard that `hash` falls into; `visit` returns
   * false to stop. Returns the first hash of the next shard, 2^32 after the last.
   */
  walkShard(hash: number, id: number, visit: (hash: number, id: number) => boolean): number {
    const { slots, size, depth } = this.#shardOf(hash);
    const found = new Float64Array(size);
    let count = 0;
    for (let slot = 0; slot < size; slot++) {
      const other = slots[slot * 2]!;
      if (slots[slot * 2 + 1] !== 0 && other >= hash) found[count++] = other * 0x20_0000 + slot;
    }
    const order = found.subarray(0, count).sort();
    for (let i = 0; i < count; ) {
      const at = Math.floor(order[i]! / 0x20_0000);
      const ids: number[] = [];
      for (; i < count && Math.floor(order[i]! / 0x20_0000) === at; i++)
        ids.push(slots[(order[i]! % 0x20_0000) * 2 + 1]!);
      for (const other of ids.sort((a, b) => a - b)) if ((at !== hash || other >= id) && !visit(at, other)) return at;
    }
    const span = 2 ** (32 - depth);
    return (Math.floor(hash / span) + 1) * span;
  }

  #shardOf(hash: number): Shard {
    return this.#directory[this.#depth === 0 ? 0 : hash >>> (32 - this.#depth)]!;
  }

  #makeRoom(shard: Shard): void {
    const larger = Math.max(LEAST_SLOTS, Math.ceil(shard.size * 1.25));
    if (larger <= MOST_SLOTS || !this.#split(shard)) this.#resize(shard, larger);
  }

  #resize(shard: Shard, slots: number): void {
    const size = Math.max(LEAST_SLOTS, Math.ceil(slots));
    const resized = newShard(size, shard.depth);
    for (let i = 0; i < shard.slots.length; i += 2)
      if (shard.slots[i + 1] !== 0) place(resized.slots, size, shard.slots[i]!, shard.slots[i + 1]!);
    this.#allocatedBytes += (size - shard.size) * 8;
    shard.slots = resized.slots;
    shard.size = size;
  }

  /** False when the next bit does not tell the pairs apart (only a hash that is no hash does that). */
  #split(shard: Shard): boolean {
    const shift = 31 - shard.depth;
    if (shift < 4) return false;
    let ones = 0;
    for (let i = 0; i < shard.slots.length; i += 2)
      if (shard.slots[i + 1] !== 0) ones += (shard.slots[i]! >>> shift) & 1;
    if (Math.min(ones, shard.count - ones) * 16 < shard.count) return false;
    if (shard.depth === this.#depth) {
      this.#directory = this.#directory.flatMap((each) => [each, each]);
      this.#depth++;
    }
    const halves = [shard.count - ones, ones].map((count) =>
      newShard(Math.max(LEAST_SLOTS, Math.ceil(count / FRESH_LOAD)), shard.depth + 1),
    );
    for (let i = 0; i < shard.slots.length; i += 2) {
      if (shard.slots[i + 1] === 0) continue;
      const half = halves[(shard.slots[i]! >>> shift) & 1]!;
      place(half.slots, half.size, shard.slots[i]!, shard.slots[i + 1]!);
      half.count++;
    }
    this.#allocatedBytes += (halves[0]!.size + halves[1]!.size - shard.size) * 8;
    const span = 2 ** (this.#depth - shard.depth);
    const from = this.#directory.indexOf(shard);
    for (let i = 0; i < span; i++) this.#directory[from + i] = halves[i < span / 2 ? 0 : 1]!;
    return true;
  }
}

function newShard(size: number, depth: number): Shard {
  return { slots: new Uint32Array(size * 2), size, count: 0, depth };
}

/** Where a hash would like to be among `size` slots: its low 16 bits, scaled, so that any size will do. */
function home(hash: number, size: number): number {
  return (((hash & 0xffff) * size) / 0x1_0000) | 0;
}

function place(slots: Uint32Array, size: number, hash: number, id: number): void {
  let slot = home(hash, size);
  while (slots[slot * 2 + 1] !== 0) if (++slot === size) slot = 0;
  slots[slot * 2] = hash;
  slots[slot * 2 + 1] = id;
}
