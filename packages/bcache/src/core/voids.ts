import { type Change, rankOf } from './change.js';
import type { ReplicatorStats } from './effects.js';
import { type HybridClock, msOf, stampOf } from './hlc.js';
import type { Grave, Holdings } from './holdings.js';
import type { Position, Positions } from './positions.js';

/** What dealing with void records needs of its replicator. */
export interface VoidHost {
  readonly holdings: Holdings;
  readonly positions: Positions;
  readonly clock: HybridClock;
  readonly stats: ReplicatorStats;
  /** Monotonic time. */
  now(): number;
  /** This node's position under its present incarnation. */
  own(): Position;
  /** Goes on under a new incarnation. */
  renew(): void;
  /** The highest dot that is taken. */
  limit(): number;
  publish(change: Change): void;
  flush(): void;
  isTakingState(): boolean;
  /** Asks any peer for its full state. */
  askState(): void;
}

const waitMs = 300;
const everyMs = 1_000;

/**
 * Records whose stamps were too far ahead. A peer took no record of an origin above a dot: from then on those are void for
 * everyone. Each node that holds some issues them anew with a stamp of its own, and who learns of it later does so too.
 * What one of them had overwritten stays overwritten, for the new stamp is above all that this node has seen.
 */
export class Voids {
  readonly #host: VoidHost;
  readonly #patienceMs: number;
  /** When void records are issued anew; Infinity where none are known, and when it was done last. */
  #reissueAtMs = Infinity;
  #reissuedAtMs = Number.NEGATIVE_INFINITY;
  /** What is void of an origin, by its rank: graves have no more than that of it. */
  #byRank = new Map<number, number>();
  /** Void graves as they were counted when the last full state was asked for: of more, a state has to tell what they hid. */
  #gravesKnown = 0;
  #gravesAsked = 0;
  #holeySinceMs = -1;

  /** After `patienceMs` nobody is taken to know what void records hid. */
  constructor(host: VoidHost, patienceMs: number) {
    this.#host = host;
    this.#patienceMs = patienceMs;
  }

  /** Records of `origin` above a dot are void; Infinity: none are. */
  learn(origin: string, voidAbove: number): void {
    const { positions, holdings } = this.#host;
    if (voidAbove === Infinity || !positions.knows(origin)) return;
    if (origin === this.#host.own().origin) this.#host.flush();
    // Asked before it is looked up: that would bring back one who is buried.
    if (voidAbove >= positions.voidAbove(origin)) return;
    const position = positions.get(origin);
    position.voidAbove = voidAbove;
    this.#byRank.set(rankOf(origin), voidAbove);
    holdings.forgetGravesOf(this.#byRank);
    if (position === this.#host.own()) {
      // This node's own stamps were too high.
      this.#host.renew();
      this.#lowerClock(this.#collect().highestDot);
    }
    // Many refusals come at once, and clocks are being compared: once a second is enough, and bounds what it costs.
    if (this.#reissueAtMs === Infinity)
      this.#reissueAtMs = Math.max(this.#host.now() + waitMs, this.#reissuedAtMs + everyMs);
  }

  tick(): void {
    if (this.#host.now() >= this.#reissueAtMs) this.#reissue();
    else if (this.#reissueAtMs === Infinity) this.#fillHoles();
  }

  isVoidGrave([, stamp, rank]: Grave): boolean {
    return stamp > (this.#byRank.get(rank) ?? Infinity);
  }

  /** Whether graves of void records were forgotten here, and what they hid has not been found again. */
  get isHoley(): boolean {
    return this.#host.holdings.voidGraves !== this.#gravesKnown;
  }

  /** Whether the state that is being taken is to fill holes: what was seen and is not held may be one. */
  get isFilling(): boolean {
    return this.#gravesAsked > this.#gravesKnown;
  }

  stateAsked(): void {
    this.#gravesAsked = this.#host.holdings.voidGraves;
  }

  stateTaken(): void {
    this.#gravesKnown = this.#gravesAsked;
  }

  #reissue(): void {
    const { holdings, positions, clock, stats } = this.#host;
    this.#reissueAtMs = Infinity;
    this.#reissuedAtMs = this.#host.now();
    this.#host.flush();
    const { victims, highestDot } = this.#collect();
    const { origin, seen } = this.#host.own();
    // Dots of one origin rise: only one that has given none may start lower.
    if (seen === 0) this.#lowerClock(highestDot);
    victims.sort((a, b) => a.stamp - b.stamp || (a.origin < b.origin ? -1 : 1));
    for (const victim of victims) holdings.forget(victim);
    // What of them expired or was overwritten since it was known to be void has left a grave.
    this.#byRank = new Map([...positions.voids()].map(([name, above]) => [rankOf(name), above]));
    holdings.forgetGravesOf(this.#byRank);
    for (const victim of victims) {
      const stamp = clock.stamp();
      const backMs = Math.max(0, msOf(victim.dot) - msOf(stamp));
      const expiresAtMs = victim.expiresAtMs > 0 ? Math.max(1, victim.expiresAtMs - backMs) : 0;
      const change = { ...victim, stamp, dot: stamp, origin, expiresAtMs };
      holdings.apply(change);
      this.#host.publish(change);
      stats.restamped++;
    }
    this.#host.flush();
  }

  /**
   * A valid record that came while a void one of its key was held was taken for an older one. Where the void one is still
   * held it is issued anew, above both. Where it had gone before it was known to be void, the valid one is missing here, or
   * the grave of it: a full state has either, from a node without such holes. Where all have some, nobody knows better.
   */
  #fillHoles(): void {
    if (!this.isHoley) {
      this.#holeySinceMs = -1;
      return;
    }
    if (this.#host.isTakingState()) return;
    const now = this.#host.now();
    if (this.#holeySinceMs < 0) this.#holeySinceMs = now;
    if (now - this.#holeySinceMs > this.#patienceMs) this.#gravesKnown = this.#host.holdings.voidGraves;
    else this.#host.askState();
  }

  #collect(): { victims: Change[]; highestDot: number } {
    const { holdings, positions } = this.#host;
    return holdings.collect((origin, dot) => positions.isVoid(origin, dot));
  }

  /** Back to what is valid; still above all that is held, and above every version that is known to be gone. */
  #lowerClock(highestDot: number): void {
    const { holdings, clock } = this.#host;
    const highestGrave = holdings.forgetGravesAbove(this.#host.limit());
    clock.lower(Math.max(highestDot, highestGrave, stampOf(clock.nowMs)));
  }
}
