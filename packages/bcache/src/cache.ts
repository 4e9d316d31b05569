import { ArgumentError, type Known, show } from '@dcache/base';
import { checkKnown, checkWellFormed, oneOf } from './argument.js';
import type { BusMember, BusStats } from './bus.js';
import type { ReplicatorStats } from './core/effects.js';
import { Driver } from './driver.js';
import { type Duration, toTimerMs, toTtlMs } from './duration.js';
import { CacheError } from './errors.js';
import { type CacheEvents, type Events, eventNames } from './events.js';
import {
  checkTags,
  defaultNames,
  type FillDefaults,
  type Filler,
  type FillOptions,
  fillNames,
  resolveDefaults,
  resolveFill,
  type SetOptions,
  setNames,
} from './fill/options.js';
import type { Entries } from './local/entries.js';
import type { Space, SpaceMode } from './local/space.js';

import { type CacheOptions, resolveOptions } from './options.js';

export interface NamespaceOptions extends Omit<FillOptions, 'signal' | 'tags'> {
  /** `invalidate`: values stay on the node that loaded them; a write makes the others drop theirs. Default `replicate`. */
  readonly mode?: SpaceMode;
}

export interface CacheStats extends ReplicatorStats, BusStats {
  readonly keys: number;
  /** Of keys and encoded values. */
  readonly bytes: number;
  readonly hits: number;
  readonly misses: number;
  readonly evictions: number;
  readonly expirations: number;
  readonly fills: number;
  readonly fillsInFlight: number;
  /** Deletions and invalidated tags that are remembered. */
  readonly tombstones: number;
  /** Updates that were older than what is known. */
  readonly late: number;
  readonly members: number;
}

const maxKeyLength = 16 * 1024;
const namespaceNames: Known<NamespaceOptions> = { ...defaultNames, mode: true };
const wrapNames: Known<FillOptions & { readonly key?: unknown }> = { ...fillNames, key: true };
const closeNames: Known<{ readonly timeout?: Duration }> = { timeout: true };

/**
 * Keys and values under one name. Every method but `getOrSet` is synchronous and never leaves the process.
 *
 * An argument or an option that is not allowed is an `ArgumentError`. From `close` on every method here throws a
 * `CacheError` `closed`, where it returns a promise it rejects with it.
 */
export class Namespace<V> {
  /** `''` for the cache's own. */
  readonly name: string;
  protected readonly driver: Driver;
  readonly #space: Space;
  readonly #entries: Entries;
  readonly #events: Events;
  readonly #defaults: FillDefaults;

  constructor(driver: Driver, name: string, defaults: FillDefaults, mode: SpaceMode | undefined) {
    this.driver = driver;
    this.name = name;
    // Not through the driver at each read: three steps less on the way of a hit.
    this.#entries = driver.replica.store.entries;
    this.#events = driver.events;
    this.#space = driver.replica.store.space(name);
    if (mode !== undefined) this.#space.mode = mode;
    this.#defaults = defaults;
  }

  /** The value, or undefined where there is none, or none that is fresh. */
  get(key: string): V | undefined {
    if (typeof key !== 'string') throw noKey(key);
    const value = this.#entries.get(this.#space, key) as V | undefined;
    if (this.#events.watchesReads) this.#tellRead(key, value !== undefined);
    return value;
  }

  /** As `get`, but without counting, touching or telling anybody. */
  peek(key: string): V | undefined {
    const slot = this.#find(key);
    return slot < 0 ? undefined : (this.#entries.valueAt(slot) as V);
  }

  /** Whether there is a fresh value. Counts and touches nothing. */
  has(key: string): boolean {
    return this.#find(key) >= 0;
  }

  /**
   * Stores a value here at once, and on all nodes soon. A ttl of 0 or less deletes the key. Throws a `CacheError`
   * `not-cloneable` or `too-large`, and an `ArgumentError`; then nothing has changed.
   */
  set(key: string, value: V, options?: SetOptions | Duration): this {
    this.#check(key);
    if (value === undefined)
      throw new ArgumentError(`the value of '${key}' is undefined, which means a miss; null is a value`);
    const write = this.#writeOptions(options);
    this.driver.advance();
    if (write.ttlMs <= 0) this.driver.replica.delete(this.#space, key);
    else this.driver.replica.set(this.#space, key, value, write);
    this.driver.soon();
    return this;
  }

  /** Deletes a key on all nodes, whether this one holds it or not. True where this one did. */
  delete(key: string): boolean {
    this.#check(key);
    this.driver.advance();
    const wasHeld = this.driver.replica.delete(this.#space, key);
    this.driver.soon();
    return wasHeld;
  }

  /** Deletes all keys of this namespace on all nodes. */
  clear(): void {
    this.#checkOpen();
    this.driver.advance();
    this.driver.replica.clear(this.#space);
    this.driver.soon();
  }

  /** The values of those keys that have one. */
  getMany(keys: Iterable<string>): Map<string, V> {
    this.#checkOpen();
    const found = new Map<string, V>();
    for (const key of iterable('getMany', 'keys', keys)) {
      const value = this.get(key);
      if (value !== undefined) found.set(key, value);
    }
    return found;
  }

  /** `set` for each; one that throws ends it, and those before it stay. */
  setMany(entries: Iterable<readonly [key: string, value: V]>, options?: SetOptions | Duration): this {
    this.#checkOpen();
    for (const [key, value] of iterable('setMany', '[key, value]', entries)) this.set(key, value, options);
    return this;
  }

  /** How many of them this node held. */
  deleteMany(keys: Iterable<string>): number {
    this.#checkOpen();
    let count = 0;
    for (const key of iterable('deleteMany', 'keys', keys)) if (this.delete(key)) count++;
    return count;
  }

  /** Keys with a fresh value, in no promised order. */
  keys(): IterableIterator<string> {
    this.#checkOpen();
    return this.#entries.keysOf(this.#space);
  }

  /**
   * The value, or what `filler` returns, which is then stored. However many ask at once, one filler runs: in this
   * process, and in the whole cluster while its members agree on who is alive (one on each side of a partition).
   *
   * Rejects with the filler's error, unless a stale value is within its grace; with `fill-timeout`; with the reason of
   * `signal`; with `closed` when the cache is closed meanwhile. A peer's failure is none of these: then this node fills.
   * Options are looked at where there is no fresh value.
   */
  getOrSet(key: string, filler: Filler<V>, options?: FillOptions): Promise<V | undefined> {
    let value: V | undefined;
    try {
      value = this.get(key);
    } catch (error) {
      return Promise.reject(error);
    }
    const isHit = value !== undefined && typeof filler === 'function';
    if (isHit && (options?.refreshAhead ?? this.#defaults.refreshAhead) === 0) return Promise.resolve(value);
    return this.#getOrSet(key, value, filler, options);
  }

  /** `getOrSet` by the name of the reference. */
  getWithFiller(key: string, filler: Filler<V>, ttl?: Duration): Promise<V | undefined> {
    return this.getOrSet(key, filler, ttl === undefined ? {} : { ttl });
  }

  /**
   * A function that caches what `load` returns. Default key: the function's name and its arguments as JSON; one without
   * a name needs `key`.
   */
  wrap<A extends readonly unknown[]>(
    load: (...args: A) => V | undefined | Promise<V | undefined>,
    options: FillOptions & { readonly key?: (...args: A) => string } = {},
  ): (...args: A) => Promise<V | undefined> {
    if (typeof load !== 'function') throw new ArgumentError(`wrap takes a function, got ${show(load)}`);
    checkKnown(options, wrapNames, 'wrap');
    const { key, ...fill } = options;
    resolveFill(fill, this.#defaults, fillNames, 'wrap');
    if (key !== undefined && typeof key !== 'function')
      throw new ArgumentError(`key takes a function from the arguments to a key, got ${show(key)}`);
    // Two functions without a name would share their keys, and so their values.
    if (key === undefined && load.name === '')
      throw new ArgumentError('wrap needs the option key for a function without a name');
    const keyOf = key ?? ((...args: A) => `${load.name}:${JSON.stringify(args)}`);
    return async (...args) => this.getOrSet(keyOf(...args), () => load(...args), fill);
  }

  /** Removes all values that carry one of the tags, on all nodes. Tags are a namespace's own. */
  invalidateTags(tags: string | readonly string[]): void {
    const all = checkTags(typeof tags === 'string' ? [tags] : tags);
    this.#checkOpen();
    this.driver.advance();
    for (const tag of all) this.driver.replica.invalidate(this.#space, tag);
    this.driver.soon();
  }

  /** Keys under a name of their own, in the same memory. All nodes should give a name the same options. */
  namespace<T = V>(name: string, options: NamespaceOptions = {}): Namespace<T> {
    if (typeof name !== 'string' || name === '' || name.length > 1024)
      throw new ArgumentError(`namespace takes a name of 1 to 1024 characters, got ${show(name)}`);
    checkWellFormed('namespace', name);
    this.#checkOpen();
    const defaults = resolveDefaults(options, this.#defaults, namespaceNames, 'namespace');
    const mode = options.mode === undefined ? undefined : oneOf('mode', options.mode, ['replicate', 'invalidate']);
    const full = this.name === '' ? name : `${this.name}:${name}`;
    return new Namespace<T>(this.driver, full, defaults, mode);
  }

  async #getOrSet(
    key: string,
    value: V | undefined,
    filler: Filler<V>,
    options: FillOptions | undefined,
  ): Promise<V | undefined> {
    this.#check(key);
    if (typeof filler !== 'function')
      throw new ArgumentError(`getOrSet takes a function as its filler, got ${show(filler)}`);
    const fill = resolveFill(options, this.#defaults, fillNames, 'getOrSet');
    if (value === undefined) return this.driver.loader.load(this.#space, key, filler, fill, options?.signal);
    if (fill.refreshAhead > 0) this.driver.loader.refreshAhead(this.#space, key, filler, fill);
    return value;
  }

  #writeOptions(options: SetOptions | Duration | undefined): FillDefaults {
    if (options === undefined) return this.#defaults;
    if (typeof options === 'object') return resolveFill(options, this.#defaults, setNames, 'set');
    return { ...this.#defaults, ttlMs: toTtlMs(options, 'ttl') };
  }

  #tellRead(key: string, isHit: boolean): void {
    const { events } = this.driver;
    const type = isHit ? 'hit' : 'miss';
    if (events.listenerCount(type) > 0) events.emit(type, { namespace: this.name, key });
  }

  /** The slot of a fresh value, or -1. */
  #find(key: string): number {
    if (typeof key !== 'string') throw noKey(key);
    const slot = this.#entries.findFresh(this.#space, key);
    if (slot < 0) this.#checkOpen();
    return slot;
  }

  #check(key: string): void {
    if (typeof key !== 'string') throw noKey(key);
    if (key.length > maxKeyLength)
      throw new ArgumentError(`a key has at most ${maxKeyLength} characters, got ${key.length}`);
    checkWellFormed('a key', key);
    this.#checkOpen();
  }

  #checkOpen(): void {
    if (this.driver.isClosed) throw new CacheError('closed', 'the cache was closed');
  }
}

function noKey(key: unknown): ArgumentError {
  return new ArgumentError(`a key is a string, got ${show(key)}`);
}

/** Refuses what is no list; a text would be one of its characters. */
function iterable<T>(method: string, of: string, list: Iterable<T>): Iterable<T> {
  if (typeof list === 'string' || typeof (list as Iterable<T> | undefined)?.[Symbol.iterator] !== 'function')
    throw new ArgumentError(`${method} takes an array or another iterable of ${of}, got ${show(list)}`);
  return list;
}

/** A cache of this process, and of every process that its node has found. Made by `createCache`. */
export class Cache<V> extends Namespace<V> {
  /** This node's id. */
  readonly peerId: string;

  constructor(driver: Driver) {
    super(driver, '', driver.options.fill, undefined);
    this.peerId = driver.peerId;
  }

  /** The living members, this node first. */
  members(): readonly BusMember[] {
    return this.driver.members();
  }

  /** Resolves when this node holds what the cluster held as it joined; rejects where it is closed before. */
  ready(): Promise<void> {
    return this.driver.ready;
  }

  stats(): CacheStats {
    const { replica, loader } = this.driver;
    const { store } = replica;
    const { entries } = store;
    return {
      keys: entries.size,
      bytes: entries.bytes,
      hits: entries.hits,
      misses: entries.misses,
      evictions: entries.evictions,
      expirations: entries.expirations,
      fills: loader.fills,
      fillsInFlight: loader.inFlight,
      tombstones: store.tombstones,
      late: store.late,
      members: this.members().length,
      ...replica.replicator.stats,
      ...this.driver.busStats(),
    };
  }

  on<E extends keyof CacheEvents>(event: E, listener: (...args: CacheEvents[E]) => void): this {
    oneOf('on', event, Object.keys(eventNames));
    if (typeof listener !== 'function') throw new ArgumentError(`a listener is a function, got ${show(listener)}`);
    this.driver.events.on(event, listener);
    return this;
  }

  off<E extends keyof CacheEvents>(event: E, listener: (...args: CacheEvents[E]) => void): this {
    this.driver.events.off(event, listener as never);
    return this;
  }

  /**
   * Sends what is queued, leaves the others, and frees everything; done after `timeout` at the latest. Default 5 s.
   *
   * From the call on reads and writes throw `closed`. A filler that runs is aborted by its signal, and who waits for it
   * gets `closed`, or a stale value within its grace. `stats`, `members`, `ready`, `on` and `off` still answer. To close
   * again does no harm: it ends with the first.
   */
  async close(options: { readonly timeout?: Duration } = {}): Promise<void> {
    checkKnown(options, closeNames, 'close');
    await this.driver.close(toTimerMs(options.timeout ?? 5_000, 'timeout', 0, false));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Starts a cache. Resolves when it listens and a peer has answered, or none did within two seconds; those not reached are
 * tried again. Rejects with an `ArgumentError` that names a wrong option, and with a `CacheError` `address-in-use` or
 * `cannot-listen`.
 */
export async function createCache<V = unknown>(options: CacheOptions = {}): Promise<Cache<V>> {
  const driver = new Driver(resolveOptions(options));
  const cache = new Cache<V>(driver);
  await driver.start();
  return cache;
}
