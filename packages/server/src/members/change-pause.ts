import type { RaftStatus } from '@dcache/raft';

/** A moment in the life of the log: what keeps a change out is over when this moves. */
type Place = Pick<RaftStatus, 'term' | 'appliedIndex'>;

/** In intervals of the comparison, a quarter of a second each: so the longest is five seconds. */
const firstPause = 1;
const longestPause = 20;

/**
 * When a membership change is tried again that an earlier one keeps out, or of which nobody knows what became. It waits
 * twice as long each time while the log stands still, and not at all once an entry was applied or another term began.
 */
export class ChangePause {
  /** Intervals, of the pause that was last begun and of what is left of it. */
  #length = 0;
  #left = 0;
  #place: Place | undefined;

  /** The change could not be made, as of `place`. */
  begin({ term, appliedIndex }: Place): void {
    this.#length = this.#isAt({ term, appliedIndex }) ? Math.min(2 * this.#length, longestPause) : firstPause;
    this.#left = this.#length;
    this.#place = { term, appliedIndex };
  }

  /** An interval went by. */
  tick(): void {
    if (this.#left > 0) this.#left--;
  }

  lasts(place: Place): boolean {
    return this.#left > 0 && this.#isAt(place);
  }

  #isAt({ term, appliedIndex }: Place): boolean {
    return this.#place?.term === term && this.#place.appliedIndex === appliedIndex;
  }
}
