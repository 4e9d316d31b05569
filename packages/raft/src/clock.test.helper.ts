import type { Clock } from '@dcache/base';

interface Timer {
  dueMs: number;
  readonly intervalMs: number | undefined;
  readonly run: () => void;
}

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #nowMs = 1000;
  /** What the wall clock is ahead of the monotonic one. */
  wallOffsetMs = 0;
  readonly #timers = new Set<Timer>();

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.wallOffsetMs;
  }

  after(delayMs: number, run: () => void): () => void {
    return this.#add({ dueMs: this.#nowMs + delayMs, intervalMs: undefined, run });
  }

  every(intervalMs: number, run: () => void): () => void {
    return this.#add({ dueMs: this.#nowMs + intervalMs, intervalMs, run });
  }

  /** Moves on, and runs what becomes due on the way, in order. */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers)
        if (timer.dueMs <= endMs && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
      if (next === undefined) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      if (next.intervalMs === undefined) this.#timers.delete(next);
      else next.dueMs += next.intervalMs;
      next.run();
    }
    this.#nowMs = endMs;
  }

  /** Time passes in which this process does not run at all; its timers are late after that. */
  stand(byMs: number): void {
    this.#nowMs += byMs;
  }

  /** The same, and then each timer that is due runs once, late. */
  pause(byMs: number): void {
    this.stand(byMs);
    for (const timer of [...this.#timers]) {
      if (timer.dueMs > this.#nowMs) continue;
      if (timer.intervalMs === undefined) this.#timers.delete(timer);
      else timer.dueMs = this.#nowMs + timer.intervalMs;
      timer.run();
    }
  }

  #add(timer: Timer): () => void {
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}
