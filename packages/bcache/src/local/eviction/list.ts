import { nextAt, previousAt, type Slots } from '../slots.js';

/** A doubly linked list of slots, from the oldest (head) to the newest (tail); a slot is in one list at most. O(1). */
export class SlotList {
  readonly #slots: Slots;
  head = -1;
  tail = -1;
  length = 0;

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  pushTail(slot: number): void {
    const links = this.#slots.i32;
    links[slot * 8 + previousAt] = this.tail;
    links[slot * 8 + nextAt] = -1;
    if (this.tail >= 0) links[this.tail * 8 + nextAt] = slot;
    else this.head = slot;
    this.tail = slot;
    this.length++;
  }

  remove(slot: number): void {
    const links = this.#slots.i32;
    const previous = links[slot * 8 + previousAt]!;
    const next = links[slot * 8 + nextAt]!;
    if (previous >= 0) links[previous * 8 + nextAt] = next;
    else this.head = next;
    if (next >= 0) links[next * 8 + previousAt] = previous;
    else this.tail = previous;
    this.length--;
  }

  moveToTail(slot: number): void {
    if (slot === this.tail) return;
    this.remove(slot);
    this.pushTail(slot);
  }

  next(slot: number): number {
    return this.#slots.i32[slot * 8 + nextAt]!;
  }
}
