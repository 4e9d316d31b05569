import type { Scheduler } from './scheduler.js';

/** How bad the network is; each message draws for itself, so that delays of different length reorder. */
export interface NetworkQuality {
  /** Share of messages that never arrive. */
  readonly loss: number;
  /** Share of messages that arrive twice. */
  readonly duplication: number;
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  /** Share of messages that take ten times as long. */
  readonly stragglers: number;
}

export const goodNetwork: NetworkQuality = { loss: 0, duplication: 0, minDelayMs: 1, maxDelayMs: 3, stragglers: 0 };

/** What became of a message at the moment of sending; a copy that arrives is told to `deliver`. */
export type SendOutcome = 'sent' | 'lost' | 'blocked';

/**
 * Links between nodes that lose, delay, reorder and duplicate, and that can be cut in one direction or in both. A
 * message under way when its link is cut is lost with it.
 */
export class Network<Message> {
  quality: NetworkQuality = goodNetwork;
  readonly #scheduler: Scheduler;
  readonly #deliver: (from: number, to: number, message: Message) => void;
  /** Cut links as `from>to`. */
  readonly #cut = new Set<string>();

  constructor(scheduler: Scheduler, deliver: (from: number, to: number, message: Message) => void) {
    this.#scheduler = scheduler;
    this.#deliver = deliver;
  }

  /** Cuts the link in this direction only. */
  cut(from: number, to: number): void {
    this.#cut.add(`${from}>${to}`);
  }

  /** Cuts all links between the groups, in both directions. */
  partition(one: readonly number[], other: readonly number[]): void {
    for (const a of one) {
      for (const b of other) {
        this.cut(a, b);
        this.cut(b, a);
      }
    }
  }

  /** Restores all links. */
  heal(): void {
    this.#cut.clear();
  }

  isCut(from: number, to: number): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  send(from: number, to: number, message: Message): SendOutcome {
    if (this.isCut(from, to)) return 'blocked';
    if (this.#scheduler.chance(this.quality.loss)) return 'lost';
    this.#schedule(from, to, message);
    if (this.#scheduler.chance(this.quality.duplication)) this.#schedule(from, to, message);
    return 'sent';
  }

  #schedule(from: number, to: number, message: Message): void {
    const { minDelayMs, maxDelayMs, stragglers } = this.quality;
    const delayMs = this.#scheduler.between(minDelayMs, maxDelayMs) * (this.#scheduler.chance(stragglers) ? 10 : 1);
    this.#scheduler.after(delayMs, () => {
      if (!this.isCut(from, to)) this.#deliver(from, to, message);
    });
  }
}
