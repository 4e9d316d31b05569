import type { Slots } from '../slots.js';
import { SlotList } from './list.js';
import type { Policy } from './policy.js';

const frequencyMask = 3;
const mainBit = 4;

/**
 * S3-FIFO: a small queue that most newcomers leave again, a main queue for those read meanwhile, and the names (hashes)
 * of those who left the small queue: who returns soon goes into the main queue at once.
 *
 * (Yang, Zhang, Qiu, Yue, Rashmi: FIFO queues are all you need for cache eviction, SOSP 2023, §4; small queue 10 %)
 */
export class S3FifoPolicy implements Policy {
  readonly #slots: Slots;
  readonly #small: SlotList;
  readonly #main: SlotList;
  readonly #ghost: GhostQueue;
  readonly #smallTarget: number;
  /** Came in a moment ago, to the place that is being made: it is not who leaves. */
  #newest = -1;

  constructor(slots: Slots, capacity: number) {
    this.#slots = slots;
    this.#small = new SlotList(slots);
    this.#main = new SlotList(slots);
    this.#smallTarget = Math.max(1, Math.floor(capacity / 10));
    this.#ghost = new GhostQueue(Math.max(1, capacity - this.#smallTarget));
  }

  inserted(slot: number): void {
    this.#newest = slot;
    if (this.#ghost.remove(this.#slots.hashes[slot]!)) this.#toMain(slot);
    else this.#small.pushTail(slot);
  }

  touched(slot: number): void {
    const { marks } = this.#slots;
    if ((marks[slot]! & frequencyMask) < frequencyMask) marks[slot]! += 1;
  }

  removed(slot: number): void {
    const { marks } = this.#slots;
    ((marks[slot]! & mainBit) !== 0 ? this.#main : this.#small).remove(slot);
    marks[slot]! &= ~(frequencyMask | mainBit);
  }

  victim(): number {
    const { marks } = this.#slots;
    for (;;) {
      // Above its target, not at it: the newest may be in it.
      const isMainSpent = this.#main.length === 0 || (this.#main.length === 1 && this.#main.head === this.#newest);
      if (this.#small.length > this.#smallTarget || (isMainSpent && this.#small.length > 0)) {
        const slot = this.#small.head;
        if (slot >= 0) {
          if ((marks[slot]! & frequencyMask) <= 1) {
            this.#ghost.add(this.#slots.hashes[slot]!);
            return slot;
          }
          this.#small.remove(slot);
          this.#toMain(slot);
          continue;
        }
      }
      const slot = this.#main.head;
      const frequency = marks[slot]! & frequencyMask;
      if (slot === this.#newest && this.#main.length > 1) {
        this.#main.moveToTail(slot);
        continue;
      }
      if (frequency === 0) return slot;
      marks[slot]! -= 1;
      this.#main.moveToTail(slot);
    }
  }

  #toMain(slot: number): void {
    const { marks } = this.#slots;
    marks[slot] = (marks[slot]! & ~frequencyMask) | mainBit;
    this.#main.pushTail(slot);
  }
}

/** Hashes of keys that left, oldest first; bounded. */
class GhostQueue {
  readonly #hashes = new Set<number>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(hash: number): void {
    this.#hashes.delete(hash);
    this.#hashes.add(hash);
    if (this.#hashes.size > this.#limit) this.#hashes.delete(this.#hashes.values().next().value!);
  }

  remove(hash: number): boolean {
    return this.#hashes.delete(hash);
  }
}
