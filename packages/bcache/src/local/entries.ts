import { assert } from '@dcache/base';
import { noTags } from '../core/change.js';
import { CacheError } from '../errors.js';
import type { Extra, Put, RemoveReason, ValueCodec } from './entry.js';
import { createPolicy, type EvictionName } from './eviction/policies.js';
import type { Policy } from './eviction/policy.js';
import { cloneBit, extraBit, policyMask, Slots } from './slots.js';
import { Names, type Space } from './space.js';

export interface EntriesOptions {
  /** Greatest number of entries. */
  readonly maxKeys: number;
  /** Greatest number of bytes of keys and encoded values; Infinity for no bound. */
  readonly maxBytes: number;
  readonly eviction: EvictionName;
  readonly codec: ValueCodec;
  /** Monotonic milliseconds; may lag by a millisecond. */
  readonly now: () => number;
  readonly spaceOf: (id: number) => Space;
  /** Called before an entry's slot is given back. */
  readonly onRemove: (slot: number, space: Space, key: string, reason: RemoveReason) => void;
}

const noExtra: Extra = { dot: 0, graceMs: 0, tags: noTags, fillMs: 0 };
const sweepSlots = 8192;
/** Origins are looked through for unused ones when this many more came. */
const originSlack = 1024;

/**
 * The living values of this node, bounded by keys and by bytes. It knows who leaves when it is full and what has
 * expired, and nothing of who wins: `LocalStore` decides that before it puts something here.
 */
export class Entries {
  readonly slots: Slots;
  readonly policy: Policy;
  hits = 0;
  misses = 0;
  evictions = 0;
  expirations = 0;
  #bytes = 0;
  #count = 0;
  /** Whether any value was ever put that a `get` has to copy: where none was, a hit need not look at the marks. */
  #hasClones = false;
  readonly #options: EntriesOptions;
  readonly #now: () => number;
  readonly #codec: ValueCodec;
  readonly #origins = new Names();
  #originsChecked = originSlack;
  readonly #extras = new Map<number, Extra>();
  #sweepAt = 0;
  #isReleased = false;

  constructor(options: EntriesOptions) {
    this.#options = options;
    this.#now = options.now;
    this.#codec = options.codec;
    // One more than the limit: a new entry comes in before its victim leaves.
    this.slots = new Slots(options.maxKeys + 1);
    this.policy = createPolicy(options.eviction, this.slots, options.maxKeys);
  }

  /** Living entries, stale ones within their grace among them. */
  get size(): number {
    return this.#count;
  }

  /** Bytes of their keys and encoded values. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The value while it is fresh. Throws `closed` once this was released. */
  get(space: Space, key: string): unknown {
    const slot = space.index.find(key);
    if (slot < 0) {
      // Asked here alone: what was released finds nothing, and a hit need not look.
      if (this.#isReleased) throw new CacheError('closed', 'the cache was closed');
      this.misses++;
      return undefined;
    }
    const { slots } = this;
    const deadlineMs = slots.deadlines[slot]!;
    if (deadlineMs !== Infinity && deadlineMs <= this.#now()) {
      this.misses++;
      this.#expireIfDue(slot);
      return undefined;
    }
    this.hits++;
    this.policy.touched(slot);
    const value = slots.pairs[slot * 2 + 1];
    return !this.#hasClones || (slots.marks[slot]! & cloneBit) === 0 ? value : this.#codec.clone(value);
  }

  /** The slot of a key, fresh or stale, or -1. Counts nothing and touches nothing. */
  find(space: Space, key: string): number {
    return space.index.find(key);
  }

  /** The slot of a fresh value, or -1. */
  findFresh(space: Space, key: string): number {
    const slot = space.index.find(key);
    return slot < 0 || this.slots.deadlines[slot]! <= this.#now() ? -1 : slot;
  }

  valueAt(slot: number): unknown {
    const value = this.slots.pairs[slot * 2 + 1];
    return (this.slots.marks[slot]! & cloneBit) === 0 ? value : this.#codec.clone(value);
  }

  deadlineAt(slot: number): number {
    return this.slots.deadlines[slot]!;
  }

  stampAt(slot: number): number {
    return this.slots.stamps[slot]!;
  }

  dotAt(slot: number): number {
    return Math.max(this.slots.stamps[slot]!, this.extraAt(slot).dot);
  }

  originAt(slot: number): string {
    return this.#origins.name(Math.floor(this.slots.owners[slot]! / 4096));
  }

  /** What stands for the origin where there is no room for its name. */
  rankAt(slot: number): number {
    return this.#origins.rank(Math.floor(this.slots.owners[slot]! / 4096));
  }

  spaceAt(slot: number): Space {
    return this.#options.spaceOf(this.slots.owners[slot]! & 0xfff);
  }

  extraAt(slot: number): Extra {
    return (this.slots.marks[slot]! & extraBit) === 0 ? noExtra : this.#extras.get(slot)!;
  }

  /** Slots of all entries, or of those of one namespace. Entries may come and go meanwhile. */
  *all(space?: Space): Generator<number> {
    for (let slot = 0; slot < this.slots.highWater; slot++) {
      if (this.slots.keyAt(slot) === undefined) continue;
      if (space === undefined || (this.slots.owners[slot]! & 0xfff) === space.id) yield slot;
    }
  }

  /** Fresh keys of a namespace. */
  *keysOf(space: Space): Generator<string> {
    const now = this.#now();
    for (const slot of this.all(space)) if (this.slots.deadlines[slot]! > now) yield this.slots.keyAt(slot)!;
  }

  /** Puts a value in the place of what there is of its key; who is in excess then leaves. */
  put(space: Space, key: string, put: Put): void {
    let slot = space.index.find(key);
    const { slots } = this;
    if (slot < 0) {
      slot = slots.take();
      slots.pairs[slot * 2] = key;
      space.index.add(key, slot);
      this.#count++;
      this.#write(slot, space, put);
      this.policy.inserted(slot);
    } else {
      this.#untag(space, slot);
      this.#bytes -= slots.sizes[slot]!;
      this.#write(slot, space, put);
      this.policy.touched(slot);
    }
    for (const tag of put.tags) {
      const tagged = space.tagged.get(tag);
      if (tagged === undefined) space.tagged.set(tag, new Set([slot]));
      else tagged.add(slot);
    }
    while (this.#count > this.#options.maxKeys || this.#bytes > this.#options.maxBytes) {
      this.evictions++;
      this.remove(this.policy.victim(), 'evict');
    }
  }

  /** `reason` undefined tells nobody. */
  remove(slot: number, reason: RemoveReason | undefined): void {
    const { slots } = this;
    const space = this.spaceAt(slot);
    const key = slots.keyAt(slot)!;
    this.#untag(space, slot);
    space.index.remove(key, slot);
    this.policy.removed(slot);
    this.#bytes -= slots.sizes[slot]!;
    this.#count--;
    if (reason !== undefined) this.#options.onRemove(slot, space, key, reason);
    slots.give(slot);
  }

  /** Lets go of everything, for good. */
  release(): void {
    this.#isReleased = true;
    for (const slot of this.all()) this.remove(slot, undefined);
  }

  /** Time passes: what has expired goes, looked for in a few thousand slots at a time. */
  tick(): void {
    const now = this.#now();
    const end = this.slots.highWater;
    for (let i = Math.min(sweepSlots, end); i > 0; i--) {
      if (this.#sweepAt >= end) this.#sweepAt = 0;
      const slot = this.#sweepAt++;
      if (this.slots.deadlines[slot]! <= now && this.slots.keyAt(slot) !== undefined) this.#expireIfDue(slot);
    }
    if (this.#origins.size > this.#originsChecked) this.#forgetOrigins();
  }

  #write(slot: number, space: Space, put: Put): void {
    const { slots } = this;
    const { dot, graceMs, tags, fillMs } = put;
    const needsExtra = graceMs > 0 || tags.length > 0 || fillMs > 0 || dot !== put.stamp;
    const origin = this.#origins.id(put.origin);
    assert(origin < 2 ** 20, 'origins have 20 bits');
    slots.pairs[slot * 2 + 1] = put.value;
    slots.deadlines[slot] = put.deadlineMs;
    slots.stamps[slot] = put.stamp;
    slots.sizes[slot] = put.bytes;
    slots.owners[slot] = origin * 4096 + space.id;
    const policyBits = slots.marks[slot]! & policyMask;
    slots.marks[slot] = policyBits | (put.cloneOnGet ? cloneBit : 0) | (needsExtra ? extraBit : 0);
    if (put.cloneOnGet) this.#hasClones = true;
    if (needsExtra) this.#extras.set(slot, { dot, graceMs, tags, fillMs });
    this.#bytes += put.bytes;
  }

  #untag(space: Space, slot: number): void {
    if ((this.slots.marks[slot]! & extraBit) === 0) return;
    for (const tag of this.#extras.get(slot)!.tags) {
      const tagged = space.tagged.get(tag);
      tagged?.delete(slot);
      if (tagged?.size === 0) space.tagged.delete(tag);
    }
    this.#extras.delete(slot);
  }

  #expireIfDue(slot: number): void {
    if (this.slots.deadlines[slot]! + this.extraAt(slot).graceMs > this.#now()) return;
    this.expirations++;
    this.remove(slot, 'expire');
  }

  #forgetOrigins(): void {
    const used = new Set<number>();
    for (const slot of this.all()) used.add(Math.floor(this.slots.owners[slot]! / 4096));
    this.#origins.retain(used);
    this.#originsChecked = this.#origins.size + originSlack;
  }
}
