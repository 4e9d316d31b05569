import { assert } from '@dcache/base';
import { type Arena, Stream } from './arena.js';
import type { Entries } from './entries.js';
import type { KeyHash } from './hash.js';
import { copyBytes, type RecordView } from './record.js';
import type { Table } from './table.js';

/** Bytes of segments for each live byte at which compaction begins. */
const BEGIN = 1.15;
/** Where it works at full pace. */
const FULL = 1.5;
/** Bytes to look at or move for each byte written or freed, at full pace. */
const FULL_PACE = 32;
/** Most bytes of one step, so that a large write does not make a long pause. */
const MOST_STEP_BYTES = 1 << 20;
/** What a record costs beyond the bytes that are moved: little to pass over, the way to its owner if it lives. */
const DEAD_COST = 16;
const LIVE_COST = 128;

/**
 * Gives back what overwritten and deleted records leave behind: takes the emptiest segment, moves its live records to
 * where other moved ones are, and goes on with the next; a little with each write, in proportion to what was written
 * and freed. The pace rises with the square of what is wasted: the emptier the segments may become before they are
 * taken, the less there is to move, and under a steady load the two meet near 1.25 bytes for each live one. (The
 * cleaner of log-structured storage: Rosenblum, Ousterhout, SOSP 1991; Rumble et al., FAST 2014 for memory.)
 *
 * A record does not say whose it is, which saves 4 bytes an entry; its key's hash leads to the candidates, and the one
 * whose row points here is the owner. While a view sees a segment it is left alone: moving would free nothing.
 */
export class Compactor {
  readonly #arena: Arena;
  readonly #entries: Entries;
  readonly #table: Table;
  readonly #hash: KeyHash;
  readonly #record: RecordView;
  #debtBytes = 0;
  /** Bytes to be written or freed before it is worth looking for a victim again. */
  #restBytes = 0;
  #victim = -1;
  #serial = 0;
  #at = 0;

  constructor(arena: Arena, entries: Entries, table: Table, hash: KeyHash, record: RecordView) {
    this.#arena = arena;
    this.#entries = entries;
    this.#table = table;
    this.#hash = hash;
    this.#record = record;
  }

  /** Notes that a record of this length was written or freed. */
  owe(length: number): void {
    this.#debtBytes += length;
    this.#restBytes -= length;
  }

  /** Does the work owed, as far as one step goes; the rest stays owed. */
  run(): void {
    const urgency = Math.min(1, Math.max(0, (this.#arena.spread - BEGIN) / (FULL - BEGIN)));
    const pace = FULL_PACE * urgency ** 2;
    const budget = Math.min(MOST_STEP_BYTES, this.#debtBytes * pace);
    let left = budget;
    while (left > 0 && this.#hasVictim()) left -= this.#step();
    this.#debtBytes = left > 0 || pace === 0 ? 0 : this.#debtBytes - budget / pace;
  }

  #hasVictim(): boolean {
    const arena = this.#arena;
    if (this.#victim >= 0 && arena.serialOf(this.#victim) === this.#serial && !arena.isSeen(this.#victim)) return true;
    this.#victim = -1;
    if (this.#restBytes > 0 || arena.spread <= BEGIN) return false;
    this.#victim = arena.emptiest();
    if (this.#victim < 0) {
      this.#restBytes = arena.segmentBytes / 8;
      return false;
    }
    this.#serial = arena.serialOf(this.#victim);
    this.#at = 0;
    return true;
  }

  /** Looks at one record of the victim and moves it if it lives; returns what that cost. */
  #step(): number {
    const arena = this.#arena;
    const from = this.#victim;
    const at = this.#at;
    assert(at < arena.usedOf(from), `segment ${from} was walked to its end and still counts live records`);
    const bytes = arena.bytes[from]!;
    this.#record.read(bytes, at);
    const length = this.#record.end - at;
    this.#at = this.#record.end;
    if (this.#record.isDead) return DEAD_COST;
    const id = this.#ownerOf(from, at, this.#hash(bytes, this.#record.keyAt, this.#record.keyBytes));
    assert(id !== 0, `the live record at ${at} of segment ${from} has no owner`);
    arena.reserve(length, Stream.moved);
    copyBytes(bytes, at, arena.bytes[arena.segment]!, arena.offset, length);
    this.#entries.place(id, arena.segment, arena.offset);
    arena.free(from, at, length);
    return LIVE_COST + length;
  }

  #ownerOf(segment: number, offset: number, hash: number): number {
    let id = this.#table.first(hash);
    while (id !== 0 && (this.#entries.offset(id) !== offset || this.#entries.segment(id) !== segment))
      id = this.#table.next();
    return id;
  }
}
