/**
 * Virtual time and a network that loses, delays and lets processes starve; as fast as it can be, since an hour of a
 * pool of a hundred is some ten million messages. Calls are kept in a ring of one-millisecond places, so that putting
 * one in and taking it out cost the same however many there are.
 */
export class VirtualTime {
  static readonly #places = 1 << 17;
  readonly #ring: ((() => void)[] | undefined)[] = new Array<undefined>(VirtualTime.#places).fill(undefined);
  #nowMs = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Calls `run` after so many whole milliseconds, at least one, less than 131 072. */
  after(delayMs: number, run: () => void): void {
    const delay = Math.max(1, Math.ceil(delayMs));
    if (delay >= VirtualTime.#places) throw new RangeError(`a delay of ${delay} ms does not fit the ring`);
    const place = (this.#nowMs + delay) & (VirtualTime.#places - 1);
    const calls = this.#ring[place];
    if (calls === undefined) this.#ring[place] = [run];
    else calls.push(run);
  }

  /** Lets time pass. Stops early when `until` says so, asked after each millisecond in which something happened. */
  run(durationMs: number, until?: () => boolean): void {
    const endMs = this.#nowMs + durationMs;
    while (this.#nowMs < endMs) {
      this.#nowMs++;
      const place = this.#nowMs & (VirtualTime.#places - 1);
      const calls = this.#ring[place];
      if (calls === undefined) continue;
      this.#ring[place] = undefined;
      for (const call of calls) call();
      if (until?.()) return;
    }
  }
}
