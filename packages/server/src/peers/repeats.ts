import type { Clock } from '@dcache/base';

/** How long a line that was said is not said again, in milliseconds. */
export const repeatAfterMs = 60_000;
/** Lines that are said in that time; more are left out, so that what a stranger makes up cannot fill the log either. */
const maxLines = 64;

/** Keeps a fault that comes back every second from filling the log: each is said once a minute. */
export class Repeats {
  readonly #clock: Clock;
  /** When each was said, the oldest first. */
  readonly #saidMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it is time to say `line`; then it counts as said. */
  isNew(line: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const saidMs = this.#saidMs.get(line);
    if (saidMs !== undefined && nowMs - saidMs < repeatAfterMs) return false;
    for (const [old, atMs] of this.#saidMs) {
      if (nowMs - atMs < repeatAfterMs) break;
      this.#saidMs.delete(old);
    }
    if (this.#saidMs.size >= maxLines) return false;
    this.#saidMs.set(line, nowMs);
    return true;
  }
}
