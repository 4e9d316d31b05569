import type { Epochs } from './epochs.js';
import { ExpiryTimes } from './expiry-times.js';

const FAN_SHIFT = 5;
const FAN = 1 << FAN_SHIFT;
const CHUNK_SHIFT = 8;
const CHUNK_NODES = 1 << CHUNK_SHIFT;
const NEVER: number = Number.POSITIVE_INFINITY;

/** The nodes of one height: of each, who goes first among the 32 below it, and when. */
class Level {
  readonly times: Float64Array[] = [];
  readonly winners: Uint32Array[] = [];

  reach(node: number): void {
    while (this.times.length <= node >>> CHUNK_SHIFT) {
      this.times.push(new Float64Array(CHUNK_NODES).fill(NEVER));
      this.winners.push(new Uint32Array(CHUNK_NODES));
    }
  }
}

/**
 * Which entry expires next: a tournament (Knuth, TAOCP 3, §5.4.1, "tree of losers" and its winners) over the ids, 32 to
 * a match. Each node holds the winner of its 32 children, so the root holds the entry that goes next.
 *
 * ```
 * level 2   one node: the winner of all, by time, then by `isBefore`
 * level 1   a node for each 1,024 ids
 * level 0   a node for each 32 ids
 * times     4 bytes an id (`ExpiryTimes`)
 * ```
 *
 * The order is total, so what goes next is a function of the entries alone: not of the way they came here, nor of their
 * ids. 4.4 bytes an entry. A change that does not concern the winner of its 32, as with one TTL for all or
 * when something in the middle is overwritten, ends at level 0 after one comparison; at worst each level is played anew,
 * 32 comparisons a level and 7 levels for 2^32 ids. No call does more than that: nothing comes in bursts.
 *
 * Rejected (docs/adr/0031-expiry-tournament.md): a hierarchical timer wheel and a heap.
 */
export class ExpiryTree {
  readonly #times: ExpiryTimes;
  readonly #isBefore: (a: number, b: number) => boolean;
  /** Invariant: the last level has one node in use, number 0. */
  readonly #levels: Level[] = [new Level()];
  #size = 0;
  /** Ids below this hang below the root. */
  #reached = 0;

  /** `isBefore` orders two entries of one time, and must be total. */
  constructor(epochs: Epochs, isBefore: (a: number, b: number) => boolean) {
    this.#times = new ExpiryTimes(epochs);
    this.#isBefore = isBefore;
    this.#levels[0]!.reach(0);
  }

  /** Entries that will expire. */
  get size(): number {
    return this.#size;
  }

  get allocatedBytes(): number {
    const chunks = this.#levels.reduce((sum, level) => sum + level.times.length, 0);
    return this.#times.allocatedBytes + chunks * CHUNK_NODES * 12;
  }

  /** The entry that goes next, or 0. */
  get first(): number {
    return this.#levels.at(-1)!.winners[0]![0]!;
  }

  /** When it goes; Infinity for never. */
  get firstMs(): number {
    return this.#levels.at(-1)!.times[0]![0]!;
  }

  /** When an entry expires; Infinity for never. */
  timeMs(id: number): number {
    return this.#times.read(id);
  }

  /**
   * Gives an entry a time, another one, or its place again after what `isBefore` compares has changed. Infinity takes
   * its time away.
   */
  set(id: number, timeMs: number): void {
    const before = this.#times.write(id, timeMs);
    if (before === NEVER && timeMs === NEVER) return;
    this.#size += Number(before === NEVER) - Number(timeMs === NEVER);
    if (id >= this.#reached) this.#reach(id);
    this.#play(id, before, timeMs);
  }

  /** The times as they are now, for a snapshot: a function from an id to its time. */
  view(): (id: number) => number {
    return this.#times.view();
  }

  /** Adds nodes and levels for the ids up to this one, and for all that its chunk of nodes can take. */
  #reach(id: number): void {
    const last = (id | (FAN * CHUNK_NODES - 1)) >>> 0;
    let node = last >>> FAN_SHIFT;
    for (let height = 0; ; height++, node >>>= FAN_SHIFT) {
      if (height === this.#levels.length) {
        const level = new Level();
        level.reach(0);
        level.winners[0]![0] = this.first;
        level.times[0]![0] = this.firstMs;
        this.#levels.push(level);
      }
      this.#levels[height]!.reach(node);
      if (node === 0 && height === this.#levels.length - 1) break;
    }
    this.#reached = last + 1;
  }

  /** Carries the change of one id's time up, as far as it changes anything. */
  #play(id: number, beforeMs: number, timeMs: number): void {
    let node = id >>> FAN_SHIFT;
    let challenger = timeMs === NEVER ? 0 : id;
    let challengerMs = timeMs;
    for (let height = 0; height < this.#levels.length; height++, node >>>= FAN_SHIFT) {
      const level = this.#levels[height]!;
      const times = level.times[node >>> CHUNK_SHIFT]!;
      const at = node & (CHUNK_NODES - 1);
      const winnerMs = times[at]!;
      // A winner has its node's time, so an id with a later one before and now is not concerned.
      if (beforeMs > winnerMs && challengerMs > winnerMs) return;
      const winners = level.winners[node >>> CHUNK_SHIFT]!;
      const winner = winners[at]!;
      if (winner === id && !(challenger === id && challengerMs < winnerMs)) {
        challenger = height === 0 ? this.#bestId(node) : this.#bestNode(this.#levels[height - 1]!, node);
        challengerMs = challenger === 0 ? NEVER : this.#times.read(challenger);
      } else if (winner !== id && winner !== 0 && !this.#goesFirst(challenger, challengerMs, winner, winnerMs)) return;
      winners[at] = challenger;
      times[at] = challengerMs;
    }
  }

  /** Who goes first among the 32 ids of a node of level 0; 0 for nobody. */
  #bestId(node: number): number {
    let best = 0;
    let bestMs = NEVER;
    const end = (node + 1) * FAN;
    for (let id = node * FAN; id < end; id++) {
      const timeMs = this.#times.read(id);
      if (timeMs > bestMs || timeMs === NEVER || !this.#goesFirst(id, timeMs, best, bestMs)) continue;
      best = id;
      bestMs = timeMs;
    }
    return best;
  }

  /** Who goes first among the 32 nodes below one of a higher level; 0 for nobody. */
  #bestNode(below: Level, node: number): number {
    const from = (node * FAN) & (CHUNK_NODES - 1);
    const times = below.times[(node * FAN) >>> CHUNK_SHIFT]!;
    const winners = below.winners[(node * FAN) >>> CHUNK_SHIFT]!;
    let best = 0;
    let bestMs = NEVER;
    for (let at = from; at < from + FAN; at++) {
      const timeMs = times[at]!;
      if (timeMs > bestMs || timeMs === NEVER || !this.#goesFirst(winners[at]!, timeMs, best, bestMs)) continue;
      best = winners[at]!;
      bestMs = timeMs;
    }
    return best;
  }

  #goesFirst(a: number, aMs: number, b: number, bMs: number): boolean {
    return aMs < bMs || (aMs === bMs && a !== b && this.#isBefore(a, b));
  }
}
