/** Where an entry lies on disk. */
export interface EntryPlace {
  readonly term: number;
  /** Sequence of its segment, 0 while it is not written. */
  readonly segment: number;
  /** Of its record in that file, in bytes. */
  readonly position: number;
  readonly length: number;
}

const stride = 5;

/**
 * Terms and places of all entries of a log, and the place before them; five numbers an entry, so that a log much larger
 * than the memory for its entries can be kept. An array with a moving head.
 *
 * Invariant: entry `firstIndex + i` has its numbers at `#head + i * stride`: term, segment, position, length, weight.
 */
export class EntryPlaces {
  #numbers: number[] = [];
  #head = 0;
  #beforeIndex = 0;
  #beforeTerm = 0;
  #sizeBytes = 0;

  get firstIndex(): number {
    return this.#beforeIndex + 1;
  }

  get lastIndex(): number {
    return this.#beforeIndex + (this.#numbers.length - this.#head) / stride;
  }

  /** Weight of all entries. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Term at `index`, from `firstIndex - 1` to `lastIndex`. */
  term(index: number): number | undefined {
    if (index === this.#beforeIndex) return this.#beforeTerm;
    return index < this.#beforeIndex ? undefined : this.#numbers[this.#at(index)];
  }

  /** Only for an index from `firstIndex` to `lastIndex`. */
  get(index: number): EntryPlace {
    const at = this.#at(index);
    const [term, segment, position, length] = this.#numbers.slice(at, at + 4);
    return { term: term!, segment: segment!, position: position!, length: length! };
  }

  /** Adds an entry that is not written yet, replacing what has its index or a higher one. `index` leaves no gap. */
  append(index: number, term: number, weight: number): void {
    this.#truncateFrom(index);
    this.#numbers.push(term, 0, 0, 0, weight);
    this.#sizeBytes += weight;
  }

  /** The entry at `index` was written. */
  place(index: number, segment: number, position: number, length: number): void {
    const at = this.#at(index);
    this.#numbers[at + 1] = segment;
    this.#numbers[at + 2] = position;
    this.#numbers[at + 3] = length;
  }

  /** Empty, beginning after `index`. */
  reset(index: number, term: number): void {
    this.#numbers = [];
    this.#head = 0;
    this.#beforeIndex = index;
    this.#beforeTerm = term;
    this.#sizeBytes = 0;
  }

  /** Gives up entries up to `index`, which is at most `lastIndex`. */
  compact(index: number): void {
    if (index <= this.#beforeIndex) return;
    this.#beforeTerm = this.term(index)!;
    for (; this.#beforeIndex < index; this.#beforeIndex++) {
      this.#sizeBytes -= this.#numbers[this.#head + 4]!;
      this.#head += stride;
    }
    if (this.#head > 1024 * stride && this.#head * 2 > this.#numbers.length) {
      this.#numbers = this.#numbers.slice(this.#head);
      this.#head = 0;
    }
  }

  /** As `LogStorage.firstIndexWithin`. */
  firstIndexWithin(maxBytes: number): number {
    let bytes = this.#sizeBytes;
    let at = this.#head;
    for (; bytes > maxBytes && at < this.#numbers.length; at += stride) bytes -= this.#numbers[at + 4]!;
    return this.#beforeIndex + 1 + (at - this.#head) / stride;
  }

  #at(index: number): number {
    return this.#head + (index - this.#beforeIndex - 1) * stride;
  }

  #truncateFrom(index: number): void {
    const from = this.#at(index);
    for (let at = from; at < this.#numbers.length; at += stride) this.#sizeBytes -= this.#numbers[at + 4]!;
    if (from < this.#numbers.length) this.#numbers.length = from;
  }
}
