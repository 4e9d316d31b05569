import type { Epochs } from './epochs.js';

/** Numbers of one page: 1,024 rows. */
const PAGE_SHIFT = 10;
const PAGE_ROWS = 1 << PAGE_SHIFT;

/**
 * Rows of unsigned 32-bit numbers, addressed by entry id, in pages that are allocated when first needed and copied
 * before a write when an open view sees them (copy on write). A row begins at `at(id)` of its page.
 *
 * Cost of a view: one array of references when it opens, then one copy of each page written while it is open.
 */
export class Pages {
  readonly #epochs: Epochs;
  readonly #stride: number;
  #pages: (Uint32Array | undefined)[] = [];
  #births: number[] = [];
  #count = 0;

  constructor(stride: number, epochs: Epochs) {
    this.#stride = stride;
    this.#epochs = epochs;
  }

  get allocatedBytes(): number {
    return this.#count * PAGE_ROWS * this.#stride * 4;
  }

  /** Where the row of `id` begins in its page. */
  at(id: number): number {
    return (id & (PAGE_ROWS - 1)) * this.#stride;
  }

  /** The page of `id`, only to read; it must exist. Valid until the next `write`. */
  read(id: number): Uint32Array {
    return this.#pages[id >>> PAGE_SHIFT]!;
  }

  /** The page of `id`, to write; allocated or copied when needed. Valid until the next `write` or view. */
  write(id: number): Uint32Array {
    const number = id >>> PAGE_SHIFT;
    const page = this.#pages[number];
    if (page !== undefined && this.#births[number]! > this.#epochs.newestView) return page;
    return this.#own(number, page);
  }

  /** References to all pages as they are; what is written while the view is open goes to copies. */
  view(): readonly (Uint32Array | undefined)[] {
    return this.#pages.slice();
  }

  #own(number: number, seen: Uint32Array | undefined): Uint32Array {
    while (this.#pages.length < number) {
      this.#pages.push(undefined);
      this.#births.push(0);
    }
    const page = seen?.slice() ?? new Uint32Array(PAGE_ROWS * this.#stride);
    if (seen === undefined) this.#count++;
    this.#pages[number] = page;
    this.#births[number] = this.#epochs.current;
    return page;
  }
}

/** The page of `id` among the pages of a view. */
export function pageOf(pages: readonly (Uint32Array | undefined)[], id: number): Uint32Array {
  return pages[id >>> PAGE_SHIFT]!;
}
