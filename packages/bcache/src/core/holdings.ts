import type { Change } from './change.js';

/** What the replicator needs of the store that holds the records. All of it is synchronous and local. */
export interface Holdings {
  /** Merges a record: it is taken if it is newer than what is held, else ignored. True where it was taken. */
  apply(change: Change): boolean;
  /** Whether a record of the same kind and key is held, living or dead. */
  holds(change: Change): boolean;
  /**
   * All records to hand to another node, dead ones first. Records that change while it runs may come in their old or
   * new form, or not at all: their updates travel on their own.
   */
  snapshot(): Iterator<Change>;
  /** Versions of keys no longer held, for a node that takes a full state. */
  graves(): Iterable<Grave>;
  bury(grave: Grave): void;
  /** All living keys whose values travel. */
  keys(): Iterable<readonly [space: string, key: string]>;
  /** Removes a living key whose version `isSeen` by a donor that no longer has it. */
  dropIf(space: string, key: string, isSeen: (origin: string, dot: number) => boolean): void;
  /** Drops values that are older than their graves: they came in before what a donor knew of them. */
  dropOutdated(): void;
  /** Drops the values of namespaces whose values do not travel: what made them void may have been missed. */
  dropUntravelled(): void;
  /** Records, living and dead, whose origin and dot are victims; and the highest dot of the others. */
  collect(isVictim: (origin: string, dot: number) => boolean): { victims: Change[]; highestDot: number };
  /**
   * How many graves were forgotten since the start because they were of void versions. What a void version had beaten
   * before it went is known no more.
   */
  readonly voidGraves: number;
  /** Versions above `highest` were void: nothing is refused for them any more. Returns the highest that is left. */
  forgetGravesAbove(highest: number): number;
  /** Stamps above these, of origins by their rank, are void: nothing is refused for them any more. */
  forgetGravesOf(voidAbove: ReadonlyMap<number, number>): void;
  /** Removes exactly this record, leaving no trace. */
  forget(change: Change): void;
}

/** The newest version known of a key that is no longer held: a hash of the key, a stamp, the rank of its origin. */
export type Grave = readonly [tag: number, stamp: number, rank: number];
