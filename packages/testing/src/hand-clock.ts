import type { Clock } from '@dcache/base';

interface Timer {
  dueMs: number;
  readonly intervalMs: number | undefined;
  readonly run: () => void;
}

/** A clock that a test moves by hand: it stands still otherwise, and what is due runs inside `pass`. */
export class HandClock implements Clock {
  #nowMs: number;
  /** What the wall clock is ahead of the monotonic one. A test may set it. */
  wallAheadMs: number;
  readonly #timers = new Set<Timer>();

  /** `nowMs` is what the monotonic clock shows at first; the wall clock shows a day in November 2023. */
  constructor(nowMs = 1_000) {
    this.#nowMs = nowMs;
    this.wallAheadMs = 1_700_000_000_000 - nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.wallAheadMs;
  }

  after(delayMs: number, run: () => void): () => void {
    return this.#add({ dueMs: this.#nowMs + delayMs, intervalMs: undefined, run });
  }

  every(intervalMs: number, run: () => void): () => void {
    return this.#add({ dueMs: this.#nowMs + intervalMs, intervalMs, run });
  }

  /** Timers that have neither run for the last time nor been cancelled: a test's way to see a leak. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Both clocks move on, and what becomes due on the way runs at its time, in order. */
  pass(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers)
        if (timer.dueMs <= endMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
      if (next === undefined) break;
      // A timer may be late already, after `stand`.
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      if (next.intervalMs === undefined) this.#timers.delete(next);
      else next.dueMs += next.intervalMs;
      next.run();
    }
    this.#nowMs = Math.max(this.#nowMs, endMs);
  }

  /** Time goes by in which this process does not run at all; its timers are late after that. */
  stand(byMs: number): void {
    this.#nowMs += byMs;
  }

  /** The same, and then each timer that is due runs once, late. */
  pause(byMs: number): void {
    this.stand(byMs);
    for (const timer of [...this.#timers]) {
      if (timer.dueMs > this.#nowMs || !this.#timers.has(timer)) continue;
      if (timer.intervalMs === undefined) this.#timers.delete(timer);
      else timer.dueMs = this.#nowMs + timer.intervalMs;
      timer.run();
    }
  }

  #add(timer: Timer): () => void {
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }
}
