import { claimLimit, takesChecksum } from './claims.js';
import {
  checksumBytes,
  compoundHeaderBytes,
  compoundPartBytes,
  maxCompoundParts,
  type SwimContext,
} from './context.js';
import { isUp, type NodeRecord } from './members.js';
import { type Endpoint, NodeState, type SwimMessage } from './message.js';

/**
 * Spreads what is queued: every gossip interval to a few random members, and on the back of every ping and ack
 * (SWIM §4.1). Once in a while it swaps the whole table with one member, which repairs what gossip missed.
 */
export class Gossip {
  readonly #context: SwimContext;
  readonly #gossipTo: (record: NodeRecord) => boolean;
  #stopped = false;

  constructor(context: SwimContext) {
    this.#context = context;
    const { self, timing } = context;
    this.#gossipTo = (record) =>
      record !== self &&
      (isUp(record) ||
        (record.state === NodeState.dead && context.nowMs - record.stateChangeMs < timing.gossipToTheDeadMs));
  }

  /** Begins both loops, each after a random part of its interval, so that a pool started at once is not in step. */
  start(): void {
    const { timers, random, timing, nowMs } = this.#context;
    timers.at(nowMs + random.next() * timing.gossipIntervalMs, () => this.#gossip());
    timers.at(nowMs + random.next() * timing.pushPullIntervalMs, () => this.#pushPull());
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Sends a direct message and fills the rest of its packet with queued ones. */
  sendDirect(to: Endpoint, message: SwimMessage): void {
    const { codec, effects } = this.#context;
    const messages: SwimMessage[] = [message];
    if (this.#hasQueued) {
      const budget = this.#budgetBytes - compoundPartBytes - codec.sizeOf(message);
      this.#take(messages, budget);
    }
    effects.send(to, messages, false);
  }

  /** Room for messages. Agents do not count the checksum, and so send 1405 bytes now and then. */
  get #budgetBytes(): number {
    return this.#context.timing.packetBytes - this.#context.packetOverheadBytes() - checksumBytes - compoundHeaderBytes;
  }

  get #hasQueued(): boolean {
    return this.#context.queue.length > 0 || this.#context.delegate.hasBroadcasts;
  }

  #gossip(): void {
    if (this.#stopped) return;
    const { timers, timing, nowMs, table, effects } = this.#context;
    timers.at(nowMs + timing.gossipIntervalMs, () => this.#gossip());
    if (!this.#hasQueued) return;
    for (const record of table.draw(timing.gossipNodes, this.#gossipTo)) {
      const messages: SwimMessage[] = [];
      this.#take(messages, this.#budgetBytes);
      if (messages.length === 0) return;
      effects.send(record, messages, takesChecksum(record));
    }
  }

  /** Claims first, the upper layer's messages in what room is left. */
  #take(into: SwimMessage[], budgetBytes: number): void {
    const { queue, delegate } = this.#context;
    const used = queue.take(into, budgetBytes, compoundPartBytes, claimLimit(this.#context), maxCompoundParts);
    if (delegate.hasBroadcasts) delegate.takeBroadcasts(into, budgetBytes - used, compoundPartBytes, maxCompoundParts);
  }

  #pushPull(): void {
    if (this.#stopped) return;
    const { timers, timing, nowMs, table, self, effects } = this.#context;
    timers.at(nowMs + timing.pushPullIntervalMs * pushPullScale(table.size), () => this.#pushPull());
    const [partner] = table.draw(1, (record) => record !== self && record.state === NodeState.alive);
    if (partner !== undefined) effects.pushPull({ to: endpointOf(partner), node: partner.name, join: false });
  }
}

/** Pools above 32 exchange more rarely: `ceil(log2 n - log2 32) + 1` intervals. */
export function pushPullScale(nodeCount: number): number {
  return nodeCount <= 32 ? 1 : Math.ceil(Math.log2(nodeCount) - Math.log2(32)) + 1;
}

/** The address alone, as it is now: a record's may change before the effect is carried out. */
export function endpointOf(record: Endpoint): Endpoint {
  return { addr: record.addr, port: record.port };
}
