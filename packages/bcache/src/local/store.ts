import { assert } from '@dcache/base';
import { type Change, ChangeKind, compareVersion, noBytes, noTags, rankOf, type Version } from '../core/change.js';
import type { Grave, Holdings } from '../core/holdings.js';
import { createPolicy, type EvictionName, type Policy } from './eviction/policy.js';
import { Graveyard, graveTag } from './graveyard.js';
import { bytesAt, cloneBit, extraBit, marksAt, policyMask, Slots } from './slots.js';
import { Names, Space, type Tombstone } from './space.js';

/** How values become bytes and bytes values. */
export interface ValueCodec {
  encode(value: unknown): Uint8Array;
  /** Throws where the bytes are no value. */
  decode(bytes: Uint8Array): Stored;
  /** A copy of a value that was stored with `cloneOnGet`. */
  clone(value: unknown): unknown;
}

/** A value as it is held. */
export interface Stored {
  readonly value: unknown;
  /** The value, or a part of it, cannot be frozen: each `get` gives a copy. */
  readonly cloneOnGet: boolean;
}

/** What only some entries have. */
export interface Extra {
  readonly dot: number;
  readonly graceMs: number;
  readonly tags: readonly string[];
  /** How long the filler took; 0 where the value was set. */
  readonly fillMs: number;
}

/** A living value to be put. */
export interface Put extends Version, Stored, Extra {
  readonly bytes: number;
  /** Monotonic milliseconds, Infinity for never. */
  readonly deadlineMs: number;
}

export type RemoveReason = 'delete' | 'evict' | 'expire';

export interface StoreOptions {
  /** Greatest number of entries. */
  readonly maxKeys: number;
  /** Greatest number of bytes of keys and encoded values; Infinity for no bound. */
  readonly maxBytes: number;
  readonly eviction: EvictionName;
  readonly deletionDelayMs: number;
  readonly codec: ValueCodec;
  /** Monotonic milliseconds; may lag by a millisecond. */
  readonly now: () => number;
  /** What to add to monotonic time to get cluster time. */
  readonly clusterOffset: () => number;
  /** Called after a value came, by whomever it was set. */
  readonly onSet?: ((space: string, key: string, change: Change | undefined) => void) | undefined;
  /** Called after a value went. */
  readonly onRemove?: ((space: string, key: string, reason: RemoveReason) => void) | undefined;
}

const noExtra: Extra = { dot: 0, graceMs: 0, tags: noTags, fillMs: 0 };
const maxSpaces = 4096;
const sweepSlots = 8192;
/** Origins are looked through for unused ones when this many more came. */
const originSlack = 1024;

/**
 * The values of this node, their versions, and the versions of what is gone. Writes from wherever are merged here: the
 * higher version stays. Bounded by keys and by bytes; tombstones are outside that bound and go by age.
 */
export class LocalStore implements Holdings {
  readonly slots: Slots;
  readonly policy: Policy;
  hits = 0;
  misses = 0;
  evictions = 0;
  expirations = 0;
  /** Records older than something this node has let go. */
  late = 0;
  #bytes = 0;
  #count = 0;
  readonly #options: StoreOptions;
  readonly #now: () => number;
  readonly #codec: ValueCodec;
  readonly #spaces: Space[] = [];
  readonly #byName = new Map<string, Space>();
  readonly #origins = new Names();
  #originsChecked = originSlack;
  readonly #extras = new Map<number, Extra>();
  readonly #graves: Graveyard;
  #sweepAt = 0;

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#now = options.now;
    this.#codec = options.codec;
    const entries = Math.min(options.maxKeys, 2 ** 24);
    // One more than the limit: a new entry comes in before its victim leaves.
    this.slots = new Slots(entries + 1);
    const guess = Number.isFinite(options.maxKeys) ? entries : 65_536;
    this.policy = createPolicy(options.eviction, this.slots, guess);
    this.#graves = new Graveyard(guess);
  }

  /** Living entries, stale ones within their grace among them. */
  get size(): number {
    return this.#count;
  }

  /** Bytes of their keys and encoded values. */
  get bytes(): number {
    return this.#bytes;
  }

  get tombstones(): number {
    let count = 0;
    for (const space of this.#spaces) count += space.tombstones.size + space.invalidated.size;
    return count;
  }

  space(name: string): Space {
    let space = this.#byName.get(name);
    if (space === undefined) {
      if (this.#spaces.length >= maxSpaces)
        throw new RangeError(`there are ${maxSpaces} namespaces; no more are allowed`);
      space = new Space(this.#spaces.length, name);
      this.#spaces.push(space);
      this.#byName.set(name, space);
    }
    return space;
  }

  // Reading

  /** The value while it is fresh. */
  get(space: Space, key: string): unknown {
    const slot = space.slots.get(key);
    if (slot === undefined) {
      this.misses++;
      return undefined;
    }
    const slots = this.slots;
    const deadlineMs = slots.f64[slot * 4]!;
    if (deadlineMs !== Infinity && deadlineMs <= this.#now()) {
      this.misses++;
      this.#expireIfDue(slot);
      return undefined;
    }
    this.hits++;
    this.policy.touched(slot);
    const value = slots.values[slot];
    return (slots.i32[slot * 8 + marksAt]! & cloneBit) === 0 ? value : this.#codec.clone(value);
  }

  /** The slot of a key, fresh or stale, or -1. Counts nothing and touches nothing. */
  find(space: Space, key: string): number {
    return space.slots.get(key) ?? -1;
  }

  /** The slot of a fresh value, or -1. */
  findFresh(space: Space, key: string): number {
    const slot = space.slots.get(key);
    return slot === undefined || this.slots.f64[slot * 4]! <= this.#now() ? -1 : slot;
  }

  valueAt(slot: number): unknown {
    const value = this.slots.values[slot];
    return (this.slots.i32[slot * 8 + marksAt]! & cloneBit) === 0 ? value : this.#codec.clone(value);
  }

  deadlineAt(slot: number): number {
    return this.slots.f64[slot * 4]!;
  }

  extraAt(slot: number): Extra {
    return (this.slots.i32[slot * 8 + marksAt]! & extraBit) === 0 ? noExtra : this.#extras.get(slot)!;
  }

  /** A fresh value as a record to hand to another node; undefined where there is none, or where it stays here. */
  recordOf(space: Space, key: string): Change | undefined {
    const slot = this.findFresh(space, key);
    return slot < 0 || space.mode !== 'replicate' ? undefined : this.#changeAt(slot, space);
  }

  /** Fresh keys of a namespace. */
  *keysOf(space: Space): Generator<string> {
    const now = this.#now();
    for (const [key, slot] of space.slots) if (this.slots.f64[slot * 4]! > now) yield key;
  }

  // Writing

  /** Whether a write of this version to this key would stand: nothing newer is known of it. */
  wins(space: Space, key: string, version: Version, tags: readonly string[]): boolean {
    const { stamp, origin } = version;
    if (space.cleared !== undefined && !beats(stamp, origin, space.cleared)) return false;
    for (const tag of tags) {
      const invalidated = space.invalidated.get(tag);
      if (invalidated !== undefined && !beats(stamp, origin, invalidated)) return false;
    }
    return this.#beatsHeld(space, key, stamp, origin);
  }

  /** Puts a value whose version wins; the caller has asked. */
  put(space: Space, key: string, put: Put, change?: Change): void {
    let slot = space.slots.get(key);
    const slots = this.slots;
    if (slot === undefined) {
      space.tombstones.delete(key);
      slot = slots.take();
      space.slots.set(key, slot);
      slots.keys[slot] = key;
      this.#count++;
      this.#write(slot, space, put);
      this.policy.inserted(slot);
    } else {
      this.#untag(space, slot);
      this.#bytes -= slots.i32[slot * 8 + bytesAt]!;
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
      this.#remove(this.policy.victim(), 'evict');
    }
    this.#options.onSet?.(space.name, key, change);
  }

  /** Remembers a version of a key that another node no longer holds. */
  bury([tag, stamp, rank]: Grave): void {
    this.#graves.bury(tag, stamp, rank);
  }

  apply(change: Change): boolean {
    const space = this.space(change.space);
    switch (change.kind) {
      case ChangeKind.clear:
        return this.#clear(space, change);
      case ChangeKind.invalidate:
        return this.#invalidate(space, change);
      case ChangeKind.delete:
        return this.#delete(space, change);
      case ChangeKind.set:
        return this.#set(space, change);
    }
  }

  #set(space: Space, change: Change): boolean {
    const { key, stamp, origin } = change;
    if (!this.wins(space, key, change, change.tags)) {
      // Newer than what is held, but void by a tag: what is older still is void with it, here or yet to come.
      if (this.#beatsHeld(space, key, stamp, origin)) this.#outdate(space, change, 'delete');
      else this.late++;
      return false;
    }
    const bytes = change.value.length + key.length;
    const now = this.#now();
    const deadlineMs = change.expiresAtMs === 0 ? Infinity : change.expiresAtMs - this.#options.clusterOffset();
    const isDead = deadlineMs + change.graceMs <= now || bytes > this.#options.maxBytes;
    if (isDead || space.mode === 'invalidate') {
      // Not kept here, but newer than what is.
      this.#outdate(space, change, isDead ? 'expire' : 'delete');
      return true;
    }
    const { value, cloneOnGet } = this.#codec.decode(change.value);
    const { dot, graceMs, tags } = change;
    this.put(
      space,
      key,
      { stamp, origin, dot, graceMs, tags, fillMs: 0, bytes, deadlineMs, value, cloneOnGet },
      change,
    );
    return true;
  }

  #delete(space: Space, change: Change): boolean {
    const { key, stamp, origin } = change;
    if (!this.wins(space, key, change, noTags)) {
      this.late++;
      return false;
    }
    const slot = space.slots.get(key);
    if (slot !== undefined) this.#remove(slot, 'delete');
    // Anew, so that the map stays in the order of age.
    space.tombstones.delete(key);
    space.tombstones.set(key, { stamp, dot: change.dot, origin, atMs: this.#now() });
    return true;
  }

  #clear(space: Space, change: Change): boolean {
    const { stamp, origin, dot } = change;
    if (space.cleared !== undefined && !beats(stamp, origin, space.cleared)) return false;
    space.cleared = { stamp, dot, origin, atMs: this.#now() };
    for (const slot of [...space.slots.values()])
      if (this.#beatsSlot(stamp, origin, slot)) this.#remove(slot, 'delete');
    for (const [key, tombstone] of space.tombstones) if (beats(stamp, origin, tombstone)) space.tombstones.delete(key);
    return true;
  }

  #invalidate(space: Space, change: Change): boolean {
    const { key: tag, stamp, origin, dot } = change;
    const known = space.invalidated.get(tag);
    if (known !== undefined && !beats(stamp, origin, known)) return false;
    space.invalidated.delete(tag);
    space.invalidated.set(tag, { stamp, dot, origin, atMs: this.#now() });
    for (const slot of [...(space.tagged.get(tag) ?? [])]) {
      if (this.#beatsSlot(stamp, origin, slot)) this.#remove(slot, 'delete');
    }
    return true;
  }

  /** Time passes: expired entries go, a few thousand slots at a time, and old tombstones become graves. */
  tick(): void {
    const now = this.#now();
    const end = this.slots.highWater;
    for (let i = Math.min(sweepSlots, end); i > 0; i--) {
      if (this.#sweepAt >= end) this.#sweepAt = 0;
      const slot = this.#sweepAt++;
      if (this.slots.keys[slot] !== undefined && this.slots.f64[slot * 4]! <= now) this.#expireIfDue(slot);
    }
    const before = now - this.#options.deletionDelayMs;
    for (const space of this.#spaces) {
      for (const [key, tombstone] of space.tombstones) {
        if (tombstone.atMs > before) break;
        space.tombstones.delete(key);
        this.#graves.bury(graveTag(space.name, key), tombstone.stamp, rankOf(tombstone.origin));
      }
      for (const [tag, tombstone] of space.invalidated) {
        if (tombstone.atMs > before) break;
        space.invalidated.delete(tag);
      }
    }
    if (this.#origins.size > this.#originsChecked) this.#forgetOrigins();
  }

  // What the replicator needs

  holds(change: Change): boolean {
    const space = this.space(change.space);
    if (change.kind === ChangeKind.clear) return space.cleared !== undefined;
    if (change.kind === ChangeKind.invalidate) return space.invalidated.has(change.key);
    return space.slots.has(change.key) || space.tombstones.has(change.key);
  }

  *snapshot(): Generator<Change> {
    for (const space of [...this.#spaces]) yield* this.#deadOf(space);
    const end = this.slots.highWater;
    for (let slot = 0; slot < end; slot++) {
      if (this.slots.keys[slot] === undefined) continue;
      const space = this.#spaces[this.slots.owner[slot]! & 0xfff]!;
      if (space.mode === 'replicate') yield this.#changeAt(slot, space);
    }
  }

  graves(): Iterable<Grave> {
    return this.#graves.entries();
  }

  *keys(): Generator<readonly [string, string]> {
    for (const space of this.#spaces)
      if (space.mode === 'replicate') for (const key of space.slots.keys()) yield [space.name, key];
  }

  dropIf(spaceName: string, key: string, isSeen: (origin: string, dot: number) => boolean): void {
    const slot = this.space(spaceName).slots.get(key);
    if (slot !== undefined && isSeen(this.#originAt(slot), this.#dotAt(slot))) this.#remove(slot, 'delete');
  }

  dropOutdated(): void {
    for (const space of this.#spaces)
      for (const [key, slot] of space.slots) {
        const stamp = this.slots.f64[slot * 4 + 1]!;
        const rank = this.#origins.rank(Math.floor(this.slots.owner[slot]! / 4096));
        if (this.#graves.outdates(graveTag(space.name, key), stamp, rank)) this.#remove(slot, 'delete');
      }
  }

  dropUntravelled(): void {
    for (const space of this.#spaces)
      if (space.mode === 'invalidate') for (const slot of [...space.slots.values()]) this.#remove(slot, 'delete');
  }

  collect(isVictim: (origin: string, dot: number) => boolean): { victims: Change[]; highestDot: number } {
    const victims: Change[] = [];
    let highestDot = 0;
    const judge = (origin: string, dot: number, change: () => Change): void => {
      if (isVictim(origin, dot)) victims.push(change());
      else if (dot > highestDot) highestDot = dot;
    };
    for (const space of this.#spaces) for (const dead of this.#deadOf(space)) judge(dead.origin, dead.dot, () => dead);
    for (const space of this.#spaces)
      for (const slot of space.slots.values())
        judge(this.#originAt(slot), this.#dotAt(slot), () => this.#changeAt(slot, space));
    return { victims, highestDot };
  }

  forget(change: Change): void {
    const space = this.space(change.space);
    if (change.kind === ChangeKind.clear) space.cleared = undefined;
    else if (change.kind === ChangeKind.invalidate) space.invalidated.delete(change.key);
    else {
      space.tombstones.delete(change.key);
      const slot = space.slots.get(change.key);
      if (slot !== undefined) this.#remove(slot, undefined);
    }
  }

  forgetGravesOf(origin: string, above: number): void {
    this.#graves.forgetOf(rankOf(origin), above);
  }

  forgetGravesAbove(highest: number): number {
    return this.#graves.forgetAbove(highest);
  }

  /** A local value leaves without a trace that others would hear of. */
  evict(space: Space, key: string): void {
    const slot = space.slots.get(key);
    if (slot !== undefined) this.#remove(slot, 'delete');
  }

  /** Lets go of everything, telling nobody. */
  release(): void {
    for (const space of this.#spaces) {
      for (const slot of [...space.slots.values()]) this.#remove(slot, undefined);
      space.tombstones.clear();
      space.invalidated.clear();
    }
  }

  #write(slot: number, space: Space, put: Put): void {
    const slots = this.slots;
    const needsExtra = put.graceMs > 0 || put.tags.length > 0 || put.fillMs > 0 || put.dot !== put.stamp;
    slots.values[slot] = put.value;
    slots.f64[slot * 4] = put.deadlineMs;
    slots.f64[slot * 4 + 1] = put.stamp;
    slots.i32[slot * 8 + bytesAt] = put.bytes;
    const origin = this.#origins.id(put.origin);
    assert(origin < 2 ** 20, 'origins have 20 bits');
    slots.owner[slot] = origin * 4096 + space.id;
    const marks = slots.i32[slot * 8 + marksAt]! & policyMask;
    slots.i32[slot * 8 + marksAt] = marks | (put.cloneOnGet ? cloneBit : 0) | (needsExtra ? extraBit : 0);
    if (needsExtra) {
      const { dot, graceMs, tags, fillMs } = put;
      this.#extras.set(slot, { dot, graceMs, tags, fillMs });
    }
    this.#bytes += put.bytes;
  }

  /** `reason` undefined leaves no grave and tells nobody. */
  #remove(slot: number, reason: RemoveReason | undefined): void {
    const slots = this.slots;
    const space = this.#spaces[slots.owner[slot]! & 0xfff]!;
    const key = slots.keys[slot]!;
    this.#untag(space, slot);
    space.slots.delete(key);
    this.policy.removed(slot);
    this.#bytes -= slots.i32[slot * 8 + bytesAt]!;
    this.#count--;
    if (reason !== undefined) {
      const rank = this.#origins.rank(Math.floor(slots.owner[slot]! / 4096));
      this.#graves.bury(graveTag(space.name, key), slots.f64[slot * 4 + 1]!, rank);
    }
    slots.give(slot);
    if (reason !== undefined) this.#options.onRemove?.(space.name, key, reason);
  }

  /** A version of a key that is not kept here leaves its mark: nothing older stays or comes. */
  #outdate(space: Space, { key, stamp, origin }: Change, reason: RemoveReason): void {
    const slot = space.slots.get(key);
    if (slot !== undefined) this.#remove(slot, reason);
    this.#graves.bury(graveTag(space.name, key), stamp, rankOf(origin));
  }

  #untag(space: Space, slot: number): void {
    if ((this.slots.i32[slot * 8 + marksAt]! & extraBit) === 0) return;
    for (const tag of this.#extras.get(slot)!.tags) {
      const tagged = space.tagged.get(tag);
      tagged?.delete(slot);
      if (tagged?.size === 0) space.tagged.delete(tag);
    }
    this.#extras.delete(slot);
  }

  #expireIfDue(slot: number): void {
    if (this.slots.f64[slot * 4]! + this.extraAt(slot).graceMs > this.#now()) return;
    this.expirations++;
    this.#remove(slot, 'expire');
  }

  #originAt(slot: number): string {
    return this.#origins.name(Math.floor(this.slots.owner[slot]! / 4096));
  }

  #dotAt(slot: number): number {
    return Math.max(this.slots.f64[slot * 4 + 1]!, this.extraAt(slot).dot);
  }

  /** Whether a version is newer than all that is known of its key. */
  #beatsHeld(space: Space, key: string, stamp: number, origin: string): boolean {
    const slot = space.slots.get(key);
    if (slot !== undefined) return this.#beatsSlot(stamp, origin, slot);
    const tombstone = space.tombstones.get(key);
    if (tombstone !== undefined && !beats(stamp, origin, tombstone)) return false;
    return !this.#graves.outdates(graveTag(space.name, key), stamp, rankOf(origin));
  }

  #beatsSlot(stamp: number, origin: string, slot: number): boolean {
    const held = this.slots.f64[slot * 4 + 1]!;
    return stamp > held || (stamp === held && compareVersion(stamp, origin, held, this.#originAt(slot)) > 0);
  }

  #changeAt(slot: number, space: Space): Change {
    const deadlineMs = this.slots.f64[slot * 4]!;
    const { graceMs, tags } = this.extraAt(slot);
    return {
      kind: ChangeKind.set,
      space: space.name,
      key: this.slots.keys[slot]!,
      stamp: this.slots.f64[slot * 4 + 1]!,
      dot: this.#dotAt(slot),
      origin: this.#originAt(slot),
      expiresAtMs: deadlineMs === Infinity ? 0 : Math.max(1, Math.round(deadlineMs + this.#options.clusterOffset())),
      graceMs,
      tags,
      value: this.#codec.encode(this.slots.values[slot]),
    };
  }

  *#deadOf(space: Space): Generator<Change> {
    if (space.cleared !== undefined) yield dead(ChangeKind.clear, space, '', space.cleared);
    for (const [tag, tombstone] of space.invalidated) yield dead(ChangeKind.invalidate, space, tag, tombstone);
    for (const [key, tombstone] of space.tombstones) yield dead(ChangeKind.delete, space, key, tombstone);
  }

  #forgetOrigins(): void {
    const used = new Set<number>();
    for (const space of this.#spaces)
      for (const slot of space.slots.values()) used.add(Math.floor(this.slots.owner[slot]! / 4096));
    this.#origins.retain(used);
    this.#originsChecked = this.#origins.size + originSlack;
  }
}

function beats(stamp: number, origin: string, other: Version): boolean {
  return compareVersion(stamp, origin, other.stamp, other.origin) > 0;
}

function dead(kind: ChangeKind, space: Space, key: string, { stamp, dot, origin }: Tombstone): Change {
  return { kind, space: space.name, key, stamp, dot, origin, expiresAtMs: 0, graceMs: 0, tags: noTags, value: noBytes };
}
