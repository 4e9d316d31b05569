import { assert } from '@dcache/base';
import { RaftError } from './errors.js';

/** A proposal that waits for its place in the log to be applied. */
export interface Pending<Reply> {
  readonly index: number;
  readonly term: number;
  readonly proposedAtMs: number;
  /** When nobody waits any longer. */
  expiresAtMs: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: RaftError) => void;
  /** True once resolved or rejected: an aborted proposal keeps its place until its index is applied. */
  settled: boolean;
}

/**
 * The proposals of this node that are in a log and not yet applied. What is applied at an index settles the proposals
 * there: one of the same term is what was applied, one of another term lost its place.
 *
 * Only what is *applied* proves a proposal lost. That a later leader overwrote it in this node's log does not: it may
 * live on in another's, and win there (Raft §5.4.2, figure 8).
 *
 * While this node leads, its proposals are a queue in order of index: adding and settling are O(1) amortised. What is
 * left of it when the leadership ends is kept aside by index, until it is applied or the patience ends.
 */
export class PendingProposals<Reply> {
  #queue: (Pending<Reply> | undefined)[] = [];
  #head = 0;
  /** Of former leaderships; several of one index are possible. */
  readonly #orphans = new Map<number, Pending<Reply>[]>();
  #orphanCount = 0;

  /** How many wait. */
  get size(): number {
    return this.#queue.length - this.#head + this.#orphanCount;
  }

  /** Settles through `resolve` or `reject`, exactly once. What it returns is for `giveUp`. */
  add(
    index: number,
    term: number,
    proposedAtMs: number,
    expiresAtMs: number,
    resolve: (reply: Reply) => void,
    reject: (error: RaftError) => void,
  ): Pending<Reply> {
    const last = this.#queue[this.#queue.length - 1];
    assert(last === undefined || last.index < index, 'proposals of one leadership come in order of index');
    const pending = { index, term, proposedAtMs, expiresAtMs, resolve, reject, settled: false };
    this.#queue.push(pending);
    return pending;
  }

  /** Rejects one early; its place stays. */
  giveUp(pending: Pending<Reply>, error: RaftError): void {
    fail(pending, error);
  }

  /** The leadership ended: what is in flight may still be applied, or not. It is given up at `expiresAtMs` at last. */
  leadershipEnded(expiresAtMs: number): void {
    while (this.#head < this.#queue.length) {
      const pending = this.#shift();
      pending.expiresAtMs = Math.min(pending.expiresAtMs, expiresAtMs);
      const others = this.#orphans.get(pending.index);
      if (others === undefined) this.#orphans.set(pending.index, [pending]);
      else others.push(pending);
      this.#orphanCount++;
    }
    this.#queue = [];
    this.#head = 0;
  }

  /**
   * Settles what waits at `index`, now that an entry of `term` was applied there with `reply`. Returns when that very
   * entry was proposed here, or undefined where it was not.
   */
  applied(index: number, term: number, reply: Reply): number | undefined {
    let proposedAtMs: number | undefined;
    if (this.#orphanCount > 0) proposedAtMs = this.#settleOrphans(index, term, reply);
    const head = this.#queue[this.#head];
    if (head === undefined || head.index > index) return proposedAtMs;
    if (head.index !== index) assert(false, `index ${index} was applied while ${head.index} still waits`);
    return settle(this.#shift(), term, reply) ?? proposedAtMs;
  }

  /** Rejects what waits at `index` or before it: its entries came within a snapshot, so nobody saw what they did. */
  coveredBySnapshot(index: number): void {
    this.#failWhere(
      (pending) => pending.index <= index,
      (at) => new RaftError('unknown-outcome', `index ${at} was applied within a snapshot`),
    );
  }

  /** Rejects what has expired. */
  expire(nowMs: number, why: (index: number) => RaftError): void {
    this.#failWhere((pending) => pending.expiresAtMs <= nowMs, why);
  }

  /** Rejects all. */
  failAll(why: (index: number) => RaftError): void {
    this.#failWhere(() => true, why);
  }

  #failWhere(matches: (pending: Pending<Reply>) => boolean, why: (index: number) => RaftError): void {
    for (const [index, orphans] of this.#orphans) {
      const rest = orphans.filter((pending) => !matches(pending));
      if (rest.length === orphans.length) continue;
      this.#orphanCount -= orphans.length - rest.length;
      if (rest.length === 0) this.#orphans.delete(index);
      else this.#orphans.set(index, rest);
      for (const pending of orphans) if (matches(pending)) fail(pending, why(index));
    }
    // Both deadlines and indexes rise along the queue, so what matches is its front.
    for (let head = this.#queue[this.#head]; head !== undefined && matches(head); head = this.#queue[this.#head])
      fail(this.#shift(), why(head.index));
  }

  #settleOrphans(index: number, term: number, reply: Reply): number | undefined {
    const orphans = this.#orphans.get(index);
    if (orphans === undefined) return undefined;
    this.#orphans.delete(index);
    this.#orphanCount -= orphans.length;
    let proposedAtMs: number | undefined;
    for (const orphan of orphans) proposedAtMs = settle(orphan, term, reply) ?? proposedAtMs;
    return proposedAtMs;
  }

  #shift(): Pending<Reply> {
    const head = this.#queue[this.#head]!;
    this.#queue[this.#head++] = undefined;
    if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return head;
  }
}

function settle<Reply>(pending: Pending<Reply>, term: number, reply: Reply): number | undefined {
  if (pending.term !== term) {
    const why = `index ${pending.index} was taken by an entry of term ${term}: the proposal of term ${pending.term} was not applied`;
    fail(pending, new RaftError('lost', why));
    return undefined;
  }
  if (!pending.settled) {
    pending.settled = true;
    pending.resolve(reply);
  }
  return pending.proposedAtMs;
}

function fail<Reply>(pending: Pending<Reply>, error: RaftError): void {
  if (pending.settled) return;
  pending.settled = true;
  pending.reject(error);
}
