import { type ChangedConfiguration, emptyConfiguration, isJoint, membersOf } from './configuration.js';
import type { ConfState, NodeId } from './message.js';
import { Progress } from './progress.js';
import { committedIndex, type MatchIndexes, type VoteResult, voteResult } from './quorum.js';

/** Who is a member, how far each is, and how each voted. */
export class Tracker implements MatchIndexes {
  readonly #maxInflight: number;
  readonly #maxInflightBytes: number;
  #configuration: ConfState = emptyConfiguration;
  #progress: Map<NodeId, Progress> = new Map();
  /** The same progresses sorted by id, for loops that should not allocate and must not depend on history. */
  #sorted: readonly Progress[] = [];
  readonly #votes: Map<NodeId, boolean> = new Map();

  constructor(maxInflight: number, maxInflightBytes: number) {
    this.#maxInflight = maxInflight;
    this.#maxInflightBytes = maxInflightBytes;
  }

  get configuration(): ConfState {
    return this.#configuration;
  }

  /** All members' progresses, voters and learners, sorted by id. */
  get members(): readonly Progress[] {
    return this.#sorted;
  }

  get(id: NodeId): Progress | undefined {
    return this.#progress.get(id);
  }

  matchIndex(id: NodeId): number | undefined {
    return this.#progress.get(id)?.matchIndex;
  }

  get isJoint(): boolean {
    return isJoint(this.#configuration);
  }

  /** Whether `id` is a quorum by itself. */
  isOnlyVoter(id: NodeId): boolean {
    const { voters } = this.#configuration;
    return voters.length === 1 && voters[0] === id && !this.isJoint;
  }

  /** Takes a new configuration; members that stay keep their progress, new ones begin a probe at `lastIndex`. */
  switchTo(changed: ChangedConfiguration, lastIndex: number): void {
    const { configuration, left } = changed;
    const learners = new Set(configuration.learners);
    const progress = new Map<NodeId, Progress>();
    for (const id of membersOf(configuration)) {
      let member = left.has(id) ? undefined : this.#progress.get(id);
      if (member === undefined) {
        member = new Progress(id, Math.max(lastIndex, 1), false, this.#maxInflight, this.#maxInflightBytes);
        // A newcomer counts as heard from, or the next check of the quorum could cost the leader its place.
        member.recentActive = true;
      }
      member.isLearner = learners.has(id);
      progress.set(id, member);
    }
    this.#configuration = configuration;
    this.#progress = progress;
    this.#sorted = [...progress.values()];
  }

  /** Highest index stored at a quorum. */
  committed(): number {
    return committedIndex(this.#configuration.voters, this.#configuration.votersOutgoing, this);
  }

  /** Whether a quorum was heard from since the last check. */
  isQuorumActive(): boolean {
    const active = new Map<NodeId, boolean>();
    for (const member of this.#sorted) if (!member.isLearner) active.set(member.id, member.recentActive);
    return this.voteResult(active) === 'won';
  }

  /**
   * Whether the disks of a quorum have room for more log, as its leader `own` knows. Who is silent helps nobody, and so
   * counts as having none; who has not said yet leaves it open.
   */
  roomResult(own: NodeId, isOwnFull: boolean): VoteResult {
    const room = new Map<NodeId, boolean>();
    for (const { id, isLearner, isSilent, hasRoom } of this.#sorted) {
      if (isLearner) continue;
      const has = id === own ? !isOwnFull : isSilent ? false : hasRoom;
      if (has !== undefined) room.set(id, has);
    }
    return this.voteResult(room);
  }

  voteResult(votes: ReadonlyMap<NodeId, boolean>): VoteResult {
    return voteResult(this.#configuration.voters, this.#configuration.votersOutgoing, votes);
  }

  resetVotes(): void {
    this.#votes.clear();
  }

  /** The first vote of a node counts, repeats do not. */
  recordVote(id: NodeId, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  tallyVotes(): { readonly granted: number; readonly rejected: number; readonly result: VoteResult } {
    let granted = 0;
    let rejected = 0;
    for (const member of this.#sorted) {
      const vote = member.isLearner ? undefined : this.#votes.get(member.id);
      if (vote === true) granted++;
      else if (vote === false) rejected++;
    }
    return { granted, rejected, result: this.voteResult(this.#votes) };
  }
}
