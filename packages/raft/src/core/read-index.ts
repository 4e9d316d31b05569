import type { NodeId } from './message.js';

/** One read that waits for a quorum to confirm the leader. */
export interface PendingRead {
  /** Who asked; the leader itself, or a follower that forwarded. */
  readonly from: NodeId;
  /** The asker's own number for it. */
  readonly context: number;
}

interface Round {
  readonly sequence: number;
  /** Commit index when the read came: what the reader must have applied. */
  readonly index: number;
  readonly read: PendingRead;
}

/** A read that may be answered. */
export interface ConfirmedRead extends PendingRead {
  readonly index: number;
}

/**
 * Linearizable reads at a leader. (Thesis §6.4)
 *
 * 1. The commit index is noted when the read comes, and the read gets the next sequence number.
 * 2. A heartbeat with that number goes to all. Who answers with it, or a higher one, still took us for the leader of
 *    this term after the read came; so once a quorum answered, nobody else can have led and committed before.
 * 3. All reads up to the number that a quorum answered are confirmed together.
 *
 * Sequence numbers are the leader's own, and an instance lives for one term, so that no answer to an earlier request,
 * term or leader can be taken for one to this, whatever numbers the askers use. Invariant: sequences rise in `#queue`.
 */
export class ReadIndexQueue {
  #queue: Round[] = [];
  #sequence = 0;
  /** Highest sequence that each member has confirmed. */
  readonly #confirmed: Map<NodeId, number> = new Map();

  get length(): number {
    return this.#queue.length;
  }

  /** Sequence of the newest read that waits, for every heartbeat to carry; 0 when none waits. */
  get lastSequence(): number {
    return this.#queue.length === 0 ? 0 : this.#sequence;
  }

  add(index: number, read: PendingRead): number {
    this.#sequence++;
    this.#queue.push({ sequence: this.#sequence, index, read });
    return this.#sequence;
  }

  confirm(id: NodeId, sequence: number): void {
    if (sequence > (this.#confirmed.get(id) ?? 0)) this.#confirmed.set(id, Math.min(sequence, this.#sequence));
  }

  /** Takes out the reads that were confirmed up to `sequence`. */
  takeTo(sequence: number): readonly ConfirmedRead[] {
    let count = 0;
    while (count < this.#queue.length && this.#queue[count]!.sequence <= sequence) count++;
    return this.#queue.splice(0, count).map(({ index, read: { from, context } }) => ({ index, from, context }));
  }

  /** What `confirm` was told of a member. */
  matchIndex(id: NodeId): number {
    return this.#confirmed.get(id) ?? 0;
  }
}
