import type { Epochs } from './epochs.js';

const PAGE_SHIFT = 10;
const PAGE_IDS = 1 << PAGE_SHIFT;
/** Marks an id without a time in a narrow page. */
const NO_OFFSET = 0xffff_ffff;
/** Most milliseconds between the earliest and the latest time of a narrow page: 24.8 days. */
const MOST_SPAN_MS = 2 ** 31;

/** The times of 1,024 ids. Either `offsets` from `baseMs` or, where the times lie too far apart, `whole` ones. */
interface Page {
  baseMs: number;
  offsets: Uint32Array | undefined;
  /** Infinity for an id without a time. */
  whole: Float64Array | undefined;
  /** Ids with a time. */
  count: number;
  birth: number;
}

/**
 * When entries expire, by their ids: 4 bytes an id in pages whose times all lie within some 25 days, which is how
 * caches are used, and 8 bytes in others. Pages are allocated when first needed, and copied before a change when an
 * open view sees them. Moving a page's base, or widening it, takes one pass over its 1,024 ids; after that its times
 * have to move on by 12 days before it happens again.
 */
export class ExpiryTimes {
  readonly #epochs: Epochs;
  readonly #pages: (Page | undefined)[] = [];
  #allocatedBytes = 0;

  constructor(epochs: Epochs) {
    this.#epochs = epochs;
  }

  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** In milliseconds; Infinity for none. */
  read(id: number): number {
    return timeOf(this.#pages[id >>> PAGE_SHIFT], id & (PAGE_IDS - 1));
  }

  /** Changes a time and returns the one before; Infinity stands for none. */
  write(id: number, timeMs: number): number {
    const number = id >>> PAGE_SHIFT;
    const at = id & (PAGE_IDS - 1);
    const page = this.#own(number, timeMs);
    const before = timeOf(page, at);
    if (page.offsets !== undefined && timeMs !== Number.POSITIVE_INFINITY) {
      const offset = timeMs - page.baseMs;
      if (offset < 0 || offset >= NO_OFFSET) {
        page.offsets[at] = NO_OFFSET;
        this.#widen(page, timeMs);
      }
    }
    if (page.offsets !== undefined)
      page.offsets[at] = timeMs === Number.POSITIVE_INFINITY ? NO_OFFSET : timeMs - page.baseMs;
    else page.whole![at] = timeMs;
    page.count += Number(before === Number.POSITIVE_INFINITY) - Number(timeMs === Number.POSITIVE_INFINITY);
    // A page that was widened becomes narrow again when it is next needed.
    if (page.count === 0 && page.whole !== undefined) {
      this.#pages[number] = undefined;
      this.#allocatedBytes -= page.whole.byteLength;
    }
    return before;
  }

  /** The times as they are now: a function from an id to its time. */
  view(): (id: number) => number {
    const pages = this.#pages.slice();
    return (id) => timeOf(pages[id >>> PAGE_SHIFT], id & (PAGE_IDS - 1));
  }

  #own(number: number, timeMs: number): Page {
    const page = this.#pages[number];
    if (page !== undefined && page.birth > this.#epochs.newestView) return page;
    while (this.#pages.length < number) this.#pages.push(undefined);
    const birth = this.#epochs.current;
    const owned: Page =
      page !== undefined
        ? { ...page, offsets: page.offsets?.slice(), whole: page.whole?.slice(), birth }
        : { baseMs: baseFor(timeMs, timeMs), offsets: newOffsets(), whole: undefined, count: 0, birth };
    if (page === undefined) this.#allocatedBytes += PAGE_IDS * 4;
    this.#pages[number] = owned;
    return owned;
  }

  /** Makes a time fit that is out of the page's range. */
  #widen(page: Page, timeMs: number): void {
    const whole = new Float64Array(PAGE_IDS).fill(Number.POSITIVE_INFINITY);
    let [least, most] = [timeMs, timeMs];
    for (let at = 0; at < PAGE_IDS; at++) {
      const time = timeOf(page, at);
      whole[at] = time;
      if (time === Number.POSITIVE_INFINITY) continue;
      least = Math.min(least, time);
      most = Math.max(most, time);
    }
    if (most - least > MOST_SPAN_MS) {
      page.offsets = undefined;
      page.whole = whole;
      this.#allocatedBytes += PAGE_IDS * 4;
      return;
    }
    page.baseMs = baseFor(least, most);
    const offsets = page.offsets!;
    for (let at = 0; at < PAGE_IDS; at++)
      offsets[at] = whole[at] === Number.POSITIVE_INFINITY ? NO_OFFSET : whole[at]! - page.baseMs;
  }
}

/** A base that leaves as much room below the times as above. */
function baseFor(leastMs: number, mostMs: number): number {
  if (leastMs === Number.POSITIVE_INFINITY) return 0;
  return Math.max(0, leastMs - Math.floor((NO_OFFSET - (mostMs - leastMs)) / 2));
}

function newOffsets(): Uint32Array {
  return new Uint32Array(PAGE_IDS).fill(NO_OFFSET);
}

function timeOf(page: Page | undefined, at: number): number {
  if (page === undefined) return Number.POSITIVE_INFINITY;
  if (page.offsets === undefined) return page.whole![at]!;
  const offset = page.offsets[at]!;
  return offset === NO_OFFSET ? Number.POSITIVE_INFINITY : page.baseMs + offset;
}
