import type { Slots } from '../slots.js';
import { SlotList } from './list.js';
import type { Policy } from './policy.js';

/** The entry not used for the longest time leaves. Exact. */
export class LruPolicy implements Policy {
  readonly #list: SlotList;

  constructor(slots: Slots) {
    this.#list = new SlotList(slots);
  }

  inserted(slot: number): void {
    this.#list.pushTail(slot);
  }

  touched(slot: number): void {
    this.#list.moveToTail(slot);
  }

  removed(slot: number): void {
    this.#list.remove(slot);
  }

  victim(): number {
    return this.#list.head;
  }
}
