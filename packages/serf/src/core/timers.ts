/** A call that is due at some time; keep it to cancel it. */
export interface Timer {
  readonly atMs: number;
}

interface Entry extends Timer {
  readonly order: number;
  /** Undefined once it was cancelled or has run. */
  run: (() => void) | undefined;
}

/** Cancelled entries are swept out when they are more than this and more than half of all. */
const sweepAbove = 256;

/**
 * The core's own timers: a binary heap that somebody else's clock drives. Calls run in order of time, equal times in
 * order of scheduling, so that a run replays exactly. Scheduling and running cost O(log n), cancelling O(1) on average;
 * memory is in proportion to the calls that are not cancelled.
 */
export class Timers {
  /** What time it is: all parts of a core read it here. The core sets it at the beginning of each call. */
  nowMs: number;
  /** Invariant: every entry is due no earlier than its parent at (i - 1) >> 1. */
  #heap: Entry[] = [];
  #order = 0;
  #cancelled = 0;

  constructor(nowMs = 0) {
    this.nowMs = nowMs;
  }

  /** Time of the next call, or Infinity. A cancelled one may still count: a wake-up too early does no harm. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** Calls that are kept, with some cancelled ones among them. */
  get size(): number {
    return this.#heap.length;
  }

  at(atMs: number, run: () => void): Timer {
    const entry: Entry = { atMs, order: this.#order++, run };
    this.#push(entry);
    return entry;
  }

  /** Calls `run` when so many milliseconds have passed from now, and then always again. */
  every(intervalMs: number, run: () => void): void {
    const again = (): void => {
      this.at(this.nowMs + intervalMs, again);
      run();
    };
    this.at(this.nowMs + intervalMs, again);
  }

  /** The call is not made any more; one that was made already is left alone. */
  cancel(timer: Timer | undefined): void {
    const entry = timer as Entry | undefined;
    if (entry?.run === undefined) return;
    entry.run = undefined;
    this.#cancelled++;
    if (this.#cancelled <= sweepAbove || this.#cancelled <= this.#heap.length / 2) return;
    const kept = this.#heap.filter((one) => one.run !== undefined);
    this.#heap = [];
    this.#cancelled = 0;
    for (const one of kept) this.#push(one);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    heap.push(entry);
    let index = heap.length - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = entry;
  }

  /** Runs all that is due at `nowMs`, including what the calls themselves schedule for no later than that. */
  run(nowMs: number): void {
    for (let top = this.#heap[0]; top !== undefined && top.atMs <= nowMs; top = this.#heap[0]) {
      this.#removeTop();
      const { run } = top;
      if (run === undefined) this.#cancelled--;
      top.run = undefined;
      run?.();
    }
  }

  #removeTop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
