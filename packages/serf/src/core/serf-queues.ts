import { BroadcastQueue, transmitLimit } from './broadcasts.js';
import type { Timing } from './config.js';
import type { MessageCodec } from './context.js';
import type { SerfMessage, SwimMessage, User } from './message.js';

/** The upper layer's three queues: intents go before queries, queries before events. */
export class SerfQueues {
  readonly intents: BroadcastQueue = new BroadcastQueue();
  readonly queries: BroadcastQueue = new BroadcastQueue();
  readonly events: BroadcastQueue = new BroadcastQueue();
  readonly #codec: MessageCodec;
  readonly #timing: Timing;

  constructor(codec: MessageCodec, timing: Timing) {
    this.#codec = codec;
    this.#timing = timing;
  }

  get isEmpty(): boolean {
    return this.intents.length === 0 && this.queries.length === 0 && this.events.length === 0;
  }

  add(queue: BroadcastQueue, body: SerfMessage, raw?: Uint8Array, done?: () => void): void {
    const message: User = raw === undefined ? { type: 'user', body } : { type: 'user', body, raw };
    queue.add(message, this.#codec.sizeOf(message), undefined, done);
    // Checked here too, not only on a timer: a flood must not grow the queue between two checks.
    if (queue.length > 2 * this.#timing.maxQueueDepth) queue.prune(this.#timing.maxQueueDepth);
  }

  take(into: SwimMessage[], budgetBytes: number, overheadBytes: number, maxMessages: number, members: number): void {
    const limit = transmitLimit(this.#timing.retransmitMult, members);
    let left = budgetBytes;
    left -= this.intents.take(into, left, overheadBytes, limit, maxMessages);
    left -= this.queries.take(into, left, overheadBytes, limit, maxMessages);
    this.events.take(into, left, overheadBytes, limit, maxMessages);
  }

  prune(): void {
    for (const queue of [this.intents, this.queries, this.events]) queue.prune(this.#timing.maxQueueDepth);
  }
}
