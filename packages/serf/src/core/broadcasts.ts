import type { SwimMessage } from './message.js';

/** One message that waits to be gossiped. */
export interface Broadcast {
  readonly message: SwimMessage;
  /** Bytes of the message in a packet. */
  readonly sizeBytes: number;
  /** Claims about the same subject replace one another; undefined never does. */
  readonly subject: string | undefined;
  /** Called once, when the message was sent often enough or was replaced or pruned. */
  readonly done: (() => void) | undefined;
  readonly order: number;
  transmits: number;
}

const smallestBytes = 16;

/** Times each message is sent: `mult · ceil(log10(n + 1))` (SWIM §4.1: O(log n) makes all hear it). */
export function transmitLimit(retransmitMult: number, nodeCount: number): number {
  return retransmitMult * Math.ceil(Math.log10(nodeCount + 1));
}

/**
 * Messages waiting for a free place in a packet. Taken first is what was sent least often, of those the longest that
 * fits, of those the newest. Held as one sorted list per number of transmissions, so that a take touches little more
 * than what it returns. Bounded by `prune` for the upper layer and by one claim per member for the lower one.
 */
export class BroadcastQueue {
  /** Invariant: `#tiers[t]` holds broadcasts with `transmits === t`, longest first, newest first among equals. */
  readonly #tiers: Broadcast[][] = [];
  readonly #bySubject = new Map<string, Broadcast>();
  #length = 0;
  #order = 0;

  get length(): number {
    return this.#length;
  }

  /** Whether a claim about the subject still waits. */
  holds(subject: string): boolean {
    return this.#bySubject.has(subject);
  }

  add(message: SwimMessage, sizeBytes: number, subject?: string, done?: () => void): void {
    if (subject !== undefined) {
      const older = this.#bySubject.get(subject);
      if (older !== undefined) this.#drop(older);
    }
    const broadcast: Broadcast = { message, sizeBytes, subject, done, order: this.#order++, transmits: 0 };
    if (subject !== undefined) this.#bySubject.set(subject, broadcast);
    this.#insert(broadcast);
    this.#length++;
  }

  /**
   * Appends to `into` what fits into `budgetBytes`, each message costing `overheadBytes` more, and returns the bytes
   * used. Each message taken counts as sent once and is forgotten after `limit` times.
   */
  take(into: SwimMessage[], budgetBytes: number, overheadBytes: number, limit: number, maxMessages: number): number {
    let used = 0;
    if (this.#length === 0) return used;
    const taken: Broadcast[] = [];
    // No message is smaller than this, so a packet this full takes no more.
    for (let t = 0; t < this.#tiers.length && used + smallestBytes <= budgetBytes; t++) {
      const tier = this.#tiers[t]!;
      if (tier.length === 0) continue;
      let kept = 0;
      for (let i = 0; i < tier.length; i++) {
        const broadcast = tier[i]!;
        const cost = broadcast.sizeBytes + overheadBytes;
        if (used + cost <= budgetBytes && into.length < maxMessages) {
          used += cost;
          into.push(broadcast.message);
          taken.push(broadcast);
        } else tier[kept++] = broadcast;
      }
      if (kept === 0) this.#tiers[t] = [];
      else if (kept < tier.length) tier.length = kept;
    }
    for (const broadcast of taken) {
      broadcast.transmits++;
      if (broadcast.transmits < limit) this.#insert(broadcast);
      else this.#forget(broadcast);
    }
    return used;
  }

  /** Forgets the most often sent, then the oldest, until at most `maxLength` are left; returns how many it forgot. */
  prune(maxLength: number): number {
    let pruned = 0;
    for (let t = this.#tiers.length - 1; t >= 0 && this.#length > maxLength; t--) {
      const tier = this.#tiers[t]!;
      while (tier.length > 0 && this.#length > maxLength) {
        let oldest = 0;
        for (let i = 1; i < tier.length; i++) if (tier[i]!.order < tier[oldest]!.order) oldest = i;
        this.#drop(tier[oldest]!);
        pruned++;
      }
    }
    return pruned;
  }

  #insert(broadcast: Broadcast): void {
    while (this.#tiers.length <= broadcast.transmits) this.#tiers.push([]);
    const place = this.#place(broadcast);
    const tier = this.#tiers[broadcast.transmits]!;
    if (place === tier.length) tier.push(broadcast);
    else tier.splice(place, 0, broadcast);
  }

  /** Where the broadcast is in its tier, or belongs. */
  #place(broadcast: Broadcast): number {
    const tier = this.#tiers[broadcast.transmits]!;
    let low = 0;
    let high = tier.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (comesFirst(tier[middle]!, broadcast)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #drop(broadcast: Broadcast): void {
    this.#tiers[broadcast.transmits]!.splice(this.#place(broadcast), 1);
    this.#forget(broadcast);
  }

  #forget(broadcast: Broadcast): void {
    if (broadcast.subject !== undefined && this.#bySubject.get(broadcast.subject) === broadcast)
      this.#bySubject.delete(broadcast.subject);
    this.#length--;
    broadcast.done?.();
  }
}

function comesFirst(a: Broadcast, b: Broadcast): boolean {
  return a.sizeBytes > b.sizeBytes || (a.sizeBytes === b.sizeBytes && a.order > b.order);
}
