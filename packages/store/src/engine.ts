import { compareBytes } from '@dcache/base';
import { Arena, Stream } from './arena.js';
import { Compactor } from './compactor.js';
import { Digest } from './digest.js';
import { Bit, Entries, type EntriesView, Queue } from './entries.js';
import { Epochs } from './epochs.js';
import { createEviction, type Eviction } from './eviction.js';
import { ExpiryTree } from './expiry-tree.js';
import { Ghosts } from './ghosts.js';
import type { KeyHash } from './hash.js';
import { ENTRY_OVERHEAD_BYTES, type EvictionPolicy } from './options.js';
import { equalAt, RecordView, recordBytes, writeRecord } from './record.js';
import { Table } from './table.js';
import { TouchSample } from './touch-sample.js';
import type { SetResult } from './types.js';

/** Entries that a write evicts beyond its own need while the store is over a limit that was lowered. */
const TRIM_STEP = 16;

/** What is replicated besides the entries: every replica must have the same, so a snapshot brings it. */
export interface Settings {
  maxBytes: number;
  readonly eviction: EvictionPolicy;
  readonly maxKeyBytes: number;
  readonly maxValueBytes: number;
}

/** What is this node's own affair. */
export interface Local {
  readonly hash: KeyHash;
  readonly seed: number;
  readonly segmentBytes: number;
}

/** Everything as it was at one moment, until closed. */
export interface EngineView {
  readonly settings: Readonly<Settings>;
  readonly nowMs: number;
  readonly stateHash: string;
  readonly hand: number;
  readonly entries: EntriesView;
  readonly segments: readonly Uint8Array[];
  readonly timeMs: (id: number) => number;
  readonly ghostRange: readonly [number, number];
  readonly ghostAt: (place: number) => readonly [number, number];
  close(): void;
}

/**
 * One state of a store. A key's hash leads through the table to an id; the id's row in `entries` to the record's place in
 * the arena. Everything that decides what happens next (order, bits, time, limits, ghosts) is a function of the
 * operations applied; where things lie, the ids and the table are not, and leave no trace in `stateHash`.
 *
 * `Store` checks arguments and replaces the whole engine on `clear` and `restore`.
 */
export class Engine {
  readonly settings: Settings;
  readonly local: Local;
  nowMs: number = 0;
  evictions: number = 0;
  expirations: number = 0;
  /** Logical bytes. Invariant: they grow only up to `settings.maxBytes`; above it after it was lowered, they do not. */
  liveBytes: number = 0;
  readonly entries: Entries;
  readonly arena: Arena;
  readonly table: Table = new Table();
  readonly expiry: ExpiryTree;
  readonly ghosts: Ghosts;
  readonly eviction: Eviction;
  readonly sample: TouchSample = new TouchSample();
  /** The record that a method read last. */
  readonly record: RecordView = new RecordView();
  readonly #epochs: Epochs = new Epochs();
  readonly #content: Digest = new Digest();
  readonly #compactor: Compactor;

  constructor(settings: Settings, local: Local, ghostsFrom: number = 0) {
    this.settings = settings;
    this.local = local;
    this.entries = new Entries(local.segmentBytes, this.#epochs);
    this.arena = new Arena(local.segmentBytes, this.#epochs);
    this.expiry = new ExpiryTree(this.#epochs, (a, b) => this.#isBefore(a, b));
    this.ghosts = new Ghosts(local.seed, ghostsFrom);
    this.eviction = createEviction(settings.eviction, this);
    this.#compactor = new Compactor(this.arena, this.entries, this.table, local.hash, this.record);
  }

  get maxBytes(): number {
    return this.settings.maxBytes;
  }

  get allocatedBytes(): number {
    const { entries, arena, table, expiry, ghosts } = this;
    return [entries, arena, table, expiry, ghosts].reduce((sum, part) => sum + part.allocatedBytes, 0);
  }

  /** The entry of a key that has not expired, or 0. */
  find(key: Uint8Array): number {
    const id = this.#lookUp(key, this.local.hash(key, 0, key.length));
    return id === 0 || this.isDue(id) ? 0 : id;
  }

  /** Whether the key has an entry, expired or not. */
  has(key: Uint8Array, hash: number): boolean {
    return this.#lookUp(key, hash) !== 0;
  }

  /** Whether log time has passed the entry's expiry; it may still be there when a budget ended an `advance`. */
  isDue(id: number): boolean {
    return (this.entries.bits(id) & Bit.expires) !== 0 && this.expiry.timeMs(id) <= this.nowMs;
  }

  /** When the entry expires, 0 for never. */
  expiresAtMs(id: number): number {
    return (this.entries.bits(id) & Bit.expires) === 0 ? 0 : this.expiry.timeMs(id);
  }

  /** Points `record` at an entry's record and returns the bytes it lies in; valid until the next change. */
  read(id: number): Uint8Array {
    const bytes = this.arena.bytes[this.entries.segment(id)]!;
    this.record.read(bytes, this.entries.offset(id));
    return bytes;
  }

  sizeOf(id: number): number {
    this.read(id);
    return this.record.keyBytes + this.record.valueBytes + ENTRY_OVERHEAD_BYTES;
  }

  set(key: Uint8Array, value: Uint8Array, revision: number, expiresAtMs: number, flags: number): SetResult {
    const { maxBytes, maxKeyBytes, maxValueBytes, eviction } = this.settings;
    const size = key.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (key.length > maxKeyBytes || value.length > maxValueBytes || size > maxBytes) return 'too-large';
    const hash = this.local.hash(key, 0, key.length);
    let id = this.#lookUp(key, hash);
    if (id !== 0 && this.isDue(id)) {
      this.#remove(id, hash);
      this.expirations++;
      id = 0;
    }
    if (expiresAtMs !== 0 && expiresAtMs <= this.nowMs) {
      if (id !== 0) this.#remove(id, hash);
    } else {
      const oldSize = id === 0 ? 0 : this.sizeOf(id);
      if (eviction === 'none') {
        if (this.liveBytes - oldSize + size > maxBytes) return 'full';
      } else {
        if (id !== 0) this.touch(id);
        // After a limit was lowered with a budget the store is over it for a while; then a write does not add to that.
        const ceiling = Math.max(maxBytes, this.liveBytes);
        while (this.liveBytes - (id === 0 ? 0 : oldSize) + size > ceiling) if (this.#evict() === id) id = 0;
      }
      if (id !== 0) this.#replace(id, key, value, revision, expiresAtMs, flags);
      else this.insert(hash, key, value, revision, expiresAtMs, flags, this.#queueFor(key));
      this.#trim(TRIM_STEP);
    }
    this.#compactor.run();
    return 'stored';
  }

  /** Adds an entry that is not there, whatever the limits say. */
  insert(
    hash: number,
    key: Uint8Array,
    value: Uint8Array,
    revision: number,
    expiresAtMs: number,
    flags: number,
    queue: Queue,
  ): number {
    const length = recordBytes(key.length, value.length, flags);
    this.arena.reserve(length, Stream.fresh);
    writeRecord(this.arena.bytes[this.arena.segment]!, this.arena.offset, key, value, flags);
    const id = this.entries.take();
    this.entries.place(id, this.arena.segment, this.arena.offset);
    this.entries.start(id, revision, queue);
    this.table.add(hash, id);
    this.#setExpiry(id, expiresAtMs);
    this.#contentTerm(id, length).add();
    const size = key.length + value.length + ENTRY_OVERHEAD_BYTES;
    this.liveBytes += size;
    this.eviction.grew(id, size);
    this.#compactor.owe(length);
    return id;
  }

  delete(key: Uint8Array): boolean {
    const hash = this.local.hash(key, 0, key.length);
    const id = this.#lookUp(key, hash);
    if (id === 0) return false;
    const isDue = this.isDue(id);
    if (isDue) this.expirations++;
    this.#remove(id, hash);
    this.#compactor.run();
    return !isDue;
  }

  /** Counts an access. */
  touch(id: number): void {
    const touches = this.entries.touches(id);
    if (touches < this.eviction.mostTouches) this.entries.setTouches(id, touches + 1);
  }

  advance(nowMs: number, budget: number): number {
    this.nowMs = Math.max(this.nowMs, nowMs);
    let count = 0;
    for (; count < budget && this.expiry.firstMs <= this.nowMs; count++) {
      const id = this.expiry.first;
      this.#remove(id, this.#hashOf(id));
    }
    this.expirations += count;
    this.#trim(budget - count);
    this.#compactor.run();
    return count;
  }

  setMaxBytes(maxBytes: number, budget: number): number {
    this.settings.maxBytes = maxBytes;
    const count = this.#trim(budget);
    this.#compactor.run();
    return count;
  }

  stateHash(): string {
    const { maxBytes, eviction, maxKeyBytes, maxValueBytes } = this.settings;
    const hand = this.eviction.hand === 0 ? -1 : this.entries.revision(this.eviction.hand);
    const parts = [this.#content, this.entries.digest, this.ghosts.digest, ...this.ghosts.range, hand, this.nowMs];
    const text = new TextEncoder().encode([...parts, maxBytes, eviction, maxKeyBytes, maxValueBytes].join(' '));
    const whole = new Digest();
    whole.ofBytes(new DataView(text.buffer, text.byteOffset, text.length), 0, text.length, 0, 0).add();
    return whole.toString();
  }

  view(): EngineView {
    const view = {
      settings: { ...this.settings },
      nowMs: this.nowMs,
      stateHash: this.stateHash(),
      hand: this.eviction.hand,
      entries: this.entries.view(),
      segments: this.arena.view(),
      timeMs: this.expiry.view(),
      ghostRange: this.ghosts.range,
      ghostAt: this.ghosts.view(),
    };
    const epoch = this.#epochs.open();
    return { ...view, close: () => this.#epochs.close(epoch) };
  }

  #lookUp(key: Uint8Array, hash: number): number {
    for (let id = this.table.first(hash); id !== 0; id = this.table.next()) {
      const bytes = this.read(id);
      if (this.record.keyBytes === key.length && equalAt(bytes, this.record.keyAt, key)) return id;
    }
    return 0;
  }

  #hashOf(id: number): number {
    const bytes = this.read(id);
    return this.local.hash(bytes, this.record.keyAt, this.record.keyBytes);
  }

  #queueFor(key: Uint8Array): Queue {
    if (this.settings.eviction !== 's3fifo') return Queue.main;
    const view = new DataView(key.buffer, key.byteOffset, key.length);
    return this.ghosts.take(view, 0, key.length) ? Queue.main : Queue.small;
  }

  #replace(id: number, key: Uint8Array, value: Uint8Array, revision: number, expiresAtMs: number, flags: number): void {
    const { entries, arena } = this;
    const segment = entries.segment(id);
    const offset = entries.offset(id);
    this.read(id);
    const oldLength = this.record.end - offset;
    const growth = value.length - this.record.valueBytes;
    const length = recordBytes(key.length, value.length, flags);
    const isInPlace = length === oldLength && !arena.isSeen(segment);
    // Before anything changes: where the process has no memory left, this throws.
    if (!isInPlace) arena.reserve(length, Stream.fresh);
    this.#contentTerm(id, oldLength).subtract();
    if (isInPlace) {
      writeRecord(arena.bytes[segment]!, offset, key, value, flags);
    } else {
      writeRecord(arena.bytes[arena.segment]!, arena.offset, key, value, flags);
      entries.place(id, arena.segment, arena.offset);
      arena.free(segment, offset, oldLength);
      this.#compactor.owe(length + oldLength);
    }
    entries.setRevision(id, revision);
    this.#setExpiry(id, expiresAtMs);
    this.#contentTerm(id, length).add();
    this.liveBytes += growth;
    this.eviction.grew(id, growth);
  }

  #remove(id: number, hash: number): void {
    const size = this.sizeOf(id);
    const segment = this.entries.segment(id);
    const offset = this.entries.offset(id);
    const length = this.record.end - offset;
    this.#contentTerm(id, length).subtract();
    this.#setExpiry(id, 0);
    this.eviction.leaving(id, size);
    this.sample.forget(id);
    this.entries.unlink(id);
    this.table.remove(hash, id);
    this.entries.give(id);
    this.arena.free(segment, offset, length);
    this.liveBytes -= size;
    this.#compactor.owe(length);
  }

  /** Evicts down to a limit that was lowered, at most `budget` entries. */
  #trim(budget: number): number {
    if (this.settings.eviction === 'none') return 0;
    let count = 0;
    for (; count < budget && this.liveBytes > this.settings.maxBytes; count++) this.#evict();
    return count;
  }

  #evict(): number {
    const id = this.eviction.victim();
    const hash = this.#hashOf(id);
    if (this.entries.queue(id) === Queue.small) {
      const view = this.arena.views[this.entries.segment(id)]!;
      this.ghosts.push(view, this.record.keyAt, this.record.keyBytes, Math.floor((this.entries.count - 1) * 0.9));
    }
    this.#remove(id, hash);
    this.evictions++;
    return id;
  }

  #setExpiry(id: number, expiresAtMs: number): void {
    const expires = (this.entries.bits(id) & Bit.expires) !== 0;
    if (expires || expiresAtMs !== 0) this.expiry.set(id, expiresAtMs === 0 ? Number.POSITIVE_INFINITY : expiresAtMs);
    if (expires !== (expiresAtMs !== 0)) this.entries.setExpires(id, !expires);
  }

  /** The term of what was written: the record's bytes (key, value, flags), revision and expiry. */
  #contentTerm(id: number, length: number): Digest {
    const view = this.arena.views[this.entries.segment(id)]!;
    const { entries } = this;
    return this.#content.ofBytes(view, entries.offset(id), length, entries.revision(id), this.expiresAtMs(id));
  }

  /** The order of two entries that expire at the same time. */
  #isBefore(a: number, b: number): boolean {
    const difference = this.entries.revision(a) - this.entries.revision(b);
    if (difference !== 0) return difference < 0;
    const keyOfA = this.#keyView(a);
    return compareBytes(keyOfA, this.#keyView(b)) < 0;
  }

  #keyView(id: number): Uint8Array {
    const bytes = this.read(id);
    return bytes.subarray(this.record.keyAt, this.record.keyAt + this.record.keyBytes);
  }
}
