/*
 * An entry's row: five words of 32 bits.
 *
 *     0   place, low 32 of its 39 bits
 *     1   place, high 7 │ bits of the entry: 4 │ revision, high 21
 *     2   id of the older neighbour in the queue
 *     3   id of the newer one; of a free row, the next free one
 *     4   revision, low 32
 *
 * A place is a segment's number times the segments' size, rounded up to a power of two, plus the offset in it: 512 GiB
 * of segments. The high words share one because a revision ends at 2^53.
 */
export const STRIDE = 5;
const PLACE = 0;
const SHARED = 1;
export const OLDER = 2;
export const NEWER = 3;
const REVISION = 4;

const PLACE_BITS = 39;
const PLACE_SHIFT = 25;
const BITS_SHIFT = 21;
const BITS_MASK = 0xf;
const REVISION_MASK = 0x1f_ffff;

/** Reads and writes the words of rows; `page` is the page of a row and `at` where it begins there. */
export class RowLayout {
  /** Bits of an offset within a segment. */
  readonly #offsetBits: number;
  readonly #offsetMask: number;

  /** Segments have up to 64 MiB. */
  constructor(segmentBytes: number) {
    this.#offsetBits = Math.ceil(Math.log2(segmentBytes));
    this.#offsetMask = 2 ** this.#offsetBits - 1;
  }

  offset(page: Uint32Array, at: number): number {
    return page[at + PLACE]! & this.#offsetMask;
  }

  segment(page: Uint32Array, at: number): number {
    const high = page[at + SHARED]! >>> PLACE_SHIFT;
    return (page[at + PLACE]! >>> this.#offsetBits) | (high << (32 - this.#offsetBits));
  }

  setPlace(page: Uint32Array, at: number, segment: number, offset: number): void {
    page[at + PLACE] = (segment << this.#offsetBits) | offset;
    const high = segment >>> (32 - this.#offsetBits);
    page[at + SHARED] = (high << PLACE_SHIFT) | (page[at + SHARED]! & (2 ** PLACE_SHIFT - 1));
  }
}

/** Numbers that segments of this size may have are below this; at most 64 MiB. */
export function mostSegments(segmentBytes: number): number {
  return 2 ** (PLACE_BITS - Math.ceil(Math.log2(segmentBytes)));
}

export function bitsOf(page: Uint32Array, at: number): number {
  return (page[at + SHARED]! >>> BITS_SHIFT) & BITS_MASK;
}

export function setBits(page: Uint32Array, at: number, bits: number): void {
  page[at + SHARED] = (page[at + SHARED]! & ~(BITS_MASK << BITS_SHIFT)) | (bits << BITS_SHIFT);
}

export function revisionOf(page: Uint32Array, at: number): number {
  return (page[at + SHARED]! & REVISION_MASK) * 0x1_0000_0000 + page[at + REVISION]!;
}

export function setRevision(page: Uint32Array, at: number, revision: number): void {
  page[at + REVISION] = revision;
  page[at + SHARED] = (page[at + SHARED]! & ~REVISION_MASK) | (revision / 0x1_0000_0000);
}
