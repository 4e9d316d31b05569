import type { Clock } from '@dcache/base';
import type { ConfState } from './core/message.js';
import { RaftError } from './errors.js';
import { Histogram } from './histogram.js';
import { PendingProposals } from './pending.js';

export interface ProposalsOptions {
  readonly clock: Clock;
  readonly maxPendingProposals: number;
  readonly maxProposalBytes: number;
  /** A proposal that is not applied after this time is of unknown outcome, in milliseconds. */
  readonly proposalTimeoutMs: number;
  /** The same, from when the leadership ended in which it was proposed. */
  readonly outcomeTimeoutMs: number;
}

/** The promises of what this node has put into the log. Invariant: each of them settles, once. */
export class Proposals<Reply> {
  /** From a proposal to its application on this node. */
  readonly latency: Histogram = new Histogram();
  readonly #options: ProposalsOptions;
  readonly #pending = new PendingProposals<Reply | ConfState | undefined>();
  /** Term of the newest of them. */
  #term = 0;

  constructor(options: ProposalsOptions) {
    this.#options = options;
  }

  /** How many wait. */
  get size(): number {
    return this.#pending.size;
  }

  /** Why `data` cannot be proposed now, as far as bounds go. Throws a `TypeError` where it never can. */
  refusal(data: Uint8Array): RaftError | undefined {
    const { maxProposalBytes, maxPendingProposals } = this.#options;
    if (!(data instanceof Uint8Array) || data.length === 0)
      throw new TypeError("data takes a Uint8Array of at least one byte: an empty entry is the core's own");
    if (data.length > maxProposalBytes)
      return new RaftError('too-large', `a proposal of ${data.length} bytes; at most ${maxProposalBytes} are allowed`);
    if (this.#pending.size >= maxPendingProposals)
      return new RaftError('busy', `${this.#pending.size} proposals wait; at most ${maxPendingProposals} may`);
    return undefined;
  }

  /** Resolves with the reply to what is at (`index`, `term`) in this leader's log. */
  wait(index: number, term: number, signal?: AbortSignal): Promise<Reply | ConfState | undefined> {
    const nowMs = this.#options.clock.monotonicMs();
    // Leadership can be lost and won again between two turns.
    if (term !== this.#term) this.leadershipEnded();
    this.#term = term;
    const expiresAtMs = nowMs + this.#options.proposalTimeoutMs;
    return new Promise((resolve, reject) => {
      if (signal === undefined) this.#pending.add(index, term, nowMs, expiresAtMs, resolve, reject);
      else this.#waitOrAbort(index, term, nowMs, expiresAtMs, resolve, reject, signal);
    });
  }

  #waitOrAbort(
    index: number,
    term: number,
    nowMs: number,
    expiresAtMs: number,
    resolve: (reply: Reply | ConfState | undefined) => void,
    reject: (error: RaftError) => void,
    signal: AbortSignal,
  ): void {
    const abort = (): void =>
      this.#pending.giveUp(
        pending,
        new RaftError('aborted', `aborted while index ${index} was in flight`, { cause: signal.reason }),
      );
    const pending = this.#pending.add(
      index,
      term,
      nowMs,
      expiresAtMs,
      (reply) => {
        signal.removeEventListener('abort', abort);
        resolve(reply);
      },
      (error) => {
        signal.removeEventListener('abort', abort);
        reject(error);
      },
    );
    signal.addEventListener('abort', abort, { once: true });
  }

  /** An entry was applied at (`index`, `term`) with this reply. */
  applied(index: number, term: number, reply: Reply | ConfState | undefined): void {
    if (this.#pending.size === 0) return;
    const proposedAtMs = this.#pending.applied(index, term, reply);
    if (proposedAtMs !== undefined) this.latency.observe((this.#options.clock.monotonicMs() - proposedAtMs) / 1000);
  }

  /** What was proposed in a leadership that ended may still be applied; that is waited for, but not for long. */
  leadershipEnded(): void {
    const { clock, outcomeTimeoutMs } = this.#options;
    this.#pending.leadershipEnded(clock.monotonicMs() + outcomeTimeoutMs);
  }

  /** A snapshot up to `index` was installed. */
  coveredBySnapshot(index: number): void {
    this.#pending.coveredBySnapshot(index);
  }

  /** Gives up what has waited too long. */
  tick(): void {
    if (this.#pending.size === 0) return;
    const late = (index: number): RaftError =>
      new RaftError('unknown-outcome', `index ${index} was not applied in time`);
    this.#pending.expire(this.#options.clock.monotonicMs(), late);
  }

  /** Gives up all, because of `why`. */
  failAll(why: string, cause: unknown): void {
    this.#pending.failAll(
      (index) => new RaftError('unknown-outcome', `index ${index} was in flight when ${why}`, { cause }),
    );
  }
}
