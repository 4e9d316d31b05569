import { Digest } from './digest.js';
import { bitsOf, NEWER, OLDER, RowLayout, revisionOf, STRIDE, setBits, setRevision } from './entry-row.js';
import type { Epochs } from './epochs.js';
import { Pages, pageOf } from './pages.js';

/** Bits of an entry; a row has room for four. */
export const Bit = {
  /** Two bits: accesses counted, as far as the policy counts. */
  touches: 0b0011,
  /** In S3-FIFO's small queue. */
  small: 0b0100,
  /** Has a time in the expiry tree. */
  expires: 0b1000,
} as const;

/** The two queues an entry may stand in; all policies but S3-FIFO use only the first. */
export const Queue = { main: 0, small: 1 } as const;
export type Queue = (typeof Queue)[keyof typeof Queue];

/**
 * A row of 20 bytes for each entry, by its id (`entry-row.ts`): where its record lies, its revision, and its neighbours in the queue of
 * its policy. Ids are 1 and up, local to this store, and used again; 0 is nobody.
 *
 * The queues are doubly linked lists from oldest to newest. Their order and the bits are replicated state; `digest`
 * keeps a term for each entry of its revision, the revision of the next newer entry, and its bits, which together name
 * the order. So every change of a link, a bit or a revision takes the terms it touches out and puts them back after.
 */
export class Entries {
  readonly digest: Digest = new Digest();
  readonly oldest: [number, number] = [0, 0];
  readonly newest: [number, number] = [0, 0];
  readonly counts: [number, number] = [0, 0];
  readonly #layout: RowLayout;
  readonly #pages: Pages;
  /** Ids ever used. */
  #highest = 0;
  /** Head of the list of free ids, linked by NEWER. */
  #free = 0;

  /** Segments have up to 64 MiB. */
  constructor(segmentBytes: number, epochs: Epochs) {
    this.#layout = new RowLayout(segmentBytes);
    this.#pages = new Pages(STRIDE, epochs);
  }

  get count(): number {
    return this.counts[0] + this.counts[1];
  }

  get allocatedBytes(): number {
    return this.#pages.allocatedBytes;
  }

  /** An id whose row is the caller's to fill with `place` and `push`. */
  take(): number {
    if (this.#free === 0) return ++this.#highest;
    const id = this.#free;
    this.#free = this.newer(id);
    return id;
  }

  /** Gives back an id that stands in no queue. */
  give(id: number): void {
    this.#pages.write(id)[this.#pages.at(id) + NEWER] = this.#free;
    this.#free = id;
  }

  offset(id: number): number {
    return this.#layout.offset(this.#pages.read(id), this.#pages.at(id));
  }

  segment(id: number): number {
    return this.#layout.segment(this.#pages.read(id), this.#pages.at(id));
  }

  bits(id: number): number {
    return bitsOf(this.#pages.read(id), this.#pages.at(id));
  }

  touches(id: number): number {
    return this.bits(id) & Bit.touches;
  }

  queue(id: number): Queue {
    return (this.bits(id) & Bit.small) === 0 ? Queue.main : Queue.small;
  }

  revision(id: number): number {
    return revisionOf(this.#pages.read(id), this.#pages.at(id));
  }

  older(id: number): number {
    return this.#pages.read(id)[this.#pages.at(id) + OLDER]!;
  }

  newer(id: number): number {
    return this.#pages.read(id)[this.#pages.at(id) + NEWER]!;
  }

  /** Says where the record lies now. */
  place(id: number, segment: number, offset: number): void {
    this.#layout.setPlace(this.#pages.write(id), this.#pages.at(id), segment, offset);
  }

  /** Marks whether the entry has a time in the expiry tree; no term depends on it. */
  setExpires(id: number, expires: boolean): void {
    const bits = this.bits(id);
    setBits(this.#pages.write(id), this.#pages.at(id), expires ? bits | Bit.expires : bits & ~Bit.expires);
  }

  setTouches(id: number, touches: number): void {
    this.#term(id).subtract();
    setBits(this.#pages.write(id), this.#pages.at(id), (this.bits(id) & ~Bit.touches) | touches);
    this.#term(id).add();
  }

  setRevision(id: number, revision: number): void {
    const older = this.older(id);
    if (older !== 0) this.#term(older).subtract();
    this.#term(id).subtract();
    setRevision(this.#pages.write(id), this.#pages.at(id), revision);
    this.#term(id).add();
    if (older !== 0) this.#term(older).add();
  }

  /** Fills the row of a new entry, untouched and not expiring, and puts it at the newest end of a queue. */
  start(id: number, revision: number, queue: Queue): void {
    const page = this.#pages.write(id);
    const at = this.#pages.at(id);
    setBits(page, at, 0);
    setRevision(page, at, revision);
    this.push(id, queue);
  }

  /** Puts an entry that stands in no queue at the newest end of one. */
  push(id: number, queue: Queue): void {
    const before = this.newest[queue];
    if (before !== 0) this.#term(before).subtract();
    const page = this.#pages.write(id);
    const at = this.#pages.at(id);
    page[at + OLDER] = before;
    page[at + NEWER] = 0;
    const bits = bitsOf(page, at);
    setBits(page, at, queue === Queue.small ? bits | Bit.small : bits & ~Bit.small);
    if (before === 0) this.oldest[queue] = id;
    else {
      this.#pages.write(before)[this.#pages.at(before) + NEWER] = id;
      this.#term(before).add();
    }
    this.newest[queue] = id;
    this.counts[queue]++;
    this.#term(id).add();
  }

  /** Takes an entry out of its queue. */
  unlink(id: number): void {
    const queue = this.queue(id);
    const older = this.older(id);
    const newer = this.newer(id);
    this.#term(id).subtract();
    if (older !== 0) this.#term(older).subtract();
    if (newer === 0) this.newest[queue] = older;
    else this.#pages.write(newer)[this.#pages.at(newer) + OLDER] = older;
    if (older === 0) this.oldest[queue] = newer;
    else {
      this.#pages.write(older)[this.#pages.at(older) + NEWER] = newer;
      this.#term(older).add();
    }
    this.counts[queue]--;
  }

  /** The rows as they are now, for a snapshot. */
  view(): EntriesView {
    return new EntriesView(this.#pages.view(), this.#pages, this.#layout, this.oldest, this.counts);
  }

  #term(id: number): Digest {
    const newer = this.newer(id);
    const bits = this.bits(id) & (Bit.touches | Bit.small);
    return this.digest.ofNumbers(this.revision(id), newer === 0 ? -1 : this.revision(newer), bits);
  }
}

/** All rows as they were when the view was made. */
export class EntriesView {
  readonly oldest: readonly [number, number];
  readonly counts: readonly [number, number];
  readonly #pages: readonly (Uint32Array | undefined)[];
  readonly #places: Pages;
  readonly #layout: RowLayout;

  constructor(
    pages: readonly (Uint32Array | undefined)[],
    places: Pages,
    layout: RowLayout,
    oldest: readonly [number, number],
    counts: readonly [number, number],
  ) {
    this.#pages = pages;
    this.#places = places;
    this.#layout = layout;
    this.oldest = [...oldest];
    this.counts = [...counts];
  }

  offset(id: number): number {
    return this.#layout.offset(pageOf(this.#pages, id), this.#places.at(id));
  }

  segment(id: number): number {
    return this.#layout.segment(pageOf(this.#pages, id), this.#places.at(id));
  }

  bits(id: number): number {
    return bitsOf(pageOf(this.#pages, id), this.#places.at(id));
  }

  newer(id: number): number {
    return pageOf(this.#pages, id)[this.#places.at(id) + NEWER]!;
  }

  revision(id: number): number {
    return revisionOf(pageOf(this.#pages, id), this.#places.at(id));
  }
}
