/** Something that happens at some millisecond; a list of them hangs on each place of the ring. */
interface Call {
  readonly run: () => void;
  next: Call | undefined;
}

/**
 * Virtual time, as fast as it can be, since an hour of a pool of a hundred is some seven million datagrams. Calls hang
 * on a ring of one-millisecond places in the order in which they were made, so that putting one in and taking it out
 * cost the same however many there are.
 */
export class VirtualTime {
  static readonly #places = 1 << 17;
  readonly #first: (Call | undefined)[] = new Array<undefined>(VirtualTime.#places).fill(undefined);
  readonly #last: (Call | undefined)[] = new Array<undefined>(VirtualTime.#places).fill(undefined);
  #nowMs = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Calls `run` after so many whole milliseconds, at least one, less than 131 072. */
  after(delayMs: number, run: () => void): void {
    const delay = Math.max(1, Math.ceil(delayMs));
    if (delay >= VirtualTime.#places) throw new RangeError(`a delay of ${delay} ms does not fit the ring`);
    const place = (this.#nowMs + delay) & (VirtualTime.#places - 1);
    const call: Call = { run, next: undefined };
    const last = this.#last[place];
    if (last === undefined) this.#first[place] = call;
    else last.next = call;
    this.#last[place] = call;
  }

  /** Lets time pass. Stops early when `until` says so, asked after each millisecond in which something happened. */
  run(durationMs: number, until?: () => boolean): void {
    const endMs = this.#nowMs + durationMs;
    while (this.#nowMs < endMs) {
      this.#nowMs++;
      const place = this.#nowMs & (VirtualTime.#places - 1);
      let call = this.#first[place];
      if (call === undefined) continue;
      this.#first[place] = undefined;
      this.#last[place] = undefined;
      for (; call !== undefined; call = call.next) call.run();
      if (until?.()) return;
    }
  }
}
