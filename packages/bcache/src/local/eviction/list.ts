import type { Slots } from '../slots.js';

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
    const { links } = this.#slots;
    links[slot * 2] = this.tail;
    links[slot * 2 + 1] = -1;
    if (this.tail >= 0) links[this.tail * 2 + 1] = slot;
    else this.head = slot;
    this.tail = slot;
    this.length++;
  }

  remove(slot: number): void {
    const { links } = this.#slots;
    const older = links[slot * 2]!;
    const newer = links[slot * 2 + 1]!;
    if (older >= 0) links[older * 2 + 1] = newer;
    else this.head = newer;
    if (newer >= 0) links[newer * 2] = older;
    else this.tail = older;
    this.length--;
  }

  moveToTail(slot: number): void {
    if (slot === this.tail) return;
    const { links } = this.#slots;
    const older = links[slot * 2]!;
    const newer = links[slot * 2 + 1]!;
    if (older >= 0) links[older * 2 + 1] = newer;
    else this.head = newer;
    links[newer * 2] = older;
    links[slot * 2] = this.tail;
    links[slot * 2 + 1] = -1;
    links[this.tail * 2 + 1] = slot;
    this.tail = slot;
  }

  next(slot: number): number {
    return this.#slots.links[slot * 2 + 1]!;
  }
}
