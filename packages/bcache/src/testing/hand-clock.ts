import type { Clock } from '@dcache/base';
import { type Cache, createCache } from '../cache.js';
import type { CacheOptions } from '../options.js';

/** Time that a test moves by hand. */
export class HandClock implements Clock {
  nowMs: number = 1_000_000;
  readonly #timers = new Set<{ atMs: number; everyMs: number; run: () => void }>();
  monotonicMs(): number {
    return this.nowMs;
  }
  wallMs(): number {
    return Date.UTC(2026, 0, 1) + this.nowMs;
  }
  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, everyMs: 0, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
  every(everyMs: number, run: () => void): () => void {
    const timer = { atMs: this.nowMs + everyMs, everyMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.nowMs = due.atMs;
      if (due.everyMs > 0) due.atMs += due.everyMs;
      else this.#timers.delete(due);
      due.run();
    }
    this.nowMs = endMs;
  }
}

/** A cache of this process alone, and its time. */
export async function local<V>(options: CacheOptions = {}): Promise<{ cache: Cache<V>; clock: HandClock }> {
  const clock = new HandClock();
  return { cache: await createCache<V>({ ...options, clock }), clock };
}
