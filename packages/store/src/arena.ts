import { mostSegments } from './entry-row.js';
import type { Epochs } from './epochs.js';
import { markDead } from './record.js';

/** Where new records go: what callers write, and what compaction moves. Old and new do not mix, so cold stays cold. */
export const Stream = { fresh: 0, moved: 1 } as const;
export type Stream = (typeof Stream)[keyof typeof Stream];

const noBytes = new Uint8Array(0);
const noView = new DataView(noBytes.buffer);
const NONE = -1;

/**
 * Records in large buffers outside the garbage collector's heap. A segment is filled from its start and never written
 * again but in place by `Engine` (same size, unseen by views); freeing a record only counts. A segment without live
 * records is used again. A record larger than a quarter of a segment gets a buffer of its own.
 *
 * Invariant: the sum of `live` is `liveBytes`; `live[s] <= used[s] <= bytes[s].length`.
 */
export class Arena {
  readonly segmentBytes: number;
  /** By segment number; empty where the number is free. */
  readonly bytes: Uint8Array[] = [];
  /** The same memory, for reading words. */
  readonly views: DataView[] = [];
  /** Whether the buffer is of one record. */
  readonly #isOwn: boolean[] = [];
  readonly #used: number[] = [];
  readonly #live: number[] = [];
  readonly #births: number[] = [];
  /** Tells one use of a segment's number from the next; 0 while it is free. */
  readonly #serials: number[] = [];
  #lastSerial = 0;
  readonly #freeNumbers: number[] = [];
  readonly #spare: Uint8Array[] = [];
  readonly #active: [number, number] = [NONE, NONE];
  readonly #epochs: Epochs;
  /** Segments of the common size that hold records. */
  #shared = 0;
  #sharedLiveBytes = 0;
  #ownBytes = 0;
  /** Where `reserve` put the record. */
  segment: number = 0;
  offset: number = 0;

  constructor(segmentBytes: number, epochs: Epochs) {
    this.segmentBytes = segmentBytes;
    this.#epochs = epochs;
  }

  get liveBytes(): number {
    return this.#sharedLiveBytes + this.#ownBytes;
  }

  get allocatedBytes(): number {
    return (this.#shared + this.#spare.length) * this.segmentBytes + this.#ownBytes;
  }

  /** Bytes of shared segments for each live byte in them; 1 while there are too few to matter. */
  get spread(): number {
    const bytes = (this.#shared - 3) * this.segmentBytes;
    return bytes <= this.#sharedLiveBytes ? 1 : bytes / this.#sharedLiveBytes;
  }

  /** Bytes of `segment` that records were written to. */
  usedOf(segment: number): number {
    return this.#used[segment]!;
  }

  /** A number that changes when the segment is emptied or used again. */
  serialOf(segment: number): number {
    return this.#serials[segment]!;
  }

  /** Finds room for a record and sets `segment` and `offset` to it. Throws a RangeError when the process has none. */
  reserve(length: number, stream: Stream): void {
    if (length > this.segmentBytes / 4) {
      this.segment = this.#open(new Uint8Array(length), true);
      this.offset = 0;
      this.#used[this.segment] = length;
      this.#live[this.segment] = length;
      this.#ownBytes += length;
      return;
    }
    let active = this.#active[stream];
    if (active === NONE || this.#used[active]! + length > this.segmentBytes) {
      const opened = this.#open(this.#spare.pop() ?? new Uint8Array(this.segmentBytes), false);
      this.#shared++;
      this.#active[stream] = opened;
      if (active !== NONE && this.#live[active] === 0) this.#release(active);
      active = opened;
    }
    this.segment = active;
    this.offset = this.#used[active]!;
    this.#used[active] = this.offset + length;
    this.#live[active]! += length;
    this.#sharedLiveBytes += length;
  }

  /** Gives a record's bytes back and marks it dead. */
  free(segment: number, offset: number, length: number): void {
    markDead(this.bytes[segment]!, offset);
    const live = this.#live[segment]! - length;
    this.#live[segment] = live;
    if (this.#isOwn[segment]) {
      this.#ownBytes -= length;
      this.#drop(segment);
      return;
    }
    this.#sharedLiveBytes -= length;
    if (live > 0) return;
    if (segment !== this.#active[0] && segment !== this.#active[1]) this.#release(segment);
    else if (!this.isSeen(segment)) this.#used[segment] = 0;
  }

  /** Whether an open view may see the segment, so that it must not be written in place. */
  isSeen(segment: number): boolean {
    return this.#epochs.isSeen(this.#births[segment]!);
  }

  /**
   * The full segment with the fewest live bytes, if emptying it gains at least an eighth of it; -1 otherwise. A pass
   * over all segments, once for each segment that compaction empties.
   */
  emptiest(): number {
    let best = NONE;
    let bestLive = this.segmentBytes * 0.875;
    for (let segment = 0; segment < this.bytes.length; segment++) {
      if (this.#live[segment]! >= bestLive || this.#isOwn[segment] || this.bytes[segment] === noBytes) continue;
      if (segment === this.#active[0] || segment === this.#active[1] || this.isSeen(segment)) continue;
      best = segment;
      bestLive = this.#live[segment]!;
    }
    return best;
  }

  /** References to all segments as they are. */
  view(): readonly Uint8Array[] {
    return this.bytes.slice();
  }

  #open(bytes: Uint8Array, isOwn: boolean): number {
    const segment = this.#freeNumbers.pop() ?? this.bytes.length;
    if (segment >= mostSegments(this.segmentBytes))
      throw new RangeError(`a store has at most ${segment} segments of ${this.segmentBytes} bytes`);
    this.bytes[segment] = bytes;
    this.views[segment] = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#isOwn[segment] = isOwn;
    this.#used[segment] = 0;
    this.#live[segment] = 0;
    this.#births[segment] = this.#epochs.current;
    this.#serials[segment] = ++this.#lastSerial;
    return segment;
  }

  /** Keeps the buffer for the next segment, unless a view sees it or there are enough. */
  #release(segment: number): void {
    const bytes = this.bytes[segment]!;
    const isSeen = this.isSeen(segment);
    this.#shared--;
    this.#drop(segment);
    if (!isSeen && this.#spare.length < 2 + this.#shared / 32) this.#spare.push(bytes);
  }

  #drop(segment: number): void {
    this.bytes[segment] = noBytes;
    this.views[segment] = noView;
    this.#used[segment] = 0;
    this.#serials[segment] = 0;
    this.#freeNumbers.push(segment);
  }
}
