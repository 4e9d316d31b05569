import { Bit, type Entries, Queue } from './entries.js';
import type { EvictionPolicy } from './options.js';

/**
 * Entries that a hand passes over before it takes whoever is there, touched or not. The papers have no such bound: when
 * everything was touched, one write walks the whole queue. 4,096 steps are below a millisecond, and a cache in
 * which one in 4,096 entries in a row is cold never feels it.
 */
const MOST_STEPS = 4096;

/**
 * Chooses who goes. A pure function of the operations applied: nothing but entries, their order and their bits, which
 * are replicated state. It never removes; the engine does, and tells it first.
 */
export interface Eviction {
  /** Touches that an entry counts; more are forgotten. */
  readonly mostTouches: number;
  /** SIEVE's next entry to look at, 0 for the oldest. Replicated state. */
  hand: number;
  /** The entry to remove now; at least one must be there. May move others and take their touches away. */
  victim(): number;
  /** Called before an entry leaves. */
  leaving(id: number, bytes: number): void;
  /** Called when an entry came or changed its size by `bytes`. */
  grew(id: number, bytes: number): void;
}

/** What a policy asks of the engine. */
export interface EvictionHost {
  readonly entries: Entries;
  readonly maxBytes: number;
  /** Logical bytes of an entry. */
  sizeOf(id: number): number;
}

export function createEviction(policy: EvictionPolicy, host: EvictionHost): Eviction {
  if (policy === 'sieve') return new Sieve(host.entries);
  return policy === 's3fifo' ? new S3Fifo(host) : new Fifo(host.entries);
}

/** The oldest goes; also what stands behind `none`, which never asks. */
class Fifo implements Eviction {
  readonly mostTouches = 0;
  hand = 0;
  readonly #entries: Entries;

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  victim(): number {
    return this.#entries.oldest[Queue.main];
  }

  leaving(): void {}
  grew(): void {}
}

/**
 * Zhang, Yang, Yue, Vigfusson, Rashmi: SIEVE is Simpler than LRU, NSDI 2024, algorithm 1. The hand goes from old to
 * new, takes the touch of each entry it finds touched, and stops at the first that was not; that one goes, and the next
 * search begins after it. Entries never move, so an entry that is old and still wanted is sorted from the new by the
 * hand alone.
 */
class Sieve implements Eviction {
  readonly mostTouches = 1;
  hand = 0;
  readonly #entries: Entries;

  constructor(entries: Entries) {
    this.#entries = entries;
  }

  victim(): number {
    const entries = this.#entries;
    let id = this.hand === 0 ? entries.oldest[Queue.main] : this.hand;
    for (let step = 0; step < MOST_STEPS && entries.touches(id) !== 0; step++) {
      entries.setTouches(id, 0);
      const newer = entries.newer(id);
      id = newer === 0 ? entries.oldest[Queue.main] : newer;
    }
    this.hand = id;
    return id;
  }

  leaving(id: number): void {
    if (this.hand === id) this.hand = this.#entries.newer(id);
  }

  grew(): void {}
}

/**
 * Yang, Zhang, Qiu, Yue, Rashmi: FIFO Queues are All You Need for Cache Eviction, SOSP 2023, algorithm 1. A new entry
 * waits in the small queue, a tenth of the bytes; touched twice there it moves to the main one, otherwise it goes and
 * its key is remembered (`Ghosts`, by the engine); a remembered key that comes back starts in the main queue. In the
 * main queue an entry stays one more round for each touch.
 */
class S3Fifo implements Eviction {
  readonly mostTouches = 3;
  hand = 0;
  readonly #host: EvictionHost;
  #smallBytes = 0;

  constructor(host: EvictionHost) {
    this.#host = host;
  }

  victim(): number {
    const { entries, maxBytes } = this.#host;
    let step = 0;
    if (entries.counts[Queue.main] === 0 || this.#smallBytes * 10 >= maxBytes) {
      for (let id = entries.oldest[Queue.small]; id !== 0; id = entries.oldest[Queue.small]) {
        if (entries.touches(id) < 2 || step++ >= MOST_STEPS) return id;
        this.#smallBytes -= this.#host.sizeOf(id);
        entries.unlink(id);
        entries.push(id, Queue.main);
        entries.setTouches(id, 0);
      }
    }
    for (;;) {
      const id = entries.oldest[Queue.main];
      const touches = entries.touches(id);
      if (touches === 0 || step++ >= MOST_STEPS) return id;
      entries.setTouches(id, touches - 1);
      entries.unlink(id);
      entries.push(id, Queue.main);
    }
  }

  leaving(id: number, bytes: number): void {
    this.grew(id, -bytes);
  }

  grew(id: number, bytes: number): void {
    if ((this.#host.entries.bits(id) & Bit.small) !== 0) this.#smallBytes += bytes;
  }
}
