import type { Clock } from '@dcache/base';
import { type Command, CommandType } from '@dcache/protocol';

/** How often reads are put into the log, in milliseconds. */
export const touchIntervalMs = 100;
/** Keys of one batch at most. */
export const touchBatchKeys = 256;
/** A batch is full once its keys take this many bytes; the last one may stand over by as much as a key has. */
export const touchBatchBytes = 65_536;

/** What the feed needs of the store: it may be another one after a snapshot, so it is asked for each time. */
export interface TouchSource {
  readonly store: { takeTouched(limit: number): Uint8Array[] };
}

/**
 * Tells the log what was read here, so that reads count for eviction and still every replica evicts the same (ADR 2).
 *
 * Every node does this for the reads it answers; a follower's batch goes to the leader like any write. Where only the
 * leader did, a key that clients read on followers alone would look unread and be thrown away. The store samples only
 * keys whose touch would change something, so a cache whose hot keys are marked costs no entries at all, and `fifo` and
 * `none` never do. One batch is under way at a time: what a slow log leaves is replaced in the sample, never queued.
 * A batch that is lost costs a little of the hit ratio and nothing else, so it is not sent again.
 */
export class TouchFeed {
  readonly #source: TouchSource;
  readonly #write: (command: Command) => Promise<unknown>;
  readonly #cancel: () => void;
  #isUnderWay = false;

  constructor(source: TouchSource, write: (command: Command) => Promise<unknown>, clock: Clock) {
    this.#source = source;
    this.#write = write;
    this.#cancel = clock.every(touchIntervalMs, () => this.#send());
  }

  stop(): void {
    this.#cancel();
  }

  #send(): void {
    if (this.#isUnderWay) return;
    const keys = this.#take();
    if (keys.length === 0) return;
    this.#isUnderWay = true;
    const done = (): void => {
      this.#isUnderWay = false;
    };
    this.#write({ type: CommandType.touch, keys }).then(done, done);
  }

  #take(): Uint8Array[] {
    const keys: Uint8Array[] = [];
    let bytes = 0;
    while (keys.length < touchBatchKeys && bytes < touchBatchBytes) {
      const [key] = this.#source.store.takeTouched(1);
      if (!key) break;
      keys.push(key);
      bytes += key.length;
    }
    return keys;
  }
}
