import type { SessionStamp } from '@dcache/protocol';
import { ClientError } from './errors.js';

/** The cluster keeps 4,096 answers of a session; a write that hangs keeps all that came after it. */
const window = 4_000;

/**
 * The numbers of a client's writes. The cluster remembers what it answered under each, so a write whose answer was lost
 * is sent again under its number, to whichever server, and applied once. (Thesis §6.3)
 */
export class Session {
  readonly #open: () => Promise<number>;
  readonly #maxPending: number;
  #opening: Promise<void> | undefined;
  /** 0 while none is open. */
  #id = 0;
  #sequence = 0;
  /** Sequences without an answer, lowest first: a Set keeps the order they came in. */
  #unanswered = new Set<number>();
  #pending = 0;

  /** `open` opens a session and gives its id. */
  constructor(open: () => Promise<number>, maxPending: number) {
    this.#open = open;
    this.#maxPending = maxPending;
  }

  /** The open session's id, 0 for none. */
  get id(): number {
    return this.#id;
  }

  /**
   * Runs `send` with the stamp of a new write, and with another one when `send` resolves with `again`: then the write was
   * certainly not applied under the first, because its session was gone. `inTime` bounds the wait for a session, which
   * all writes share. Rejects with `busy` beyond what may be pending.
   */
  async run<Result>(
    send: (stamp: SessionStamp) => Promise<Result | typeof again>,
    inTime: (opening: Promise<void>) => Promise<void> = (opening) => opening,
  ): Promise<Result> {
    if (this.#pending >= this.#maxPending)
      throw new ClientError('busy', `${this.#pending} writes of this client wait for an answer; try again in a moment`);
    this.#pending++;
    try {
      for (;;) {
        const stamp = await this.#begin(inTime);
        try {
          const result = await send(stamp);
          if (result !== again) return result;
          if (stamp.session === this.#id) this.#forget();
        } finally {
          if (stamp.session === this.#id) this.#unanswered.delete(stamp.sequence);
        }
      }
    } finally {
      this.#pending--;
    }
  }

  async #begin(inTime: (opening: Promise<void>) => Promise<void>): Promise<SessionStamp> {
    // When one write hangs for long, those that come next get another session, and it keeps its own.
    while (this.#id === 0 || this.#sequence + 1 - this.#lowest() >= window) {
      if (this.#id !== 0) this.#forget();
      this.#opening ??= this.#open()
        .then((id) => {
          this.#id = id;
        })
        .finally(() => {
          this.#opening = undefined;
        });
      await inTime(this.#opening);
    }
    const sequence = ++this.#sequence;
    this.#unanswered.add(sequence);
    return { session: this.#id, sequence, lowestUnanswered: this.#lowest() };
  }

  #lowest(): number {
    for (const sequence of this.#unanswered) return sequence;
    return this.#sequence + 1;
  }

  #forget(): void {
    this.#id = 0;
    this.#sequence = 0;
    this.#unanswered = new Set();
  }
}

/** What `send` gives where the session was gone before the write was ever applied. */
export const again: unique symbol = Symbol('again');
