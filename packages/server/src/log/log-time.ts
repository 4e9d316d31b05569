import type { Clock } from '@dcache/base';

/** Log time may run this much faster than real time to catch up with the wall clock, and this much slower to wait. */
const slewFaster = 1;
const slewSlower = 0.5;

/**
 * The stamps a leader puts on its entries: its last stamp plus monotonic time passed, drawn towards its wall clock at no
 * more than twice, and no less than half, the speed of real time. So log time never goes back and never jumps when a
 * clock is set, and a clock that was wrong in the future is waited for, not followed for ever.
 *
 * Every node follows the applied stamps, so that a new leader goes on from where the old one stood.
 */
export class LogTime {
  readonly #clock: Clock;
  /** Log time at `#atMonotonicMs`; 0 before the first stamp of the cluster. */
  #lastMs = 0;
  #atMonotonicMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An applied entry carried this stamp; time passed since then counts from here. */
  observe(stampMs: number): void {
    if (stampMs <= this.#lastMs) return;
    this.#lastMs = stampMs;
    this.#atMonotonicMs = this.#clock.monotonicMs();
  }

  /** What log time is now by this node's own clocks, in whole milliseconds. Changes nothing. */
  nowMs(): number {
    return Math.floor(this.#estimate(this.#clock.monotonicMs()));
  }

  /** The stamp of a new entry, in whole milliseconds; never lower than any before. */
  stamp(): number {
    const nowMs = this.#clock.monotonicMs();
    this.#lastMs = Math.max(this.#lastMs, this.#estimate(nowMs));
    this.#atMonotonicMs = nowMs;
    return Math.floor(this.#lastMs);
  }

  #estimate(monotonicMs: number): number {
    const wallMs = this.#clock.wallMs();
    if (this.#lastMs === 0) return Math.max(1, wallMs);
    const elapsedMs = Math.max(0, monotonicMs - this.#atMonotonicMs);
    const expectedMs = this.#lastMs + elapsedMs;
    const errorMs = wallMs - expectedMs;
    return expectedMs + Math.max(-slewSlower * elapsedMs, Math.min(slewFaster * elapsedMs, errorMs));
  }
}
