import type { Clock } from '@dcache/base';

/** What ends at a time, by `Clock.monotonicMs`. */
export interface Dated {
  readonly deadlineMs: number;
  /** Its time is over. It may be said again. */
  expire(): void;
}

/** A timer takes no more than this many milliseconds. */
const maxDelayMs = 2 ** 31 - 1;

/**
 * Expires the calls of one connection. Nearly all are answered long before, so that each gets no timer of its own: one
 * waits for the earliest time that was ever asked for, and looks then at those that are left. A call costs a place in a
 * set; a look costs as much as there are calls, which a connection bounds.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #dated = new Set<Dated>();
  /** When the timer is due; infinite without one. */
  #dueMs = Number.POSITIVE_INFINITY;
  #cancelTimer: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Those that wait for their time. */
  get size(): number {
    return this.#dated.size;
  }

  add(dated: Dated, nowMs: number): void {
    this.#dated.add(dated);
    if (dated.deadlineMs < this.#dueMs) this.#arm(dated.deadlineMs, nowMs);
  }

  delete(dated: Dated): void {
    this.#dated.delete(dated);
  }

  /** Nothing expires any more. */
  close(): void {
    this.#cancelTimer();
    this.#dated.clear();
  }

  #arm(dueMs: number, nowMs: number): void {
    this.#cancelTimer();
    this.#dueMs = dueMs;
    this.#cancelTimer = this.#clock.after(Math.min(dueMs - nowMs, maxDelayMs), () => this.#look());
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs();
    let nextMs = Number.POSITIVE_INFINITY;
    this.#dueMs = nextMs;
    for (const dated of this.#dated) {
      if (dated.deadlineMs > nowMs) nextMs = Math.min(nextMs, dated.deadlineMs);
      else {
        this.#dated.delete(dated);
        dated.expire();
      }
    }
    if (nextMs < this.#dueMs) this.#arm(nextMs, nowMs);
  }
}
