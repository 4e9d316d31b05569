import type { Slots } from '../slots.js';
import { SlotList } from './list.js';
import type { Policy } from './policy.js';
import { FrequencySketch } from './sketch.js';

const regionMask = 3;
const Region = { window: 0, probation: 1, protected: 2 } as const;

/** Hill climbing: one decision after this many uses for each entry of capacity. */
const sampleFactor = 10;
const firstStepShare = 0.0625;
const stepDecay = 0.98;
const restartThreshold = 0.05;
const protectedShare = 0.8;
/** A candidate this often seen is let in now and then whatever the victim's count, so that an attacker cannot pin one. */
const warmFrequency = 6;

/**
 * W-TinyLFU: newcomers live in a window; who leaves the window meets the main region's victim, and the one that was used
 * more often lately stays. The main region is a segmented LRU. How large the window is, is learned by hill climbing: it
 * grows or shrinks as long as the hit ratio rises.
 *
 * (Einziger, Friedman, Manes: TinyLFU, ACM ToS 2017, §4; Einziger, Eytan, Friedman, Manes: Adaptive Software Cache
 * Management, Middleware 2018, §4.1)
 */
export class TinyLfuPolicy implements Policy {
  readonly #slots: Slots;
  readonly #capacity: number;
  readonly #sketch: FrequencySketch;
  readonly #window: SlotList;
  readonly #probation: SlotList;
  readonly #protected: SlotList;
  #windowTarget: number;
  #hits = 0;
  #misses = 0;
  #lastHitRatio = 0;
  #step: number;
  #admissions = 0;

  constructor(slots: Slots, capacity: number) {
    this.#slots = slots;
    this.#capacity = capacity;
    this.#sketch = new FrequencySketch(capacity);
    this.#window = new SlotList(slots);
    this.#probation = new SlotList(slots);
    this.#protected = new SlotList(slots);
    this.#windowTarget = Math.max(1, Math.round(capacity / 100));
    this.#step = capacity * firstStepShare;
  }

  inserted(slot: number): void {
    this.#sketch.increment(this.#hashOf(slot));
    this.#setRegion(slot, Region.window);
    this.#window.pushTail(slot);
    this.#misses++;
    if (this.#misses + this.#hits >= this.#capacity * sampleFactor) this.#climb();
  }

  touched(slot: number): void {
    this.#hits++;
    this.#sketch.increment(this.#hashOf(slot));
    switch (this.#region(slot)) {
      case Region.window:
        this.#window.moveToTail(slot);
        return;
      case Region.probation:
        this.#probation.remove(slot);
        this.#setRegion(slot, Region.protected);
        this.#protected.pushTail(slot);
        this.#demote();
        return;
      default:
        this.#protected.moveToTail(slot);
    }
  }

  removed(slot: number): void {
    this.#listOf(slot).remove(slot);
    this.#setRegion(slot, Region.window);
  }

  victim(): number {
    // The window's surplus moves to probation's end; each newcomer there meets the victim.
    let candidate = -1;
    while (this.#window.length > this.#windowTarget) {
      candidate = this.#window.head;
      this.#window.remove(candidate);
      this.#setRegion(candidate, Region.probation);
      this.#probation.pushTail(candidate);
    }
    const victim = this.#probation.head;
    if (victim < 0) return this.#protected.head >= 0 ? this.#protected.head : this.#window.head;
    if (candidate < 0 || candidate === victim) return victim;
    return this.#isAdmitted(candidate, victim) ? victim : candidate;
  }

  #isAdmitted(candidate: number, victim: number): boolean {
    const candidateFrequency = this.#sketch.frequency(this.#hashOf(candidate));
    const victimFrequency = this.#sketch.frequency(this.#hashOf(victim));
    if (candidateFrequency > victimFrequency) return true;
    // A counter instead of a random number keeps one run like the next.
    return candidateFrequency >= warmFrequency && ++this.#admissions % 128 === 0;
  }

  /** Keeps the protected part within its share. */
  #demote(): void {
    const target = Math.floor((this.#capacity - this.#windowTarget) * protectedShare);
    while (this.#protected.length > target) {
      const slot = this.#protected.head;
      this.#protected.remove(slot);
      this.#setRegion(slot, Region.probation);
      this.#probation.pushTail(slot);
    }
  }

  #climb(): void {
    const hitRatio = this.#hits / (this.#hits + this.#misses);
    const change = hitRatio - this.#lastHitRatio;
    const direction = change >= 0 ? this.#step : -this.#step;
    this.#step =
      Math.abs(change) >= restartThreshold
        ? this.#capacity * firstStepShare * Math.sign(direction)
        : direction * stepDecay;
    this.#lastHitRatio = hitRatio;
    this.#hits = 0;
    this.#misses = 0;
    const highest = Math.max(1, Math.floor(this.#capacity * protectedShare));
    const wanted = Math.round(this.#windowTarget + direction);
    this.#windowTarget = Math.min(highest, Math.max(1, wanted));
    // At an end of the range there is nothing more to learn in this direction: a flat stretch must not hold it there.
    if (this.#windowTarget !== wanted) this.#step = -this.#step;
    this.#demote();
  }

  #hashOf(slot: number): number {
    return this.#slots.hashes[slot]!;
  }

  #region(slot: number): number {
    return this.#slots.marks[slot]! & regionMask;
  }

  #setRegion(slot: number, region: number): void {
    const { marks } = this.#slots;
    marks[slot] = (marks[slot]! & ~regionMask) | region;
  }

  #listOf(slot: number): SlotList {
    const region = this.#region(slot);
    return region === Region.window ? this.#window : region === Region.probation ? this.#probation : this.#protected;
  }
}
