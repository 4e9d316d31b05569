import { assert, type Random } from '@dcache/base';

/**
 * Virtual time: a queue of things to do, taken in the order of their time and, at the same time, in the order in which
 * they were asked for. Nothing else moves time, so that a run takes as long as its work and replays to the byte.
 */
export class Scheduler {
  readonly random: Random;
  #nowMs = 0;
  #sequence = 0;
  /** A binary heap, the soonest first. */
  readonly #heap: Task[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Calls `run` in `delayMs`; the function returned cancels it. */
  after(delayMs: number, run: () => void): () => void {
    assert(delayMs >= 0, `a delay is 0 or more, got ${delayMs}`);
    const task: Task = { atMs: this.#nowMs + delayMs, sequence: this.#sequence++, run };
    this.#push(task);
    return () => {
      task.run = undefined;
    };
  }

  /** An integer from 0 up to, but not including, `bound`. */
  below(bound: number): number {
    return this.random.below(bound);
  }

  /** A time from `minMs` up to `maxMs`. */
  between(minMs: number, maxMs: number): number {
    return minMs + this.random.next() * (maxMs - minMs);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.random.next() < probability;
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, 'there is something to pick from');
    return items[this.below(items.length)]!;
  }

  /** Works until `endMs`; time stands there afterwards. Stops early, and says false, when `until` becomes true. */
  run(endMs: number, until: () => boolean = () => false): boolean {
    while (this.step(endMs)) if (until()) return false;
    return true;
  }

  /** Does the next thing that is due by `endMs`; false, with time standing there, when nothing is. */
  step(endMs: number): boolean {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= endMs; next = this.#heap[0]) {
      this.#pop();
      if (next.run === undefined) continue;
      this.#nowMs = next.atMs;
      next.run();
      return true;
    }
    this.#nowMs = endMs;
    return false;
  }

  #push(task: Task): void {
    const heap = this.#heap;
    let at = heap.push(task) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(task, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = task;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

interface Task {
  readonly atMs: number;
  readonly sequence: number;
  /** Undefined once cancelled. */
  run: (() => void) | undefined;
}

function isBefore(a: Task, b: Task): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
