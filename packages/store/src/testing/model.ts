import { compareBytes } from '@dcache/base';
import { ENTRY_OVERHEAD_BYTES, type EvictionPolicy } from '../options.js';
import type { SetResult } from '../types.js';

/** One entry of the model. */
export interface ModelEntry {
  readonly key: string;
  value: Uint8Array;
  revision: number;
  expiresAtMs: number;
  flags: number;
  /** Times touched, up to the policy's most: 1 for SIEVE, 3 for S3-FIFO. */
  touches: number;
}

/** Steps the hand takes over touched entries before it takes whoever is there. Equal to the store's own constant. */
const MOST_STEPS = 4096;

/**
 * What the store promises, in the plainest words: objects, arrays and searches. The real store must not be told apart
 * from this by any sequence of operations. Keys are Latin-1 strings, one character a byte.
 */
export class Model {
  readonly eviction: EvictionPolicy;
  maxBytes: number;
  maxKeyBytes: number = 65_536;
  maxValueBytes: number = 512 * 2 ** 20;
  nowMs = 0;
  evictions = 0;
  expirations = 0;
  entries: Map<string, ModelEntry> = new Map();
  /** S3-FIFO's small queue, oldest first; unused by the others. */
  small: string[] = [];
  /** The queue, oldest first. */
  main: string[] = [];
  /** S3-FIFO's keys that left the small queue, oldest first; null where one came back. */
  ghosts: (string | null)[] = [];
  /** SIEVE's next key to look at; undefined for the oldest. */
  hand: string | undefined;

  constructor(eviction: EvictionPolicy, maxBytes: number) {
    this.eviction = eviction;
    this.maxBytes = maxBytes;
  }

  static sizeOf(entry: { key: string; value: Uint8Array }): number {
    return entry.key.length + entry.value.length + ENTRY_OVERHEAD_BYTES;
  }

  liveBytes(queue: Iterable<string> = this.entries.keys()): number {
    let bytes = 0;
    for (const key of queue) bytes += Model.sizeOf(this.entries.get(key)!);
    return bytes;
  }

  get(key: string): ModelEntry | undefined {
    const entry = this.entries.get(key);
    return entry === undefined || this.isDue(entry) ? undefined : entry;
  }

  set(key: string, value: Uint8Array, meta: { revision: number; expiresAtMs: number; flags: number }): SetResult {
    const bytes = Model.sizeOf({ key, value });
    if (key.length > this.maxKeyBytes || value.length > this.maxValueBytes || bytes > this.maxBytes) return 'too-large';
    let old = this.entries.get(key);
    if (old !== undefined && this.isDue(old)) {
      this.remove(key);
      this.expirations++;
      old = undefined;
    }
    if (meta.expiresAtMs !== 0 && meta.expiresAtMs <= this.nowMs) {
      if (old !== undefined) this.remove(key);
      return 'stored';
    }
    const bytesAfter = (): number =>
      this.liveBytes() - (this.entries.has(key) ? Model.sizeOf(this.entries.get(key)!) : 0) + bytes;
    if (this.eviction === 'none') {
      if (bytesAfter() > this.maxBytes) return 'full';
    } else {
      this.touch(key);
      const ceiling = Math.max(this.maxBytes, this.liveBytes());
      while (bytesAfter() > ceiling) this.evict();
    }
    this.put(key, value, meta);
    this.trim(16);
    return 'stored';
  }

  private put(key: string, value: Uint8Array, meta: { revision: number; expiresAtMs: number; flags: number }): void {
    const old = this.entries.get(key);
    if (old !== undefined) {
      Object.assign(old, { value, ...meta });
      return;
    }
    this.entries.set(key, { key, value, ...meta, touches: 0 });
    const ghost = this.ghosts.indexOf(key);
    if (ghost >= 0) this.ghosts[ghost] = null;
    if (this.eviction === 's3fifo' && ghost < 0) this.small.push(key);
    else this.main.push(key);
  }

  delete(key: string): boolean {
    const entry = this.entries.get(key);
    if (entry === undefined) return false;
    const due = this.isDue(entry);
    this.remove(key);
    if (due) this.expirations++;
    return !due;
  }

  clear(): void {
    this.entries.clear();
    this.small = [];
    this.main = [];
    this.ghosts = [];
    this.hand = undefined;
  }

  touch(key: string): void {
    const entry = this.get(key);
    if (entry === undefined) return;
    const most = this.eviction === 'sieve' ? 1 : this.eviction === 's3fifo' ? 3 : 0;
    entry.touches = Math.min(most, entry.touches + 1);
  }

  /** Entries go in the order of their time, then their revision, then their key. */
  advance(nowMs: number, budget: number = Number.POSITIVE_INFINITY): number {
    this.nowMs = Math.max(this.nowMs, nowMs);
    const due = [...this.entries.values()]
      .filter((entry) => this.isDue(entry))
      .sort(
        (a, b) =>
          a.expiresAtMs - b.expiresAtMs ||
          a.revision - b.revision ||
          compareBytes(Buffer.from(a.key, 'latin1'), Buffer.from(b.key, 'latin1')),
      )
      .slice(0, budget);
    for (const entry of due) this.remove(entry.key);
    this.expirations += due.length;
    this.trim(budget - due.length);
    return due.length;
  }

  nextExpiryMs(): number | undefined {
    const times = [...this.entries.values()].filter((e) => e.expiresAtMs !== 0).map((e) => e.expiresAtMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  setMaxBytes(maxBytes: number, budget: number): number {
    this.maxBytes = maxBytes;
    return this.trim(budget);
  }

  private trim(budget: number): number {
    const before = this.evictions;
    if (this.eviction === 'none') return 0;
    while (this.liveBytes() > this.maxBytes && this.evictions < before + budget) this.evict();
    return this.evictions - before;
  }

  private isDue(entry: ModelEntry): boolean {
    return entry.expiresAtMs !== 0 && entry.expiresAtMs <= this.nowMs;
  }

  private remove(key: string): void {
    if (this.hand === key) this.hand = this.main[this.main.indexOf(key) + 1];
    this.small = this.small.filter((other) => other !== key);
    this.main = this.main.filter((other) => other !== key);
    this.entries.delete(key);
  }

  private evict(): void {
    if (this.eviction === 'sieve') this.evictSieve();
    else if (this.eviction === 's3fifo') this.evictS3Fifo();
    else this.remove(this.main[0]!);
    this.evictions++;
  }

  /** NSDI 2024, algorithm 1: the hand goes from old to new and takes the first entry nobody touched. */
  private evictSieve(): void {
    let at = this.hand === undefined ? 0 : this.main.indexOf(this.hand);
    for (let step = 0; step < MOST_STEPS; step++) {
      const entry = this.entries.get(this.main[at]!)!;
      if (entry.touches === 0) break;
      entry.touches = 0;
      at = (at + 1) % this.main.length;
    }
    this.hand = this.main[at];
    this.remove(this.main[at]!);
  }

  /** SOSP 2023, algorithm 1. */
  private evictS3Fifo(): void {
    let steps = 0;
    if (this.main.length === 0 || this.liveBytes(this.small) * 10 >= this.maxBytes) {
      while (this.small.length > 0) {
        const entry = this.entries.get(this.small[0]!)!;
        if (entry.touches < 2 || steps++ >= MOST_STEPS) {
          this.remove(entry.key);
          this.ghosts.push(entry.key);
          while (this.ghosts.length > Math.floor(this.entries.size * 0.9)) this.ghosts.shift();
          return;
        }
        this.small.shift();
        this.main.push(entry.key);
        entry.touches = 0;
      }
    }
    for (;;) {
      const entry = this.entries.get(this.main[0]!)!;
      if (entry.touches === 0 || steps++ >= MOST_STEPS) {
        this.remove(entry.key);
        return;
      }
      entry.touches--;
      this.main.push(this.main.shift()!);
    }
  }
}
