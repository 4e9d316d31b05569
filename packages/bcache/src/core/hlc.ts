import { assert } from '@dcache/base';

/**
 * A stamp is one integer below 2^53: 41 bits of milliseconds since 2020 (until 2089), then 12 bits of a counter that
 * tells apart what happened in one millisecond. A counter that runs over carries into the milliseconds.
 *
 * (Kulkarni, Demirbas, Madappa, Avva, Leone: Logical Physical Clocks, OPODIS 2014; §6 for the packed form.)
 */
const epochMs = 1_577_836_800_000;
const perMs = 4096;

/** The smallest stamp of a millisecond. */
export function stampOf(wallMs: number): number {
  return Math.max(0, Math.floor(wallMs) - epochMs) * perMs;
}

/** The millisecond, since 1970, of a stamp. */
export function msOf(stamp: number): number {
  return Math.floor(stamp / perMs) + epochMs;
}

/**
 * A hybrid logical clock: stamps follow the wall clock, and are above every stamp this node has given or seen.
 *
 * A wall clock that runs ahead of the others' is held back by `correct`; when the wall clock itself is set anew, the
 * correction is forgotten, for it measured the old setting.
 */
export class HybridClock {
  /** Invariant: no stamp at or below this is given again, but for `lower`. */
  #last = 0;
  /** Added to the wall clock; never above 0: only a clock that is ahead does harm. */
  #offsetMs = 0;
  #wallMs = 0;
  #monotonicMs = 0;

  /** Tells the time. Call it before the other methods, with each message and tick. */
  advance(wallMs: number, monotonicMs: number): void {
    const drift = wallMs - this.#wallMs - (monotonicMs - this.#monotonicMs);
    if (this.#offsetMs !== 0 && Math.abs(drift) > wallJumpMs) this.#offsetMs = 0;
    this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
  }

  /** Milliseconds since 1970 as the cluster counts them. */
  get nowMs(): number {
    return this.#wallMs + this.#offsetMs;
  }

  /** The highest stamp given or seen. */
  get last(): number {
    return this.#last;
  }

  /** A stamp above all before it. */
  stamp(): number {
    this.#last = Math.max(this.#last + 1, stampOf(this.nowMs));
    assert(Number.isSafeInteger(this.#last), 'a stamp has 53 bits');
    return this.#last;
  }

  /** Takes note of a stamp seen elsewhere. */
  observe(stamp: number): void {
    if (stamp > this.#last) this.#last = stamp;
  }

  /** Sets the clock back by `aheadMs`, as measured against a peer. */
  correct(aheadMs: number): void {
    this.#offsetMs -= aheadMs;
  }

  /** Forgets stamps above `highest`: only for a retreat, after which no record above it is held. */
  lower(highest: number): void {
    if (highest < this.#last) this.#last = highest;
  }
}

/** A difference between the wall's and the monotonic clock's step that is a setting and not drift. */
const wallJumpMs = 250;
