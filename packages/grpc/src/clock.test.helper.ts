import type { Clock } from '@dcache/base';

/** A clock that a test moves by hand; what is due runs inside `pass`. */
export class HandClock implements Clock {
  nowMs = 1_000;
  readonly delays: number[] = [];
  readonly #timers = new Set<{ atMs: number; readonly everyMs: number; readonly run: () => void }>();

  monotonicMs(): number {
    return this.nowMs;
  }

  wallMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    this.delays.push(delayMs);
    return this.#add(delayMs, 0, run);
  }

  every(intervalMs: number, run: () => void): () => void {
    return this.#add(intervalMs, intervalMs, run);
  }

  /** Timers that have not run and were not cancelled. */
  get pending(): number {
    return this.#timers.size;
  }

  pass(ms: number): void {
    this.nowMs += ms;
    for (const timer of [...this.#timers].sort((a, b) => a.atMs - b.atMs)) {
      if (timer.atMs > this.nowMs || !this.#timers.has(timer)) continue;
      if (timer.everyMs > 0) timer.atMs += timer.everyMs;
      else this.#timers.delete(timer);
      timer.run();
    }
  }

  #add(delayMs: number, everyMs: number, run: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, everyMs, run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }
}
