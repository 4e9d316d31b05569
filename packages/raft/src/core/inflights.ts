import { assert } from '@dcache/base';

/**
 * The appends that were sent to one follower and not answered: a ring of (last index, bytes), oldest first. It is what
 * keeps a leader from flooding a slow follower. (Thesis §10.2.1, pipelining)
 *
 * The ring grows by doubling up to `maxCount`, because most followers never have more than a few open.
 */
export class Inflights {
  readonly maxCount: number;
  readonly maxBytes: number;
  #indexes: number[] = [];
  #sizes: number[] = [];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(maxCount: number, maxBytes: number) {
    this.maxCount = maxCount;
    this.maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** No further append may be sent. The last one may pass `maxBytes`, so that a large entry travels at all. */
  get isFull(): boolean {
    return this.#count >= this.maxCount || this.#bytes >= this.maxBytes;
  }

  /** Notes an append whose last entry is `index`; indexes must not fall. */
  add(index: number, bytes: number): void {
    assert(!this.isFull, 'an append was sent past the inflight limit');
    if (this.#count === this.#indexes.length) this.#grow();
    const at = (this.#start + this.#count) % this.#indexes.length;
    this.#indexes[at] = index;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Forgets every append that ends at `index` or before. */
  freeTo(index: number): void {
    while (this.#count > 0 && this.#indexes[this.#start]! <= index) {
      this.#bytes -= this.#sizes[this.#start]!;
      this.#start = (this.#start + 1) % this.#indexes.length;
      this.#count--;
    }
  }

  /** Forgets all. */
  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const capacity = Math.min(this.maxCount, Math.max(8, this.#indexes.length * 2));
    const indexes = new Array<number>(capacity).fill(0);
    const sizes = new Array<number>(capacity).fill(0);
    for (let i = 0; i < this.#count; i++) {
      const from = (this.#start + i) % this.#indexes.length;
      indexes[i] = this.#indexes[from]!;
      sizes[i] = this.#sizes[from]!;
    }
    this.#indexes = indexes;
    this.#sizes = sizes;
    this.#start = 0;
  }
}
