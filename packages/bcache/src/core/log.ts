/** Updates of one origin as they travelled: consecutive sequence numbers and the bytes of their changes. */
export interface Batch {
  readonly origin: string;
  /** Sequence number of the first change; numbers start at 1. */
  readonly first: number;
  readonly count: number;
  /** The whole message that carries them, so that it can be sent again as it is. */
  readonly bytes: Uint8Array;
  /** Where in `bytes` the run of changes starts, as change-codec.ts draws it. */
  readonly runAt: number;
}

/**
 * Recent updates of every origin, kept so that any peer can serve what another missed. Bounded in bytes; the oldest to
 * arrive go first. Finding a sequence number is a binary search.
 */
export class UpdateLog {
  readonly #maxBytes: number;
  readonly #batches = new Map<string, Batch[]>();
  /** Arrival order, for the bound. Those before `#head` are gone. */
  #arrivals: Batch[] = [];
  #head = 0;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(batch: Batch): void {
    let batches = this.#batches.get(batch.origin);
    if (batches === undefined) {
      batches = [];
      this.#batches.set(batch.origin, batches);
    }
    const at = indexFrom(batches, batch.first);
    // The same batch can come from two peers; one copy is enough.
    if (batches[at] !== undefined && batches[at].first === batch.first && batches[at].count >= batch.count) return;
    batches.splice(at, 0, batch);
    this.#arrivals.push(batch);
    this.#bytes += batch.bytes.length + overheadBytes;
    while (this.#bytes > this.#maxBytes && this.#head < this.#arrivals.length) this.#dropOldest();
  }

  /** Lowest sequence number from which all up to `seen` can be served; `seen + 1` where none can. */
  reach(origin: string, seen: number): number {
    const batches = this.#batches.get(origin);
    if (batches === undefined) return seen + 1;
    let reach = seen + 1;
    for (let i = batches.length - 1; i >= 0; i--) {
      const batch = batches[i]!;
      if (batch.first + batch.count < reach) break;
      if (batch.first < reach) reach = batch.first;
    }
    return reach;
  }

  /** Batches that hold numbers from `from` to `to`, at most `maxBytes` of them, but one at least. */
  range(origin: string, from: number, to: number, maxBytes: number): Batch[] {
    const batches = this.#batches.get(origin) ?? [];
    const found: Batch[] = [];
    let bytes = 0;
    let at = Math.max(0, indexFrom(batches, from) - 1);
    for (; at < batches.length && batches[at]!.first <= to; at++) {
      const batch = batches[at]!;
      if (batch.first + batch.count <= from) continue;
      if (found.length > 0 && bytes + batch.bytes.length > maxBytes) break;
      found.push(batch);
      bytes += batch.bytes.length;
    }
    return found;
  }

  /** Forgets an origin that is gone. */
  forget(origin: string): void {
    const batches = this.#batches.get(origin);
    if (batches === undefined) return;
    const gone = new Set(batches);
    for (const batch of batches) this.#bytes -= batch.bytes.length + overheadBytes;
    this.#batches.delete(origin);
    this.#arrivals = this.#arrivals.slice(this.#head).filter((batch) => !gone.has(batch));
    this.#head = 0;
  }

  #dropOldest(): void {
    const batch = this.#arrivals[this.#head++]!;
    const batches = this.#batches.get(batch.origin)!;
    batches.splice(batches.indexOf(batch), 1);
    if (batches.length === 0) this.#batches.delete(batch.origin);
    this.#bytes -= batch.bytes.length + overheadBytes;
    if (this.#head > 1024 && this.#head * 2 > this.#arrivals.length) {
      this.#arrivals = this.#arrivals.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** What a batch costs beside its bytes, about. */
const overheadBytes = 128;

/** Index of the first batch whose `first` is at or above `sequence`. */
function indexFrom(batches: readonly Batch[], sequence: number): number {
  let low = 0;
  let high = batches.length;
  // Nearly always the batch belongs at the end.
  if (high > 0 && batches[high - 1]!.first < sequence) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (batches[middle]!.first < sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}
