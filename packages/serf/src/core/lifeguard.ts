/**
 * Local health and suspicion (Dadgar, Phillips, Currey: Lifeguard: Local Health Awareness for More Accurate Failure
 * Detection, 2018). A member that misses acks, nacks or its own turn trusts its own view less and probes more slowly;
 * a suspicion starts long and shrinks as independent members confirm it.
 */

/** Local health multiplier: 0 is healthy, `maxMultiplier - 1` the worst (Lifeguard §IV-A). */
export class Awareness {
  readonly #maxMultiplier: number;
  #score = 0;

  constructor(maxMultiplier: number) {
    this.#maxMultiplier = maxMultiplier;
  }

  get score(): number {
    return this.#score;
  }

  /** Adds `delta`, within 0 and the maximum. */
  apply(delta: number): void {
    this.#score = Math.max(0, Math.min(this.#maxMultiplier - 1, this.#score + delta));
  }

  /** A duration stretched by the score. */
  scale(durationMs: number): number {
    return durationMs * (this.#score + 1);
  }
}

/**
 * How long a suspicion lasts: it starts at `maxMs` and falls logarithmically to `minMs` as `expected` independent
 * confirmations arrive (Lifeguard §IV-B):
 *
 *     max(min, max - (max - min) · ln(confirmations + 1) / ln(expected + 1))
 */
export function suspicionTimeoutMs(confirmations: number, expected: number, minMs: number, maxMs: number): number {
  if (expected < 1) return minMs;
  const fraction = Math.log(confirmations + 1) / Math.log(expected + 1);
  return Math.max(minMs, Math.floor(maxMs - (maxMs - minMs) * fraction));
}

/** Shortest suspicion: `mult · max(1, log10 n) · interval`, the logarithm cut to three decimals. */
export function minSuspicionMs(suspicionMult: number, nodeCount: number, intervalMs: number): number {
  const scale = Math.max(1, Math.log10(Math.max(1, nodeCount)));
  return (suspicionMult * Math.floor(scale * 1000) * intervalMs) / 1000;
}

/** Confirmations that shorten a suspicion all the way; none where the pool is too small to give them. */
export function expectedConfirmations(suspicionMult: number, nodeCount: number): number {
  const wanted = suspicionMult - 2;
  return nodeCount - 2 < wanted ? 0 : wanted;
}

/** One running suspicion: who raised it, who confirmed it, and when it becomes a verdict. */
export class Suspicion {
  /** The first accuser and the confirmers: a handful, so a list is faster than a set. */
  readonly #accusers: string[];
  readonly #expected: number;
  readonly #minMs: number;
  readonly #maxMs: number;
  #startMs: number;
  #answeringSinceMs: number | undefined;

  constructor(from: string, startMs: number, expected: number, minMs: number, maxMs: number) {
    this.#accusers = [from];
    this.#startMs = startMs;
    this.#expected = expected;
    this.#minMs = minMs;
    this.#maxMs = maxMs;
  }

  /** Members other than the first accuser that suspect too. */
  get confirmations(): number {
    return this.#accusers.length - 1;
  }

  /** When the suspected member is to be declared dead, as things stand. */
  get deadlineMs(): number {
    return this.#startMs + suspicionTimeoutMs(this.confirmations, this.#expected, this.#minMs, this.#maxMs);
  }

  /** Counts a further accuser; false when it is not a new one or enough have confirmed already. */
  confirm(from: string): boolean {
    if (this.confirmations >= this.#expected || this.#accusers.includes(from)) return false;
    this.#accusers.push(from);
    return true;
  }

  /** Whether so much time has passed that a refutation should have come, so that the accused is worth asking. */
  isOverdue(nowMs: number): boolean {
    return nowMs - this.#startMs >= this.#minMs / 2;
  }

  /**
   * The accused answered: however long it was silent before, from here the time counts anew. True when it has gone on
   * answering for `patienceMs` and still no refutation has come: it will not come by itself.
   */
  restart(nowMs: number, patienceMs: number): boolean {
    this.#startMs = nowMs;
    this.#answeringSinceMs ??= nowMs;
    if (nowMs - this.#answeringSinceMs < patienceMs) return false;
    this.#answeringSinceMs = nowMs;
    return true;
  }

  /** Starts the clock later by a time in which this process did not run and so could not have heard a refutation. */
  postpone(durationMs: number): void {
    this.#startMs += durationMs;
  }
}
