import type { Clock } from '@dcache/base';
import type { ReplicatedLog } from './replicated-log.js';

/**
 * Waits for the next change of leader. Thousands of requests may wait through one election, so all of them share one
 * listener, which is there only while somebody waits.
 */
export class LeaderWait {
  readonly #log: Pick<ReplicatedLog, 'onLeaderChange'>;
  readonly #clock: Clock;
  readonly #waiting = new Set<(hasChanged: boolean) => void>();
  #stopListening: (() => void) | undefined;

  constructor(log: Pick<ReplicatedLog, 'onLeaderChange'>, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** True at the next change, false when there was none within `patienceMs`. */
  next(patienceMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (hasChanged: boolean): void => {
        cancel();
        this.#waiting.delete(done);
        if (this.#waiting.size === 0) {
          this.#stopListening?.();
          this.#stopListening = undefined;
        }
        resolve(hasChanged);
      };
      const cancel = this.#clock.after(patienceMs, () => done(false));
      this.#waiting.add(done);
      this.#stopListening ??= this.#log.onLeaderChange(() => {
        for (const one of [...this.#waiting]) one(true);
      });
    });
  }
}
