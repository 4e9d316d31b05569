import type { Clock } from '@dcache/base';

/** How often a drain looks, in milliseconds. */
const lookMs = 10;

/** Counts the requests that are under way, so that a node that stops can let them end. */
export class InFlight {
  #count = 0;

  begin(): void {
    this.#count++;
  }

  end(): void {
    this.#count--;
  }

  /** Resolves once none is left, or after `maxMs`. */
  async drain(clock: Clock, maxMs: number): Promise<void> {
    const deadlineMs = clock.monotonicMs() + maxMs;
    while (this.#count > 0 && clock.monotonicMs() < deadlineMs)
      await new Promise<void>((resolve) => void clock.after(lookMs, resolve));
  }
}
