import type { Clock, Random } from '@dcache/base';
import type { ReadIndexResult } from './core/ready.js';
import { RaftError } from './errors.js';
import type { LeaseMoment } from './lease.js';

interface Waiter {
  readonly resolve: (index: number) => void;
  readonly reject: (error: RaftError) => void;
  readonly deadlineMs: number;
}

interface Round {
  readonly waiters: Waiter[];
  readonly sent: LeaseMoment;
  readonly term: number;
}

export interface ReadBarriersOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly maxPending: number;
  readonly timeoutMs: number;
  /** A round without an answer after this time is begun again. */
  readonly retryMs: number;
  /** Asks the core for the read index. */
  readonly issue: (context: number) => ReadIndexResult;
  /** Moment and term for a round that begins now. */
  readonly now: () => { readonly sent: LeaseMoment; readonly term: number };
  /** A quorum has confirmed what was sent at `sent` in `term`. */
  readonly onConfirmed: (term: number, sent: LeaseMoment) => void;
  /** `flush` should be called soon. */
  readonly schedule: () => void;
}

/** Rounds under way; while there are more, further reads wait for the next round. */
const maxRounds = 64;

/**
 * Linearizable reads without a log entry. (Thesis §6.4) All reads of one turn of the event loop share one round; a read
 * never joins a round that began before it. Each round has a number of its own: an answer to a round that was given up,
 * of another leader or of another term, then belongs to nobody.
 */
export class ReadBarriers {
  readonly #options: ReadBarriersOptions;
  #gathered: Waiter[] = [];
  #wantsRound = false;
  readonly #rounds = new Map<number, Round>();
  /** Reads that know their index and wait until it is applied. */
  #applying: { readonly index: number; waiters: Waiter[] }[] = [];
  #pending = 0;
  #nextContext: number;
  #roundCount = 0;

  constructor(options: ReadBarriersOptions) {
    this.#options = options;
    // Random, so that two nodes that forward their reads to one leader do not use the same numbers.
    this.#nextContext = 1 + options.random.below(2 ** 52);
  }

  /** Reads that wait. */
  get pending(): number {
    return this.#pending;
  }

  /** Rounds begun so far. */
  get rounds(): number {
    return this.#roundCount;
  }

  /** Resolves with an index that is applied here and covers all that was acknowledged before the call. */
  request(): Promise<number> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#gathered.push(this.#waiter(resolve, reject));
      this.#options.schedule();
    });
  }

  /** Resolves with `index` once it is applied here. */
  applied(index: number): Promise<number> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#applying.push({ index, waiters: [this.#waiter(resolve, reject)] });
    });
  }

  /** Begins a round for nobody, to have a quorum confirm this moment. */
  confirm(): void {
    if (this.#rounds.size > 0) return;
    this.#wantsRound = true;
    this.#options.schedule();
  }

  /** Begins the round of what was gathered in this turn. */
  flush(): void {
    if ((this.#gathered.length === 0 && !this.#wantsRound) || this.#rounds.size >= maxRounds) return;
    const waiters = this.#gathered;
    this.#gathered = [];
    this.#wantsRound = false;
    const context = this.#nextContext;
    this.#nextContext = context >= 2 ** 52 ? 1 : context + 1;
    // The moment is taken before anything is sent: a lease counts from there.
    const round = { waiters, ...this.#options.now() };
    this.#rounds.set(context, round);
    this.#roundCount++;
    const result = this.#options.issue(context);
    if (result === 'requested') return;
    this.#rounds.delete(context);
    const error =
      result === 'busy'
        ? new RaftError('busy', 'too many reads wait for a quorum')
        : new RaftError('no-leader', 'no leader is known that could confirm a read');
    this.#reject(waiters, error);
  }

  /** The core's answer to a round. */
  onReadState(index: number, context: number): void {
    const round = this.#rounds.get(context);
    if (round === undefined) return;
    this.#rounds.delete(context);
    this.#options.onConfirmed(round.term, round.sent);
    if (round.waiters.length > 0) this.#applying.push({ index, waiters: round.waiters });
    if (this.#gathered.length > 0) this.#options.schedule();
  }

  /** Everything up to `index` is applied and may be read. */
  onApplied(index: number): void {
    if (this.#applying.length === 0) return;
    const ready = this.#applying.filter((waiting) => waiting.index <= index);
    if (ready.length === 0) return;
    this.#applying = this.#applying.filter((waiting) => waiting.index > index);
    for (const { index: readIndex, waiters } of ready) {
      this.#pending -= waiters.length;
      for (const waiter of waiters) waiter.resolve(readIndex);
    }
  }

  /** Begins stale rounds again with a fresh number, and ends what waited too long. */
  tick(): void {
    if (this.#pending === 0 && this.#rounds.size === 0) return;
    const nowMs = this.#options.clock.monotonicMs();
    for (const [context, round] of this.#rounds) {
      if (nowMs - round.sent.monotonicMs < this.#options.retryMs) continue;
      this.#rounds.delete(context);
      this.#gathered = this.#gathered.concat(round.waiters);
    }
    this.#gathered = this.#expire(this.#gathered, nowMs);
    for (const waiting of this.#applying) {
      waiting.waiters = this.#expire(waiting.waiters, nowMs);
    }
    this.#applying = this.#applying.filter((waiting) => waiting.waiters.length > 0);
    if (this.#gathered.length > 0) this.#options.schedule();
  }

  /** Rejects all that wait. */
  failAll(error: RaftError): void {
    for (const round of this.#rounds.values()) this.#reject(round.waiters, error);
    this.#rounds.clear();
    this.#reject(this.#gathered, error);
    this.#gathered = [];
    for (const waiting of this.#applying) this.#reject(waiting.waiters, error);
    this.#applying = [];
  }

  #refusal(): RaftError | undefined {
    if (this.#pending < this.#options.maxPending) return undefined;
    return new RaftError('busy', `${this.#pending} reads wait; at most ${this.#options.maxPending} may`);
  }

  #waiter(resolve: (index: number) => void, reject: (error: RaftError) => void): Waiter {
    this.#pending++;
    return { resolve, reject, deadlineMs: this.#options.clock.monotonicMs() + this.#options.timeoutMs };
  }

  /** Those that may wait on. */
  #expire(waiters: Waiter[], nowMs: number): Waiter[] {
    const late = waiters.filter((waiter) => waiter.deadlineMs <= nowMs);
    if (late.length === 0) return waiters;
    const why = `no quorum confirmed the read, or it was not applied, within ${this.#options.timeoutMs} ms`;
    this.#reject(late, new RaftError('no-leader', why));
    return waiters.filter((waiter) => waiter.deadlineMs > nowMs);
  }

  #reject(waiters: readonly Waiter[], error: RaftError): void {
    this.#pending -= waiters.length;
    for (const waiter of waiters) waiter.reject(error);
  }
}
