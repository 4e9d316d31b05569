/** A call that is due at some time; keep it to cancel it. */
export interface Timer {
  readonly atMs: number;
  cancelled: boolean;
}

interface Entry extends Timer {
  atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/**
 * The core's own timers: a binary heap that somebody else's clock drives. Calls run in order of time, equal times in
 * order of scheduling, so that a run replays exactly. Scheduling and running cost O(log n), cancelling O(1).
 */
export class Timers {
  /** Invariant: every entry is due no earlier than its parent at (i - 1) >> 1. */
  readonly #heap: Entry[] = [];
  #order = 0;

  /** Time of the next call, or Infinity. A cancelled one may still count: a wake-up too early does no harm. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  at(atMs: number, run: () => void): Timer {
    const entry: Entry = { atMs, order: this.#order++, run, cancelled: false };
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
    return entry;
  }

  /** Runs all that is due at `nowMs`, including what the calls themselves schedule for no later than that. */
  run(nowMs: number): void {
    for (let top = this.#heap[0]; top !== undefined && top.atMs <= nowMs; top = this.#heap[0]) {
      this.#removeTop();
      if (!top.cancelled) top.run();
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
