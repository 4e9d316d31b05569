import type { Clock } from '@dcache/base';

/**
 * Until when a leader may answer reads alone. (Thesis §6.4.1; Gray, Cheriton: Leases, SOSP 1989)
 *
 * A follower that heard from a leader grants nobody a vote for an election timeout, so a leader that a quorum has
 * answered is the only one for that long, counted from when it *sent* what they answered: never from when the answers
 * came, and never in ticks, because a process that was stopped wakes up believing its ticks. Both clocks must agree that
 * the time is not over: the monotonic one stands still on some systems while a machine sleeps, the wall clock jumps.
 */
export class Lease {
  readonly #clock: Clock;
  readonly #durationMs: number;
  #term = 0;
  #monotonicMs = Number.NEGATIVE_INFINITY;
  #wallMs = Number.NEGATIVE_INFINITY;
  /** The term in which leadership was offered to another: its forced election does not wait for our lease. */
  #renouncedTerm = 0;

  /** `durationMs` must be shorter than the shortest election timeout by more than clocks drift in that time. */
  constructor(clock: Clock, durationMs: number) {
    this.#clock = clock;
    this.#durationMs = durationMs;
  }

  /** The moment to hand to `extend` once a quorum has answered what is sent now. */
  now(): LeaseMoment {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }

  /** A quorum has answered, in `term`, what was sent at `sent`. */
  extend(term: number, sent: LeaseMoment): void {
    if (term === this.#term && sent.monotonicMs <= this.#monotonicMs) return;
    this.#term = term;
    this.#monotonicMs = sent.monotonicMs;
    this.#wallMs = sent.wallMs;
  }

  /** No lease in `term` any more: a message that lets another campaign at once may arrive whenever it likes. */
  renounce(term: number): void {
    this.#renouncedTerm = term;
  }

  /** Whether it is certain now that no other leader of a later term exists. */
  isValid(term: number): boolean {
    if (term !== this.#term || term === this.#renouncedTerm) return false;
    const monotonicPassedMs = this.#clock.monotonicMs() - this.#monotonicMs;
    const wallPassedMs = this.#clock.wallMs() - this.#wallMs;
    return monotonicPassedMs < this.#durationMs && wallPassedMs < this.#durationMs;
  }

  /** Whether more than half of the lease is over, so that it is time to renew it. */
  isOld(term: number): boolean {
    return term !== this.#term || this.#clock.monotonicMs() - this.#monotonicMs > this.#durationMs / 2;
  }
}

/** One moment on both clocks. */
export interface LeaseMoment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}
