/**
 * What the cache knows of each entry: an entry is a slot, a small integer, and its fields are in arrays side by side.
 *
 * A `get` waits for memory, not for instructions: it reads the key and the value, which are neighbours, and three arrays
 * that are dense enough to stay in the processor's cache. What only writes need is elsewhere. Cost: 53 bytes a slot.
 */
export class Slots {
  /** Key and value of slot s at 2s and 2s + 1; undefined where the slot is free. */
  pairs: unknown[] = [];
  /** Monotonic ms when the value expires, Infinity for never. */
  deadlines: Float64Array = new Float64Array(0);
  /** Neighbours in the policy's list at 2s (older) and 2s + 1 (newer), -1 for none. Of a free slot: the next free one. */
  links: Int32Array = new Int32Array(0);
  /** The policy's bits, `cloneBit` and `extraBit`. */
  marks: Uint8Array = new Uint8Array(0);
  stamps: Float64Array = new Float64Array(0);
  /** `origin << 12 | space`: 20 and 12 bits. */
  owners: Uint32Array = new Uint32Array(0);
  /** Bytes of the encoded value and the key. */
  sizes: Int32Array = new Int32Array(0);
  /** The key's hash, as its index has it. */
  hashes: Int32Array = new Int32Array(0);
  #capacity = 0;
  readonly #limit: number;
  /** Slots at and above this were never used. */
  #fresh = 0;
  #free = -1;

  constructor(limit: number) {
    this.#limit = limit;
    this.#resize(Math.min(limit, 64));
  }

  /** Slots that were ever used are below this. */
  get highWater(): number {
    return this.#fresh;
  }

  keyAt(slot: number): string | undefined {
    return this.pairs[slot * 2] as string | undefined;
  }

  take(): number {
    if (this.#free >= 0) {
      const slot = this.#free;
      this.#free = this.links[slot * 2]!;
      return slot;
    }
    if (this.#fresh === this.#capacity) {
      if (this.#capacity === this.#limit) throw new RangeError(`all ${this.#limit} slots are taken`);
      this.#resize(Math.min(this.#limit, this.#capacity * 2));
    }
    return this.#fresh++;
  }

  give(slot: number): void {
    this.pairs[slot * 2] = undefined;
    this.pairs[slot * 2 + 1] = undefined;
    this.marks[slot] = 0;
    this.links[slot * 2] = this.#free;
    this.#free = slot;
  }

  #resize(capacity: number): void {
    const { pairs } = this;
    // Of that length from the start: `push` would leave a third of it unused.
    this.pairs = new Array(capacity * 2);
    for (let i = 0; i < pairs.length; i++) this.pairs[i] = pairs[i];
    this.deadlines = copyInto(new Float64Array(capacity), this.deadlines);
    this.links = copyInto(new Int32Array(capacity * 2), this.links);
    this.marks = copyInto(new Uint8Array(capacity), this.marks);
    this.stamps = copyInto(new Float64Array(capacity), this.stamps);
    this.owners = copyInto(new Uint32Array(capacity), this.owners);
    this.sizes = copyInto(new Int32Array(capacity), this.sizes);
    this.hashes = copyInto(new Int32Array(capacity), this.hashes);
    this.#capacity = capacity;
  }
}

function copyInto<T extends { set(from: T): void }>(target: T, from: T): T {
  target.set(from);
  return target;
}

/** Most slots there can be: an index has 24 bits for one, and V8 keeps an array of twice as many as fast. */
export const mostSlots: number = 2 ** 24 - 1;

/** Bits of a mark: those that are the policy's; whether each `get` copies the value; whether the entry has an extra. */
export const policyMask = 0x3f;
export const cloneBit = 0x40;
export const extraBit = 0x80;
