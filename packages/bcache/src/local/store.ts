import { ArgumentError } from '@dcache/base';
import { type Change, ChangeKind, compareVersion, noBytes, noTags, rankOf, type Version } from '../core/change.js';
import type { Grave, Holdings } from '../core/holdings.js';
import { Entries } from './entries.js';
import type { Put, RemoveReason, ValueCodec } from './entry.js';
import type { EvictionName } from './eviction/policies.js';
import { Graveyard, graveTag, tagGrave } from './graveyard.js';
import { KeyIndex } from './key-index.js';
import { mostSlots } from './slots.js';
import { Space, type Tombstone } from './space.js';

export interface StoreOptions {
  /** Greatest number of entries. */
  readonly maxKeys: number;
  /** Greatest number of bytes of keys and encoded values; Infinity for no bound. */
  readonly maxBytes: number;
  readonly eviction: EvictionName;
  readonly deletionDelayMs: number;
  /** Versions of what is gone that are remembered after `deletionDelayMs`. Default 1024 to 65,536, as `maxKeys`. */
  readonly graves?: number;
  /** Of the hashes of keys; nobody else should know it. */
  readonly hashSeed: number;
  readonly codec: ValueCodec;
  /** Monotonic milliseconds; may lag by a millisecond. */
  readonly now: () => number;
  /** What to add to monotonic time to get cluster time. */
  readonly clusterOffset: () => number;
  /** Called after a value came, by whomever it was set. */
  readonly onSet?: ((space: string, key: string, change: Change | undefined) => void) | undefined;
  /** Called when a value goes. */
  readonly onRemove?: ((space: string, key: string, reason: RemoveReason) => void) | undefined;
}

const maxSpaces = 4096;

/**
 * The values of this node, their versions, and the versions of what is gone. Writes from wherever are merged here: the
 * higher version stays. The values are bounded; tombstones are outside that bound and go by age.
 */
export class LocalStore implements Holdings {
  readonly entries: Entries;
  /** Records older than something this node has let go. */
  late = 0;
  readonly #options: StoreOptions;
  readonly #now: () => number;
  readonly #codec: ValueCodec;
  readonly #spaces: Space[] = [];
  readonly #byName = new Map<string, Space>();
  readonly #graves: Graveyard;

  constructor(options: StoreOptions) {
    const { maxKeys, maxBytes, eviction, codec, now, onRemove } = options;
    this.#options = options;
    this.#now = now;
    this.#codec = codec;
    this.entries = new Entries({
      maxKeys: Math.min(maxKeys, mostSlots - 1),
      maxBytes,
      eviction,
      codec,
      now,
      spaceOf: (id) => this.#spaces[id]!,
      onRemove: (slot, space, key, reason) => {
        this.#graves.bury(graveTag(space.name, key), this.entries.stampAt(slot), this.entries.rankAt(slot));
        onRemove?.(space.name, key, reason);
      },
    });
    this.#graves = new Graveyard(options.graves ?? Math.min(65_536, Math.max(1_024, maxKeys)));
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
        throw new ArgumentError(`there are ${maxSpaces} namespaces; no more are allowed`);
      space = new Space(this.#spaces.length, name, new KeyIndex(this.entries.slots, this.#options.hashSeed));
      this.#spaces.push(space);
      this.#byName.set(name, space);
    }
    return space;
  }

  /** A fresh value as a record to hand to another node; undefined where there is none, or where it stays here. */
  recordOf(space: Space, key: string): Change | undefined {
    const slot = this.entries.findFresh(space, key);
    return slot < 0 || space.mode !== 'replicate' ? undefined : this.#changeAt(slot, space);
  }

  // Writing

  /** Whether a write of this version to this key would stand: nothing newer is known of it. */
  wins(space: Space, key: string, version: Version, tags: readonly string[]): boolean {
    const { stamp, origin } = version;
    if (space.cleared !== undefined && !beats(stamp, origin, space.cleared)) return false;
    for (const tag of tags) {
      if (this.#isInvalidated(space, tag, stamp, origin)) return false;
    }
    return this.#beatsHeld(space, key, stamp, origin);
  }

  /** Puts a value whose version wins; the caller has asked. */
  put(space: Space, key: string, put: Put, change?: Change): void {
    if (space.tombstones.size > 0) space.tombstones.delete(key);
    this.entries.put(space, key, put);
    this.#options.onSet?.(space.name, key, change);
  }

  /** Remembers a version of something that another node no longer holds. */
  bury([tag, stamp, rank]: Grave): void {
    this.#graves.bury(tag, stamp, rank, true);
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
    const slot = space.index.find(key);
    if (slot >= 0) this.entries.remove(slot, 'delete');
    // Anew, so that the map stays in the order of age.
    space.tombstones.delete(key);
    space.tombstones.set(key, { stamp, dot: change.dot, origin, atMs: this.#now() });
    return true;
  }

  #clear(space: Space, change: Change): boolean {
    const { stamp, origin, dot } = change;
    if (space.cleared !== undefined && !beats(stamp, origin, space.cleared)) return false;
    space.cleared = { stamp, dot, origin, atMs: this.#now() };
    for (const slot of this.entries.all(space))
      if (this.#beatsSlot(stamp, origin, slot)) this.entries.remove(slot, 'delete');
    for (const [key, tombstone] of space.tombstones) if (beats(stamp, origin, tombstone)) space.tombstones.delete(key);
    return true;
  }

  #invalidate(space: Space, change: Change): boolean {
    const { key: tag, stamp, origin, dot } = change;
    const known = space.invalidated.get(tag);
    if (known !== undefined && !beats(stamp, origin, known)) return false;
    if (this.#graves.knowsNewer(tagGrave(space.name, tag), stamp, rankOf(origin))) return false;
    space.invalidated.delete(tag);
    space.invalidated.set(tag, { stamp, dot, origin, atMs: this.#now() });
    for (const slot of [...(space.tagged.get(tag) ?? [])]) {
      if (this.#beatsSlot(stamp, origin, slot)) this.entries.remove(slot, 'delete');
    }
    return true;
  }

  /** Time passes: expired entries go, and old tombstones become graves. */
  tick(): void {
    this.entries.tick();
    const before = this.#now() - this.#options.deletionDelayMs;
    for (const space of this.#spaces) {
      for (const [key, tombstone] of space.tombstones) {
        if (tombstone.atMs > before) break;
        space.tombstones.delete(key);
        this.#graves.bury(graveTag(space.name, key), tombstone.stamp, rankOf(tombstone.origin));
      }
      for (const [tag, tombstone] of space.invalidated) {
        if (tombstone.atMs > before) break;
        space.invalidated.delete(tag);
        this.#graves.bury(tagGrave(space.name, tag), tombstone.stamp, rankOf(tombstone.origin));
      }
    }
  }

  // What the replicator needs

  holds(change: Change): boolean {
    const space = this.space(change.space);
    if (change.kind === ChangeKind.clear) return space.cleared !== undefined;
    if (change.kind === ChangeKind.invalidate) return space.invalidated.has(change.key);
    return space.index.find(change.key) >= 0 || space.tombstones.has(change.key);
  }

  *snapshot(): Generator<Change> {
    for (const space of [...this.#spaces]) yield* this.#deadOf(space);
    for (const slot of this.entries.all()) {
      const space = this.entries.spaceAt(slot);
      if (space.mode === 'replicate') yield this.#changeAt(slot, space);
    }
  }

  graves(): Iterable<Grave> {
    return this.#graves.entries();
  }

  *keys(): Generator<readonly [string, string]> {
    for (const slot of this.entries.all()) {
      const space = this.entries.spaceAt(slot);
      if (space.mode === 'replicate') yield [space.name, this.entries.slots.keyAt(slot)!];
    }
  }

  dropIf(spaceName: string, key: string, isSeen: (origin: string, dot: number) => boolean): void {
    const { entries } = this;
    const slot = this.space(spaceName).index.find(key);
    if (slot >= 0 && isSeen(entries.originAt(slot), entries.dotAt(slot))) entries.remove(slot, 'delete');
  }

  dropOutdated(): void {
    const { entries } = this;
    for (const slot of entries.all()) {
      const { name } = entries.spaceAt(slot);
      const [stamp, rank] = [entries.stampAt(slot), entries.rankAt(slot)];
      const tags = [graveTag(name, entries.slots.keyAt(slot)!)];
      for (const tag of entries.extraAt(slot).tags) tags.push(tagGrave(name, tag));
      if (tags.some((tag) => this.#graves.knowsNewer(tag, stamp, rank))) entries.remove(slot, 'delete');
    }
  }

  dropUntravelled(): void {
    for (const slot of this.entries.all())
      if (this.entries.spaceAt(slot).mode === 'invalidate') this.entries.remove(slot, 'delete');
  }

  collect(isVictim: (origin: string, dot: number) => boolean): { victims: Change[]; highestDot: number } {
    const victims: Change[] = [];
    let highestDot = 0;
    const judge = (origin: string, dot: number, change: () => Change): void => {
      if (isVictim(origin, dot)) victims.push(change());
      else if (dot > highestDot) highestDot = dot;
    };
    for (const space of this.#spaces) for (const dead of this.#deadOf(space)) judge(dead.origin, dead.dot, () => dead);
    const { entries } = this;
    for (const slot of entries.all())
      judge(entries.originAt(slot), entries.dotAt(slot), () => this.#changeAt(slot, entries.spaceAt(slot)));
    return { victims, highestDot };
  }

  forget(change: Change): void {
    const space = this.space(change.space);
    if (change.kind === ChangeKind.clear) space.cleared = undefined;
    else if (change.kind === ChangeKind.invalidate) space.invalidated.delete(change.key);
    else {
      space.tombstones.delete(change.key);
      const slot = space.index.find(change.key);
      if (slot >= 0) this.entries.remove(slot, undefined);
    }
  }

  get voidGraves(): number {
    return this.#graves.voided;
  }

  forgetGravesOf(voidAbove: ReadonlyMap<number, number>): void {
    this.#graves.forgetOf(voidAbove);
  }

  forgetGravesAbove(highest: number): number {
    return this.#graves.forgetAbove(highest);
  }

  /** Lets go of everything, telling nobody. */
  release(): void {
    this.entries.release();
    for (const space of this.#spaces) {
      space.tombstones.clear();
      space.invalidated.clear();
    }
  }

  /** A version of a key that is not kept here leaves its mark: nothing older stays or comes. */
  #outdate(space: Space, { key, stamp, origin }: Change, reason: RemoveReason): void {
    const slot = space.index.find(key);
    if (slot >= 0) this.entries.remove(slot, reason);
    this.#graves.bury(graveTag(space.name, key), stamp, rankOf(origin));
  }

  /** Whether a version is newer than all that is known of its key. */
  #beatsHeld(space: Space, key: string, stamp: number, origin: string): boolean {
    const slot = space.index.find(key);
    if (slot >= 0) return this.#beatsSlot(stamp, origin, slot);
    const tombstone = space.tombstones.get(key);
    if (tombstone !== undefined && !beats(stamp, origin, tombstone)) return false;
    return !this.#graves.outdates(graveTag(space.name, key), stamp, rankOf(origin));
  }

  #beatsSlot(stamp: number, origin: string, slot: number): boolean {
    const held = this.entries.stampAt(slot);
    return stamp > held || (stamp === held && compareVersion(stamp, origin, held, this.entries.originAt(slot)) > 0);
  }

  #isInvalidated(space: Space, tag: string, stamp: number, origin: string): boolean {
    const invalidated = space.invalidated.get(tag);
    if (invalidated !== undefined && !beats(stamp, origin, invalidated)) return true;
    return this.#graves.outdates(tagGrave(space.name, tag), stamp, rankOf(origin));
  }

  #changeAt(slot: number, space: Space): Change {
    const { entries } = this;
    const deadlineMs = entries.deadlineAt(slot);
    const { graceMs, tags } = entries.extraAt(slot);
    return {
      kind: ChangeKind.set,
      space: space.name,
      key: entries.slots.keyAt(slot)!,
      stamp: entries.stampAt(slot),
      dot: entries.dotAt(slot),
      origin: entries.originAt(slot),
      expiresAtMs: deadlineMs === Infinity ? 0 : Math.max(1, Math.round(deadlineMs + this.#options.clusterOffset())),
      graceMs,
      tags,
      value: this.#codec.encode(entries.slots.pairs[slot * 2 + 1]),
    };
  }

  *#deadOf(space: Space): Generator<Change> {
    if (space.cleared !== undefined) yield dead(ChangeKind.clear, space, '', space.cleared);
    for (const [tag, tombstone] of space.invalidated) yield dead(ChangeKind.invalidate, space, tag, tombstone);
    for (const [key, tombstone] of space.tombstones) yield dead(ChangeKind.delete, space, key, tombstone);
  }
}

function beats(stamp: number, origin: string, other: Version): boolean {
  return compareVersion(stamp, origin, other.stamp, other.origin) > 0;
}

function dead(kind: ChangeKind, space: Space, key: string, { stamp, dot, origin }: Tombstone): Change {
  return { kind, space: space.name, key, stamp, dot, origin, expiresAtMs: 0, graceMs: 0, tags: noTags, value: noBytes };
}
