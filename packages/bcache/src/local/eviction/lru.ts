import { nextAt, previousAt, type Slots } from '../slots.js';
import { SlotList } from './list.js';
import type { Policy } from './policy.js';

const bufferSlots = 64;

/**
 * The entry not used for the longest time leaves. Exact: uses are applied in their order before anyone leaves.
 *
 * A read only notes its slot. Applied one by one, each would wait for the memory of two neighbours in the list; applied
 * sixty-four at a time, the processor fetches the neighbours of all of them side by side. (The read buffers of Caffeine
 * are for threads; here the same idea is for the memory.)
 */
export class LruPolicy implements Policy {
  readonly #slots: Slots;
  readonly #list: SlotList;
  readonly #buffer = new Int32Array(bufferSlots);
  #buffered = 0;
  /** Keeps the look-ahead from being optimized away. */
  seen = 0;

  constructor(slots: Slots) {
    this.#slots = slots;
    this.#list = new SlotList(slots);
  }

  inserted(slot: number): void {
    if (this.#buffered > 0) this.#apply();
    this.#list.pushTail(slot);
  }

  touched(slot: number): void {
    this.#buffer[this.#buffered++] = slot;
    if (this.#buffered === bufferSlots) this.#apply();
  }

  removed(slot: number): void {
    if (this.#buffered > 0) this.#apply();
    this.#list.remove(slot);
  }

  victim(): number {
    if (this.#buffered > 0) this.#apply();
    return this.#list.head;
  }

  #apply(): void {
    const links = this.#slots.i32;
    const count = this.#buffered;
    this.#buffered = 0;
    let seen = 0;
    for (let i = 0; i < count; i++) {
      const at = this.#buffer[i]! * 8;
      const previous = links[at + previousAt]!;
      const next = links[at + nextAt]!;
      // Off the list's ends is -1: then its own line is read again.
      seen ^= links[previous < 0 ? at : previous * 8]! ^ links[next < 0 ? at : next * 8]!;
    }
    this.seen = seen;
    for (let i = 0; i < count; i++) this.#list.moveToTail(this.#buffer[i]!);
  }
}
