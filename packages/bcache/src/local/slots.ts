/**
 * What the cache knows of each entry, in typed arrays: an entry is a slot, a small integer. What a `get` needs lies in
 * 32 bytes side by side, mostly one line of the processor's cache:
 *
 * ```
 *  0  f64  deadline   monotonic ms when the value expires, Infinity for never
 *  8  f64  stamp
 * 16  i32  previous   slot in the policy's list, -1 for none
 * 20  i32  next       and of the free list
 * 24  i32  marks      bits 0-7 the policy's, 8 clone on get, 9 has an extra
 * 28  i32  bytes      size of the encoded value and the key
 * ```
 *
 * Origin and namespace (20 and 12 bits) are in an array of their own. Cost: 36 bytes, and two references in arrays.
 */
export class Slots {
  f64: Float64Array;
  i32: Int32Array;
  /** `origin << 12 | space` as unsigned. */
  owner: Uint32Array;
  keys: (string | undefined)[];
  values: unknown[];
  #capacity: number;
  readonly #limit: number;
  /** Slots at and above this were never used. */
  #fresh = 0;
  #free = -1;

  constructor(limit: number) {
    this.#limit = limit;
    this.#capacity = Math.min(limit, 64);
    const hot = new ArrayBuffer(this.#capacity * 32);
    this.f64 = new Float64Array(hot);
    this.i32 = new Int32Array(hot);
    this.owner = new Uint32Array(this.#capacity);
    this.keys = new Array(this.#capacity);
    this.values = new Array(this.#capacity);
  }

  /** Slots that were ever used are below this. */
  get highWater(): number {
    return this.#fresh;
  }

  take(): number {
    if (this.#free >= 0) {
      const slot = this.#free;
      this.#free = this.i32[slot * 8 + nextAt]!;
      return slot;
    }
    if (this.#fresh === this.#capacity) this.#grow();
    return this.#fresh++;
  }

  give(slot: number): void {
    this.keys[slot] = undefined;
    this.values[slot] = undefined;
    this.i32[slot * 8 + marksAt] = 0;
    this.i32[slot * 8 + nextAt] = this.#free;
    this.#free = slot;
  }

  #grow(): void {
    const capacity = Math.min(this.#limit, this.#capacity * 2);
    if (capacity === this.#capacity) throw new RangeError(`all ${capacity} slots are taken`);
    const hot = new ArrayBuffer(capacity * 32);
    const i32 = new Int32Array(hot);
    i32.set(this.i32);
    this.i32 = i32;
    this.f64 = new Float64Array(hot);
    const owner = new Uint32Array(capacity);
    owner.set(this.owner);
    this.owner = owner;
    // `push` would leave a third of the array unused.
    this.keys = enlarged(this.keys, capacity);
    this.values = enlarged(this.values, capacity);
    this.#capacity = capacity;
  }
}

function enlarged<T>(array: readonly T[], capacity: number): T[] {
  const grown = new Array<T>(capacity);
  for (let i = 0; i < array.length; i++) grown[i] = array[i]!;
  return grown;
}

/** Offsets in a slot's eight 32-bit words. */
export const previousAt = 4;
export const nextAt = 5;
export const marksAt = 6;
export const bytesAt = 7;

export const policyMask = 0xff;
export const cloneBit = 0x100;
export const extraBit = 0x200;
