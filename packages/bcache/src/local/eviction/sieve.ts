import type { Slots } from '../slots.js';
import { SlotList } from './list.js';
import type { Policy } from './policy.js';

const visitedBit = 1;

/**
 * SIEVE: a queue in order of insertion and a hand that walks from the oldest to the newest. Who was read since the hand
 * last passed is spared and stays in its place; the first who was not leaves.
 *
 * (Zhang, Yang, Yue, Vigfusson, Rashmi: SIEVE is Simpler than LRU, NSDI 2024, algorithm 1)
 */
export class SievePolicy implements Policy {
  readonly #slots: Slots;
  readonly #list: SlotList;
  #hand = -1;

  constructor(slots: Slots) {
    this.#slots = slots;
    this.#list = new SlotList(slots);
  }

  inserted(slot: number): void {
    this.#list.pushTail(slot);
  }

  touched(slot: number): void {
    this.#slots.marks[slot]! |= visitedBit;
  }

  removed(slot: number): void {
    if (this.#hand === slot) this.#hand = this.#list.next(slot);
    this.#list.remove(slot);
    this.#slots.marks[slot]! &= ~visitedBit;
  }

  victim(): number {
    const { marks } = this.#slots;
    const { head, tail } = this.#list;
    // The newest came in a moment ago, to the place that is being made: the hand does not reach it.
    let hand = this.#hand >= 0 && this.#hand !== tail ? this.#hand : head;
    // Ends after one round at most: each step clears a bit.
    while ((marks[hand]! & visitedBit) !== 0) {
      marks[hand]! &= ~visitedBit;
      const next = this.#list.next(hand);
      hand = next >= 0 && next !== tail ? next : head;
    }
    this.#hand = hand;
    return hand;
  }
}
