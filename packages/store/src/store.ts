import { assert } from '@dcache/base';
import { Engine, type Local } from './engine.js';
import { StoreError } from './errors.js';
import { integer, resolveOptions, type StoreOptions } from './options.js';
import { copyBytes, equalAt } from './record.js';
import { SnapshotReader } from './snapshot-reader.js';
import { SnapshotWriter } from './snapshot-writer.js';
import type {
  Entry,
  EntryMeta,
  ScanEntry,
  ScanOptions,
  ScanPage,
  SetMeta,
  SetResult,
  StoreRestorer,
  StoreSnapshot,
  StoreStats,
} from './types.js';

/** Most entries that one page of a scan looks at, matching or not: a few milliseconds. */
const MOST_SCANNED = 10_000;

/**
 * A replica's entries. All methods that change replicated state (`set`, `delete`, `clear`, `touch`, `advance`,
 * `setMaxBytes`, `restore`) are deterministic: replicas that apply the same calls in the same order have the same
 * `stateHash()`, the same entries and the same answers, wherever one of them took a detour by a snapshot. Reads change
 * nothing but the local sample of `takeTouched`.
 *
 * Keys and values are copied in and copied out. Numbers out of their range are a programmer's mistake and throw an
 * AssertionError. A RangeError from a write means that the process has no memory left.
 */
export class Store {
  readonly #local: Local;
  #engine: Engine;
  /** Counted by engines that `clear` and `restore` replaced. */
  #pastEvictions = 0;
  #pastExpirations = 0;

  /** Throws a TypeError that names an option out of its range. */
  constructor(options: StoreOptions = {}) {
    const { maxBytes, eviction, maxKeyBytes, maxValueBytes, ...local } = resolveOptions(options);
    this.#local = local;
    this.#engine = new Engine({ maxBytes, eviction, maxKeyBytes, maxValueBytes }, local);
  }

  /** The latest log time that `advance` was told, in milliseconds; 0 before. */
  get nowMs(): number {
    return this.#engine.nowMs;
  }

  /** Keeps an entry, over the one of the same key; evicts others until it fits. A write to a present key touches it. */
  set(key: Uint8Array, value: Uint8Array, meta: SetMeta): SetResult {
    const { revision, expiresAtMs = 0, flags = 0 } = meta;
    assert(Number.isSafeInteger(revision) && revision >= 0, `a revision is from 0 to 2^53-1, got ${revision}`);
    assert(Number.isSafeInteger(expiresAtMs) && expiresAtMs >= 0, `a time is from 0 to 2^53-1, got ${expiresAtMs}`);
    assert(flags >>> 0 === flags, `flags are from 0 to 2^32-1, got ${flags}`);
    return this.#engine.set(key, value, revision, expiresAtMs, flags);
  }

  get(key: Uint8Array): Entry | undefined {
    const id = this.#read(key);
    if (id === 0) return undefined;
    const { revision, expiresAtMs, flags, valueBytes } = this.#metaOf(id);
    const bytes = this.#engine.read(id);
    const { valueAt, end } = this.#engine.record;
    return { revision, expiresAtMs, flags, valueBytes, value: bytes.slice(valueAt, end) };
  }

  /**
   * Copies a value into `target` from `offset` on and returns its length; -1 when there is none. Writes nothing when it
   * does not fit. Makes no object for values up to 48 bytes, and one short-lived view for longer ones.
   */
  getInto(key: Uint8Array, target: Uint8Array, offset: number = 0): number {
    const id = this.#read(key);
    if (id === 0) return -1;
    const bytes = this.#engine.read(id);
    const { valueAt, valueBytes } = this.#engine.record;
    if (valueBytes <= target.length - offset) copyBytes(bytes, valueAt, target, offset, valueBytes);
    return valueBytes;
  }

  /** What `get` says without the value; not a read for `takeTouched`. */
  peekMeta(key: Uint8Array): EntryMeta | undefined {
    const id = this.#engine.find(key);
    return id === 0 ? undefined : this.#metaOf(id);
  }

  /** Not a read for `takeTouched`. */
  has(key: Uint8Array): boolean {
    return this.#engine.find(key) !== 0;
  }

  /** Whether there was an entry to delete. */
  delete(key: Uint8Array): boolean {
    return this.#engine.delete(key);
  }

  /** Forgets all entries and what eviction knows; limits and log time stay. */
  clear(): void {
    const { settings, nowMs } = this.#engine;
    this.#replaceEngine(new Engine(settings, this.#local));
    this.#engine.nowMs = nowMs;
  }

  /** Counts an access to a key, if present, in the replicated state. A read alone never does. */
  touch(key: Uint8Array): void {
    const id = this.#engine.find(key);
    if (id !== 0) this.#engine.touch(id);
  }

  /**
   * Up to `limit` keys that were read here since they were last taken and that `touch` would change: for a leader to put
   * into the log. A sample of at most 4,096; local, not replicated.
   */
  takeTouched(limit: number = Number.POSITIVE_INFINITY): Uint8Array[] {
    return this.#engine.sample.take(limit).map((id) => {
      const bytes = this.#engine.read(id);
      return bytes.slice(this.#engine.record.keyAt, this.#engine.record.valueAt);
    });
  }

  /**
   * Moves log time on to `nowMs` (it never goes back) and removes what has expired by then, soonest first and at most
   * `budget` entries; returns how many. What a budget leaves is invisible, and goes with the next call. The budget is
   * part of the operation: all replicas must use the same.
   */
  advance(nowMs: number, budget: number = Number.POSITIVE_INFINITY): number {
    assert(Number.isSafeInteger(nowMs) && nowMs >= 0, `a time is from 0 to 2^53-1, got ${nowMs}`);
    return this.#engine.advance(nowMs, budget);
  }

  /** When the next entry expires, or should have, in log time; undefined when none will. */
  nextExpiryMs(): number | undefined {
    const { first, firstMs } = this.#engine.expiry;
    return first === 0 ? undefined : firstMs;
  }

  /**
   * Changes the limit and evicts down to it, at most `budget` entries now (about a microsecond each) and the rest with
   * later calls: up to their budget with each `advance`, 16 with each `set`, which meanwhile does not let the store
   * grow. With `none` nothing goes. Returns how many went now. The budget is part of the operation, as for `advance`.
   */
  setMaxBytes(maxBytes: number, budget: number = Number.POSITIVE_INFINITY): number {
    return this.#engine.setMaxBytes(integer('maxBytes', maxBytes, 0, Number.MAX_SAFE_INTEGER), budget);
  }

  /**
   * A page of entries. An entry that is there during the whole scan comes exactly once; one that comes or goes meanwhile,
   * at most once. A page looks at no more than 10,000 entries, so with a rare prefix it may be empty and not the last.
   */
  scan(options: ScanOptions): ScanPage {
    const limit = integer('limit', options.limit, 1, Number.MAX_SAFE_INTEGER);
    const prefix = options.prefix ?? new Uint8Array(0);
    const engine = this.#engine;
    const entries: ScanEntry[] = [];
    let [hash, from] = this.#readCursor(options.cursor);
    let looked = 0;
    let last = 0;
    const visit = (_: number, id: number): boolean => {
      if (entries.length === limit || looked === MOST_SCANNED) {
        last = id;
        return false;
      }
      looked++;
      if (engine.isDue(id)) return true;
      const bytes = engine.read(id);
      const { keyAt, keyBytes, valueAt } = engine.record;
      if (keyBytes < prefix.length || !equalAt(bytes, keyAt, prefix)) return true;
      entries.push({ key: bytes.slice(keyAt, valueAt), ...this.#metaOf(id) });
      return true;
    };
    while (hash < 2 ** 32) {
      hash = engine.table.walkShard(hash, from, visit);
      if (last !== 0) return { entries, cursor: `${this.#cursorTag()}-${hash.toString(36)}-${last.toString(36)}` };
      from = 0;
    }
    return { entries, cursor: undefined };
  }

  /**
   * The state as of now, to be read in chunks while writes go on. Opening copies one reference for each thousand
   * entries and each segment. Until it is closed, memory that it sees is kept: at worst the store takes twice as much.
   */
  snapshot(): StoreSnapshot {
    return new SnapshotWriter(this.#engine.view());
  }

  /**
   * Begins to replace everything, limits and policy too, by a snapshot. Until `finish()` the store answers from what it
   * has, so both are in memory; a write in between is lost with the old state.
   */
  restore(): StoreRestorer {
    return new SnapshotReader(this.#local, (engine) => this.#replaceEngine(engine));
  }

  /** Sixteen hexadecimal digits: a digest, kept with each operation, of everything replicated. Takes microseconds. */
  stateHash(): string {
    return this.#engine.stateHash();
  }

  stats(): StoreStats {
    const engine = this.#engine;
    return {
      entries: engine.entries.count,
      expiringEntries: engine.expiry.size,
      liveBytes: engine.liveBytes,
      maxBytes: engine.maxBytes,
      allocatedBytes: engine.allocatedBytes,
      evictions: this.#pastEvictions + engine.evictions,
      expirations: this.#pastExpirations + engine.expirations,
    };
  }

  #read(key: Uint8Array): number {
    const engine = this.#engine;
    const id = engine.find(key);
    if (id !== 0 && engine.entries.touches(id) < engine.eviction.mostTouches) engine.sample.note(id);
    return id;
  }

  #metaOf(id: number): EntryMeta {
    const engine = this.#engine;
    engine.read(id);
    const { flags, valueBytes } = engine.record;
    return { revision: engine.entries.revision(id), expiresAtMs: engine.expiresAtMs(id), flags, valueBytes };
  }

  #replaceEngine(engine: Engine): void {
    this.#pastEvictions += this.#engine.evictions;
    this.#pastExpirations += this.#engine.expirations;
    this.#engine = engine;
  }

  #cursorTag(): string {
    return this.#local.hash(new Uint8Array(0), 0, 0).toString(36);
  }

  #readCursor(cursor: string | undefined): [hash: number, id: number] {
    if (cursor === undefined) return [0, 0];
    const [tag, hash, id, ...rest] = cursor.split('-');
    const numbers = [Number.parseInt(hash ?? '', 36), Number.parseInt(id ?? '', 36)] as const;
    const isOurs =
      tag === this.#cursorTag() &&
      rest.length === 0 &&
      `${tag}-${numbers[0].toString(36)}-${numbers[1].toString(36)}` === cursor;
    if (!isOurs || numbers[0] >= 2 ** 32 || numbers[1] >= 2 ** 32)
      throw new StoreError('bad-cursor', `the scan cursor '${cursor.slice(0, 64)}' was not made by this store`);
    return [...numbers];
  }
}
