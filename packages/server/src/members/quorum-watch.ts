import type { Clock, Logger } from '@dcache/base';
import type { ConfState } from '@dcache/raft';
import type { Identity } from '../state/directory.js';
import type { GossipMember } from './reconcile.js';

/** All that tells whether the members of a cluster, as they run now, can be a majority. */
export interface QuorumView {
  readonly confState: Pick<ConfState, 'voters' | 'votersOutgoing'>;
  readonly identityOf: (id: number) => Identity | undefined;
  readonly gossip: readonly Pick<GossipMember, 'name' | 'status' | 'raftId'>[];
}

/** Voters that were started again without their data, by name, and of how many. */
export interface LostVoters {
  readonly lost: readonly string[];
  readonly voters: number;
}

const noneLost: LostVoters = { lost: [], voters: 0 };

/**
 * The voters that were started again without their data, where so many were that the others are no majority; else none. Such a node is another member: it forgot its vote, so it may not return under the id that cast it. What is
 * only failed may come back and is not counted. (The Raft thesis, §3.8: votes must survive.)
 */
export function lostVoters({ confState, identityOf, gossip }: QuorumView): LostVoters {
  const nameOfLost = (id: number): string | undefined => {
    const name = identityOf(id)?.name;
    const isAnother = gossip.some((seen) => seen.name === name && seen.status === 'alive' && seen.raftId !== id);
    return isAnother && !gossip.some((seen) => seen.raftId === id) ? name : undefined;
  };
  // While the configuration changes, both majorities are needed.
  for (const voters of [confState.voters, confState.votersOutgoing]) {
    const lost = voters.map(nameOfLost).filter((name) => name !== undefined);
    if (lost.length > 0 && (voters.length - lost.length) * 2 <= voters.length)
      return { lost: lost.sort(), voters: voters.length };
  }
  return noneLost;
}

export interface QuorumWatchParts {
  /** What `lostVoters` gives now. */
  readonly look: () => LostVoters;
  readonly hasLeader: () => boolean;
  readonly cluster: () => string | undefined;
  /** Tells the pool whether this node holds data of a cluster that cannot elect. */
  readonly tell: (isLost: boolean) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often it is looked, in milliseconds. */
const intervalMs = 1_000;
/** How long it must have been so until it is said: a leader that is heard of late proves the configuration known here old. */
export const settleMs = 3_000;
/** How often it is said, as long as it is so, in milliseconds. */
export const sayAgainMs = 300_000;

/** A survivor says that its cluster has no majority as it runs now, because waiting, as it else would, helps nobody. */
export class QuorumWatch {
  readonly #parts: QuorumWatchParts;
  #stopTimer: (() => void) | undefined;
  #sinceMs: number | undefined;
  #saidMs: number | undefined;
  #fault: string | undefined;

  constructor(parts: QuorumWatchParts) {
    this.#parts = parts;
  }

  /** Why no leader can be elected, while that is so. */
  get fault(): string | undefined {
    return this.#fault;
  }

  start(): void {
    this.#stopTimer = this.#parts.clock.every(intervalMs, () => this.#look());
  }

  stop(): void {
    this.#stopTimer?.();
  }

  #look(): void {
    const { look, hasLeader, cluster, tell, clock, logger } = this.#parts;
    const { lost, voters } = hasLeader() ? noneLost : look();
    if (lost.length === 0) {
      if (this.#fault !== undefined) tell(false);
      this.#sinceMs = this.#saidMs = this.#fault = undefined;
      return;
    }
    const nowMs = clock.monotonicMs();
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs < settleMs) return;
    if (this.#fault === undefined) tell(true);
    const [were, their, them] = lost.length === 1 ? ['was', 'its', 'it'] : ['were', 'their', 'them'];
    this.#fault = `cluster ${cluster()} cannot elect a leader as it is: ${lost.join(', ')}, ${lost.length} of its ${voters} voters, ${were} started again without ${their} data (gossip knows ${them} under other Raft ids). Where that is still there, start them with its --data-dir. Where it is gone: save what this node holds before you stop it: "Lost quorum" in docs/operations.md`;
    if (this.#saidMs !== undefined && nowMs - this.#saidMs < sayAgainMs) return;
    this.#saidMs = nowMs;
    logger.error({ cluster: cluster(), lost }, this.#fault);
  }
}
