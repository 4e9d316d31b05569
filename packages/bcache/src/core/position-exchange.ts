import type { Random } from '@dcache/base';
import type { ReplicatorEvent } from './effects.js';
import type { HybridClock } from './hlc.js';
import type { UpdateLog } from './log.js';
import { type Message, MessageType, type PositionEntry } from './message.js';
import type { Position, Positions } from './positions.js';
import type { Pulls } from './pulls.js';
import type { Readiness } from './readiness.js';
import type { Voids } from './voids.js';

/** What comparing positions needs of its replicator. */
export interface PositionHost {
  readonly positions: Positions;
  readonly log: UpdateLog;
  readonly clock: HybridClock;
  readonly random: Random;
  readonly pulls: Pulls;
  readonly voids: Voids;
  readonly readiness: Readiness;
  /** Monotonic time. */
  now(): number;
  /** This node's position under its present incarnation. */
  own(): Position;
  peers(): readonly string[];
  randomPeer(): string | undefined;
  /** Ends the batch: what has no number yet is in no position. */
  flush(): void;
  send(to: string, message: Message): void;
  tell(event: ReplicatorEvent): void;
}

export interface PositionOptions {
  /** Between two exchanges with a random peer. */
  readonly exchangeMs: number;
  readonly maxClockSkewMs: number;
}

/**
 * Compares with a peer how far each has seen every origin: shows what nobody noticed to be missing, what is void, and
 * whose clock is ahead. An exchange is a question and one answer, and a third message where the answer shows that its
 * receiver has more.
 */
export class PositionExchange {
  readonly #host: PositionHost;
  readonly #options: PositionOptions;
  #dueAtMs = 0;

  constructor(host: PositionHost, options: PositionOptions) {
    this.#host = host;
    this.#options = options;
  }

  /** Whether it is time for the next exchange with anybody. */
  get isDue(): boolean {
    return this.#host.now() >= this.#dueAtMs;
  }

  askAnybody(): void {
    this.#dueAtMs = this.#host.now() + this.#options.exchangeMs * (0.75 + this.#host.random.next() / 2);
    const peer = this.#host.randomPeer();
    if (peer !== undefined) this.ask(peer);
  }

  /** Has the next exchange at once. */
  hasten(): void {
    this.#dueAtMs = 0;
  }

  ask(peer: string): void {
    this.#send(peer, true, 0);
  }

  askAll(): void {
    for (const peer of this.#host.peers()) this.ask(peer);
  }

  receive(from: string, message: Message & { type: typeof MessageType.positions }): void {
    const { positions, pulls, readiness, voids } = this.#host;
    if (message.echoMs > 0) this.#compareClocks(from, message.echoMs, message.nowMs);
    // A newcomer takes a state even where the logs reach back to the first update: of origins that are gone their
    // deletions are in no log any more, while what they deleted may be in another's.
    let needsState = readiness.isStale || (!readiness.isReady && message.entries.some(({ seen }) => seen > 0));
    let isAhead = false;
    const named = new Set<string>();
    for (const entry of message.entries) {
      named.add(entry.origin);
      voids.learn(entry.origin, entry.voidAbove);
      const seen = positions.seen(entry.origin);
      if (seen > entry.seen) isAhead = true;
      if (entry.seen <= seen || entry.origin === this.#host.own().origin) continue;
      const position = positions.get(entry.origin);
      position.latest = Math.max(position.latest, entry.seen);
      if (entry.reach > seen + 1) needsState = true;
      else if (pulls.isDue(position)) pulls.pull(from, position);
    }
    if (!isAhead) for (const { origin, seen } of positions.all()) if (seen > 0 && !named.has(origin)) isAhead = true;
    if (needsState) readiness.requestState(from);
    else readiness.becomeReady();
    // One answer at most: an answer never asks for another.
    if (message.wantsAnswer) this.#send(from, false, message.nowMs);
    else if (isAhead && message.echoMs > 0) this.#send(from, false, 0);
  }

  /** Where this node stands, for one that takes its state; and where those stood that are gone (their `reach` is 1). */
  standing(): PositionEntry[] {
    this.#host.flush();
    const entries: PositionEntry[] = [];
    for (const { origin, seen, dot, voidAbove } of this.#host.positions.all())
      entries.push({ origin, seen, dot, reach: 0, voidAbove });
    for (const [origin, { seen, dot, voidAbove }] of this.#host.positions.epitaphs())
      entries.push({ origin, seen, dot, reach: 1, voidAbove });
    return entries;
  }

  /** Stands where the donor of a full state stood. */
  standAs(entries: readonly PositionEntry[]): void {
    const { positions } = this.#host;
    for (const { origin, seen, dot, reach } of entries) {
      // Of those gone only who is known here is worth keeping.
      if (origin === this.#host.own().origin || (reach === 1 && positions.seen(origin) === 0)) continue;
      positions.raise(origin, seen, dot);
    }
  }

  #send(to: string, wantsAnswer: boolean, echoMs: number): void {
    const { positions, log, clock } = this.#host;
    this.#host.flush();
    const entries: PositionEntry[] = [];
    for (const { origin, seen, dot, voidAbove } of positions.all())
      entries.push({ origin, seen, dot, reach: log.reach(origin, seen), voidAbove });
    this.#host.send(to, { type: MessageType.positions, wantsAnswer, nowMs: clock.nowMs, echoMs, entries });
  }

  /** The peer read its clock after we had sent ours: if ours was above it even so, ours is ahead. */
  #compareClocks(peer: string, oursMs: number, theirsMs: number): void {
    const { clock } = this.#host;
    const aheadMs = oursMs - theirsMs;
    // What was asked before the last correction measured the clock of then.
    if (aheadMs <= this.#options.maxClockSkewMs || oursMs > clock.nowMs) return;
    clock.correct(aheadMs);
    this.#host.tell({ type: 'clock-corrected', peer, aheadMs });
    // Someone else's may be slower still: better to know before the next write than by its refusal.
    for (const other of this.#host.peers()) if (other !== peer) this.ask(other);
  }
}
