import type { Clock } from '@dcache/base';

/** A clock that a test moves by hand; what is due runs inside `pass`, in order of time. */
export class HandClock implements Clock {
  mono = 1_000;
  wall = 1_700_000_000_000;
  readonly #timers = new Set<{ atMs: number; everyMs: number; run: () => void }>();

  monotonicMs(): number {
    return this.mono;
  }

  wallMs(): number {
    return this.wall;
  }

  after(delayMs: number, run: () => void): () => void {
    return this.#add(delayMs, 0, run);
  }

  every(intervalMs: number, run: () => void): () => void {
    return this.#add(intervalMs, intervalMs, run);
  }

  /** Timers that have not run or been cancelled: a test's way to see a leak. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Moves both clocks and runs what falls due. */
  pass(ms: number): void {
    const untilMs = this.mono + ms;
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.atMs - b.atMs)[0];
      if (!next || next.atMs > untilMs) break;
      this.wall += next.atMs - this.mono;
      this.mono = next.atMs;
      if (next.everyMs > 0) next.atMs += next.everyMs;
      else this.#timers.delete(next);
      next.run();
    }
    this.wall += untilMs - this.mono;
    this.mono = untilMs;
  }

  #add(delayMs: number, everyMs: number, run: () => void): () => void {
    const timer = { atMs: this.mono + delayMs, everyMs, run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }
}

/** One turn of the event loop, with everything that was put off to its end. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}
