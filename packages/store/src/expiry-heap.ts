import type { Epochs } from './epochs.js';
import { Pages, pageOf } from './pages.js';

const STRIDE = 3;
const TIME_LOW = 0;
const TIME_HIGH = 1;
const POSITION = 2;

const CHUNK_SHIFT = 12;
const CHUNK_IDS = 1 << CHUNK_SHIFT;

/**
 * The entries that will expire, soonest first: a 4-ary heap of ids, and for each a row with its time and its place in
 * the heap, so that it can be taken out of the middle. 16 bytes an entry, and none for an entry without expiry.
 *
 * The order is total (time, then what `isBefore` says of two entries of one time), so it depends on the entries alone:
 * not on when they were added, nor whether this replica came by a snapshot. That is why this is no timer wheel. A
 * hierarchical wheel (Varghese, Lauck, SOSP 1987) takes O(1) instead of O(log n), but it pays in bursts: when a slot
 * of 65 s comes down at 10,000 writes a second, it moves 650,000 entries at once; and entries of one slot stand in an
 * order that history made, which shows as soon as a budget stops between them.
 *
 * Cost: a new latest time, as with one TTL for all, takes one comparison; the worst is 4 * log4(n).
 */
export class ExpiryHeap {
  readonly #rows: Pages;
  readonly #isBefore: (a: number, b: number) => boolean;
  readonly #chunks: Uint32Array[] = [];
  #size = 0;

  /** `isBefore` orders two entries of one time, and must be total. */
  constructor(epochs: Epochs, isBefore: (a: number, b: number) => boolean) {
    this.#rows = new Pages(STRIDE, epochs);
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#size;
  }

  get allocatedBytes(): number {
    return this.#rows.allocatedBytes + this.#chunks.length * CHUNK_IDS * 4;
  }

  /** The entry that goes next, or 0. */
  get first(): number {
    return this.#size === 0 ? 0 : this.#idAt(0);
  }

  /** When an entry of the heap expires. */
  timeMs(id: number): number {
    const page = this.#rows.read(id);
    const at = this.#rows.at(id);
    return page[at + TIME_HIGH]! * 0x1_0000_0000 + page[at + TIME_LOW]!;
  }

  add(id: number, timeMs: number): void {
    this.#writeTime(id, timeMs);
    const position = this.#size++;
    if (position >>> CHUNK_SHIFT === this.#chunks.length) this.#chunks.push(new Uint32Array(CHUNK_IDS));
    this.#put(position, id);
    this.#rise(position, id);
  }

  remove(id: number): void {
    const position = this.#rows.read(id)[this.#rows.at(id) + POSITION]!;
    const last = this.#idAt(--this.#size);
    // One chunk stays in reserve, so that a size that swings around its edge does not allocate each time.
    if (this.#chunks.length > (this.#size >>> CHUNK_SHIFT) + 2) this.#chunks.pop();
    if (last === id) return;
    this.#put(position, last);
    this.#settle(position, last);
  }

  /** Gives an entry of the heap another time, or its place again after what `isBefore` compares has changed. */
  change(id: number, timeMs: number): void {
    this.#writeTime(id, timeMs);
    this.#settle(this.#rows.read(id)[this.#rows.at(id) + POSITION]!, id);
  }

  /** The times as they are now, for a snapshot: a function from an id of the heap to its time. */
  view(): (id: number) => number {
    const pages = this.#rows.view();
    return (id) => {
      const page = pageOf(pages, id);
      const at = this.#rows.at(id);
      return page[at + TIME_HIGH]! * 0x1_0000_0000 + page[at + TIME_LOW]!;
    };
  }

  #settle(position: number, id: number): void {
    if (this.#rise(position, id) === position) this.#sink(position, id);
  }

  #rise(position: number, id: number): number {
    while (position > 0) {
      const parent = (position - 1) >>> 2;
      const other = this.#idAt(parent);
      if (!this.#goesFirst(id, other)) break;
      this.#put(position, other);
      position = parent;
    }
    this.#put(position, id);
    return position;
  }

  #sink(position: number, id: number): void {
    const timeMs = this.timeMs(id);
    for (;;) {
      const child = position * 4 + 1;
      if (child >= this.#size) break;
      let best = this.#idAt(child);
      let bestAt = child;
      let bestMs = this.timeMs(best);
      const end = Math.min(child + 4, this.#size);
      for (let at = child + 1; at < end; at++) {
        const other = this.#idAt(at);
        const otherMs = this.timeMs(other);
        if (otherMs > bestMs || (otherMs === bestMs && !this.#isBefore(other, best))) continue;
        best = other;
        bestAt = at;
        bestMs = otherMs;
      }
      if (timeMs < bestMs || (timeMs === bestMs && this.#isBefore(id, best))) break;
      this.#put(position, best);
      position = bestAt;
    }
    this.#put(position, id);
  }

  #goesFirst(a: number, b: number): boolean {
    const timeA = this.timeMs(a);
    const timeB = this.timeMs(b);
    return timeA < timeB || (timeA === timeB && this.#isBefore(a, b));
  }

  #idAt(position: number): number {
    return this.#chunks[position >>> CHUNK_SHIFT]![position & (CHUNK_IDS - 1)]!;
  }

  #put(position: number, id: number): void {
    this.#chunks[position >>> CHUNK_SHIFT]![position & (CHUNK_IDS - 1)] = id;
    this.#rows.write(id)[this.#rows.at(id) + POSITION] = position;
  }

  #writeTime(id: number, timeMs: number): void {
    const page = this.#rows.write(id);
    const at = this.#rows.at(id);
    page[at + TIME_LOW] = timeMs;
    page[at + TIME_HIGH] = timeMs / 0x1_0000_0000;
  }
}
