import type { Clock, Logger, Random } from '@dcache/base';
import { toTtlMs } from '../duration.js';
import { CacheError } from '../errors.js';
import type { Space } from '../local/space.js';
import type { Replica } from '../replica.js';
import { Flight } from './flight.js';
import { LeaseOutcome } from './lease.js';
import { defaultLeaseMs, type LeaseDesk } from './lease-desk.js';
import { checkTags, type FillContext, type FillDefaults, type Filler } from './options.js';

export interface LoaderOptions {
  readonly replica: Replica;
  readonly desk: LeaseDesk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Tells the replica the time. */
  readonly advance: () => void;
  /** Sends what was published. */
  readonly flush: () => void;
  /** Whether there is anybody to agree with. */
  readonly hasPeers: () => boolean;
  readonly onFill: (space: string, key: string, fillMs: number) => void;
  readonly onError: (error: Error, space: string, key: string) => void;
}

/**
 * `getOrSet`: one filler a key in this process, and by a lease one in the cluster.
 *
 * A hit costs a lookup and a promise. A stale value within its grace is served while a filler runs in the background.
 */
export class Loader {
  readonly #options: LoaderOptions;
  readonly #flights = new Map<string, Flight<unknown>>();
  #isClosed = false;
  /** A running mean of how long fillers took: for entries that another node filled. */
  #meanFillMs = 0;
  fills = 0;

  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  /** The value after a miss; `options` are those of the call. */
  load<V>(
    space: Space,
    key: string,
    filler: Filler<V>,
    options: FillDefaults,
    signal: AbortSignal | undefined,
  ): Promise<V | undefined> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    const stale = this.#stale(space, key) as V | undefined;
    const flight = this.#flight(space, key, filler, options, stale, stale !== undefined);
    if (stale === undefined) return flight.join(key, options.hardTimeoutMs, signal);
    if (options.timeoutMs === 0) return Promise.resolve(stale);
    return this.#withStale(flight, key, stale, options, signal);
  }

  /** Refreshes a fresh value early, by chance: the nearer its end and the slower its filler, the more likely. */
  refreshAhead<V>(space: Space, key: string, filler: Filler<V>, options: FillDefaults): void {
    const { entries } = this.#options.replica.store;
    const slot = entries.find(space, key);
    if (slot < 0) return;
    const leftMs = entries.deadlineAt(slot) - this.#options.clock.monotonicMs();
    const fillMs = entries.extraAt(slot).fillMs || this.#meanFillMs;
    // Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015, XFetch.
    const early = -fillMs * options.refreshAhead * Math.log(1 - this.#options.random.next());
    if (early >= leftMs) this.#flight(space, key, filler, options, entries.valueAt(slot) as V, true);
  }

  close(): void {
    this.#isClosed = true;
    for (const flight of this.#flights.values()) flight.abort(new CacheError('closed', 'the cache was closed'));
  }

  async #withStale<V>(
    flight: Flight<V>,
    key: string,
    stale: V,
    options: FillDefaults,
    signal: AbortSignal | undefined,
  ): Promise<V | undefined> {
    let cancel = (): void => {};
    const late = new Promise<V>((resolve) => {
      if (options.timeoutMs === Number.POSITIVE_INFINITY) return;
      cancel = this.#options.clock.after(options.timeoutMs, () => resolve(stale));
    });
    try {
      return await Promise.race([flight.join(key, options.hardTimeoutMs, signal), late]);
    } catch (error) {
      if (signal?.aborted === true) throw error;
      return stale;
    } finally {
      cancel();
    }
  }

  /** The value of a key that has expired, while it is within its grace. */
  #stale(space: Space, key: string): unknown {
    const { entries } = this.#options.replica.store;
    const slot = entries.find(space, key);
    if (slot < 0) return undefined;
    const endMs = entries.deadlineAt(slot) + entries.extraAt(slot).graceMs;
    return endMs > this.#options.clock.monotonicMs() ? entries.valueAt(slot) : undefined;
  }

  #flight<V>(
    space: Space,
    key: string,
    filler: Filler<V>,
    options: FillDefaults,
    stale: V | undefined,
    isBackground: boolean,
  ): Flight<V> {
    const name = `${space.name}\0${key}`;
    const running = this.#flights.get(name);
    if (running !== undefined && !running.signal.aborted) return running as Flight<V>;
    if (this.#isClosed) throw new CacheError('closed', 'the cache was closed');
    const flight = new Flight<V>(this.#options.clock, isBackground);
    this.#flights.set(name, flight as Flight<unknown>);
    const land = (): void => {
      if (this.#flights.get(name) === (flight as Flight<unknown>)) this.#flights.delete(name);
    };
    flight.signal.addEventListener('abort', land, { once: true });
    // A refresh that nobody waits for has to end by itself.
    const cancel = isBackground
      ? this.#options.clock.after(Math.min(options.hardTimeoutMs, defaultLeaseMs), () =>
          flight.abort(new CacheError('fill-timeout', `the refresh of '${key}' did not settle in time`)),
        )
      : () => {};
    flight.run(async () => {
      try {
        return await this.#fill(space, key, filler, options, stale, flight);
      } catch (error) {
        if (isBackground && !this.#isClosed) this.#options.onError(error as Error, space.name, key);
        throw error;
      } finally {
        cancel();
        land();
      }
    });
    return flight;
  }

  async #fill<V>(
    space: Space,
    key: string,
    filler: Filler<V>,
    options: FillDefaults,
    stale: V | undefined,
    flight: Flight<V>,
  ): Promise<V | undefined> {
    const { desk, replica, advance, hasPeers } = this.#options;
    const isShared = space.mode === 'replicate' && hasPeers();
    if (!isShared) return this.#run(space, key, filler, options, stale, flight, () => {});
    const leaseMs = Math.min(options.hardTimeoutMs, defaultLeaseMs);
    const answer = await aborted(desk.ask(space.name, key, leaseMs, !flight.isBackground), flight.signal);
    advance();
    if (answer === 'denied') return stale;
    if (!flight.isBackground) {
      const slot = replica.store.entries.findFresh(space, key);
      if (slot >= 0) {
        if (answer === 'granted') desk.release(space.name, key, LeaseOutcome.stored);
        return replica.store.entries.valueAt(slot) as V;
      }
    }
    if (answer === 'empty') return undefined;
    const release = (outcome: LeaseOutcome): void => {
      this.#options.flush();
      if (answer === 'granted') desk.release(space.name, key, outcome);
    };
    return this.#run(space, key, filler, options, stale, flight, release);
  }

  async #run<V>(
    space: Space,
    key: string,
    filler: Filler<V>,
    options: FillDefaults,
    stale: V | undefined,
    flight: Flight<V>,
    release: (outcome: LeaseOutcome) => void,
  ): Promise<V | undefined> {
    const { replica, clock, advance } = this.#options;
    if (this.#isClosed) throw new CacheError('closed', 'the cache was closed');
    advance();
    const startedAt = replica.replicator.stamp();
    const startedMs = clock.monotonicMs();
    let { ttlMs, tags } = options;
    let isSkipped = false;
    const context: FillContext<V> = {
      signal: flight.signal,
      stale,
      skip: () => {
        isSkipped = true;
        return undefined;
      },
      setTtl: (ttl) => {
        ttlMs = toTtlMs(ttl, 'setTtl');
      },
      setTags: (given) => {
        tags = checkTags(given);
      },
    };
    let outcome: LeaseOutcome = LeaseOutcome.failed;
    try {
      this.fills++;
      let value: V | undefined = await aborted<V | undefined>(Promise.resolve(filler(key, context)), flight.signal);
      // It came in the turn that closed the cache: who waits may have it.
      if (this.#isClosed) return value;
      const fillMs = clock.monotonicMs() - startedMs;
      this.#meanFillMs += (fillMs - this.#meanFillMs) / 8;
      const isNegative = value === undefined || value === null;
      if (isNegative && options.negativeTtlMs !== undefined && !isSkipped) {
        value = null as V;
        ttlMs = options.negativeTtlMs;
      }
      outcome = LeaseOutcome.empty;
      if (value === undefined || isSkipped) return value;
      if (options.jitterMs > 0) ttlMs -= Math.min(ttlMs, this.#options.random.next() * options.jitterMs);
      advance();
      if (ttlMs > 0) {
        const write = { ttlMs, graceMs: options.graceMs, tags };
        try {
          const isStored = replica.fill(space, key, value, write, startedAt, fillMs);
          // Where something newer stands, those who wait have that.
          if (isStored || replica.store.entries.findFresh(space, key) >= 0) outcome = LeaseOutcome.stored;
        } catch (error) {
          // What cannot be cached can still be had.
          outcome = LeaseOutcome.failed;
          this.#options.onError(error as Error, space.name, key);
        }
      }
      this.#options.onFill(space.name, key, fillMs);
      return value;
    } finally {
      release(outcome);
    }
  }
}

/** The promise's outcome, or the signal's reason once it aborts. */
function aborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
