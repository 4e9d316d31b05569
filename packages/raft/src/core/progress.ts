import { Inflights } from './inflights.js';
import type { NodeId } from './message.js';

/**
 * How a leader sends to one member.
 *
 * - probe: where the logs meet is not known; one append at a time, until one is answered.
 * - replicate: it is known; appends are sent without waiting, as many as `inflights` allows.
 * - snapshot: what the member needs is compacted away; nothing is sent until a snapshot arrived.
 */
export const ProgressState = { probe: 0, replicate: 1, snapshot: 2 } as const;
export type ProgressState = (typeof ProgressState)[keyof typeof ProgressState];

/** A leader's view of one member's log. (Raft §5.3: nextIndex and matchIndex) */
export class Progress {
  readonly id: NodeId;
  readonly inflights: Inflights;
  isLearner: boolean;
  state: ProgressState = ProgressState.probe;
  /** Highest index known to be stored there. Invariant: matchIndex < nextIndex. */
  matchIndex = 0;
  /** Index of the next entry to send; in replicate, what is sent is taken as stored. */
  nextIndex: number;
  /** Last commit index sent; taken back where what it covers must be sent again. */
  sentCommit = 0;
  /** Index of the snapshot being sent, else 0. */
  pendingSnapshot = 0;
  /** Heard from since the last check of the quorum. */
  recentActive = false;
  /** Not heard from in the whole time between the last two checks of the quorum. */
  wasSilent = false;
  /** Whether its disk has room for more log, by its last answer to a heartbeat; undefined before the first. */
  hasRoom: boolean | undefined = undefined;
  /** No more appends until an answer to one, or to a heartbeat, comes. */
  appendPaused = false;

  constructor(id: NodeId, nextIndex: number, isLearner: boolean, maxInflight: number, maxInflightBytes: number) {
    this.id = id;
    this.nextIndex = nextIndex;
    this.isLearner = isLearner;
    this.inflights = new Inflights(maxInflight, maxInflightBytes);
  }

  /** Forgets everything, as a new term does. */
  reset(matchIndex: number, nextIndex: number): void {
    this.#enter(ProgressState.probe);
    this.matchIndex = matchIndex;
    this.nextIndex = nextIndex;
    this.sentCommit = 0;
    this.recentActive = false;
    this.wasSilent = false;
    this.hasRoom = undefined;
  }

  /** Silent for an election timeout at least. */
  get isSilent(): boolean {
    return this.wasSilent && !this.recentActive;
  }

  get isPaused(): boolean {
    return this.state === ProgressState.snapshot || this.appendPaused;
  }

  becomeProbe(): void {
    // A snapshot that arrived may not be in matchIndex yet: the member's answer is still on its way.
    const next =
      this.state === ProgressState.snapshot ? Math.max(this.matchIndex, this.pendingSnapshot) + 1 : this.matchIndex + 1;
    this.#enter(ProgressState.probe);
    this.nextIndex = next;
    this.sentCommit = Math.min(this.sentCommit, next - 1);
  }

  becomeReplicate(): void {
    this.#enter(ProgressState.replicate);
    this.nextIndex = this.matchIndex + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter(ProgressState.snapshot);
    this.pendingSnapshot = index;
    this.nextIndex = index + 1;
    this.sentCommit = index;
  }

  /** Notes that an append with `count` entries of `bytes` bytes and this commit index was sent. */
  sentAppend(count: number, bytes: number, commit: number): void {
    if (this.state === ProgressState.replicate) {
      if (count > 0) {
        this.nextIndex += count;
        this.inflights.add(this.nextIndex - 1, bytes);
      }
      // With a full pipe even an empty append is a probe: its answer must come before the next.
      this.appendPaused = this.inflights.isFull;
    } else if (count > 0) {
      this.appendPaused = true;
    }
    this.sentCommit = commit;
  }

  /** Whether telling this commit index could move the member's: not if what was sent covers all that it has. */
  canUseCommit(commit: number): boolean {
    return commit > this.sentCommit && this.sentCommit < this.nextIndex - 1;
  }

  /** The member has everything to `index`. False when that is old news. */
  acknowledge(index: number): boolean {
    if (index <= this.matchIndex) return false;
    this.matchIndex = index;
    this.nextIndex = Math.max(this.nextIndex, index + 1);
    this.appendPaused = false;
    return true;
  }

  /**
   * The member refused an append after `rejected`, and guesses that the logs meet at `hint` at the latest. False when
   * the refusal is old: a late or repeated message.
   */
  refuse(rejected: number, hint: number): boolean {
    if (this.state === ProgressState.replicate) {
      if (rejected <= this.matchIndex) return false;
      this.nextIndex = this.matchIndex + 1;
    } else {
      if (this.nextIndex - 1 !== rejected) return false;
      this.nextIndex = Math.max(Math.min(rejected, hint + 1), this.matchIndex + 1);
      this.appendPaused = false;
    }
    this.sentCommit = Math.min(this.sentCommit, this.nextIndex - 1);
    return true;
  }

  #enter(state: ProgressState): void {
    this.state = state;
    this.appendPaused = false;
    this.pendingSnapshot = 0;
    this.inflights.reset();
  }
}
