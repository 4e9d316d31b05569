import { ByteReader } from '@dcache/base';
import type { Change } from './change.js';
import { type Run, readChange } from './change-codec.js';
import type { ReplicatorStats } from './effects.js';
import { type HybridClock, stampOf } from './hlc.js';
import type { Grave, Holdings } from './holdings.js';
import type { UpdateLog } from './log.js';
import { type Message, MessageType, type PositionEntry, readBatch } from './message.js';
import type { Position, Positions } from './positions.js';
import type { Pulls } from './pulls.js';
import type { Voids } from './voids.js';

/** What taking records needs of its replicator. */
export interface IntakeHost {
  readonly holdings: Holdings;
  readonly positions: Positions;
  readonly log: UpdateLog;
  readonly clock: HybridClock;
  readonly stats: ReplicatorStats;
  readonly pulls: Pulls;
  readonly voids: Voids;
  /** This node's position under its present incarnation. */
  own(): Position;
  send(to: string, message: Message): void;
}

/**
 * Takes other nodes' records, whichever way they come: in their origin's sequence, with a full state, or beside both.
 * None is merged that is void, or whose stamp is too far ahead of this node's clock.
 */
export class Intake {
  readonly #host: IntakeHost;
  readonly #maxClockSkewMs: number;

  constructor(host: IntakeHost, maxClockSkewMs: number) {
    this.#host = host;
    this.#maxClockSkewMs = maxClockSkewMs;
  }

  /** The highest dot that is taken. */
  get limit(): number {
    return stampOf(this.#host.clock.nowMs + this.#maxClockSkewMs + 1);
  }

  /** Takes a batch of an origin's updates from whoever has it, and pulls what is missing before it. */
  takeUpdates(from: string, bytes: Uint8Array): void {
    const { positions, pulls, stats } = this.#host;
    const batch = readBatch(bytes);
    // Our own numbers come back only in answers to others' pulls; nobody else gives them.
    if (batch.origin === this.#host.own().origin) return;
    const position = positions.get(batch.origin);
    const before = position.seen;
    const reader = new ByteReader(bytes, batch.runAt);
    const run: Run = { dot: 0, space: undefined };
    const { limit } = this;
    let refusedDot = 0;
    let isNews = false;
    for (let i = 0; i < batch.count; i++) {
      const change = readChange(reader, run, batch.origin);
      if (!positions.mark(position, batch.first + i, change.dot)) continue;
      isNews = true;
      stats.received++;
      if (change.dot > position.voidAbove) stats.voided++;
      else if (change.dot > limit) refusedDot = refusedDot === 0 ? change.dot : Math.min(refusedDot, change.dot);
      else this.#merge(change);
    }
    reader.end();
    if (isNews) this.#host.log.add(batch);
    if (refusedDot > 0) this.refuse(from, batch.origin, refusedDot);
    if (position.seen >= position.latest) position.pullUntilMs = 0;
    else if (position.seen > before || pulls.isDue(position)) pulls.pullFromOrigin(position, from);
  }

  /** Takes a record that came beside its origin's sequence. */
  takeAside(change: Change): void {
    if (!this.#host.positions.isVoid(change.origin, change.dot) && change.dot <= this.limit) this.#merge(change);
  }

  /** Takes a record of a full state. False where its stamp is too far ahead. */
  takeRecord(change: Change): boolean {
    const { holdings, positions, stats, voids } = this.#host;
    if (positions.isVoid(change.origin, change.dot)) stats.voided++;
    else if (change.dot > this.limit) return false;
    // Seen, and not held any more: it was overwritten, deleted or evicted here.
    else if (voids.isFilling || !positions.hasSeen(change.origin, change.dot) || holdings.holds(change))
      this.#merge(change);
    return true;
  }

  /** Takes a grave of a full state. */
  takeGrave(grave: Grave): void {
    const [, stamp] = grave;
    if (stamp > this.limit || this.#host.voids.isVoidGrave(grave)) return;
    this.#host.clock.observe(stamp);
    this.#host.holdings.bury(grave);
  }

  /** Learns from the head of a full state what is void of an origin, before its records come. */
  learnVoid({ origin, seen, reach, voidAbove }: PositionEntry): void {
    // Known from now on, if it lives.
    if (seen > 0 && reach === 0) this.#host.positions.get(origin);
    this.#host.voids.learn(origin, voidAbove);
  }

  /** Tells a peer that all of `origin` from `dot` on is void, and holds it so here. */
  refuse(to: string, origin: string, dot: number): void {
    const { clock, positions, stats, voids } = this.#host;
    stats.refused++;
    // Void here too: should this answer be lost, the next exchange of positions says the same. Known from now on, even
    // where none of its numbers is in order yet.
    positions.get(origin);
    voids.learn(origin, dot - 1);
    this.#host.send(to, { type: MessageType.refused, nowMs: clock.nowMs, origin, dot });
  }

  #merge(change: Change): void {
    this.#host.clock.observe(change.dot);
    if (this.#host.holdings.apply(change)) this.#host.stats.applied++;
  }
}
