import { assert } from '@dcache/base';
import { emptyConfiguration, restoreConfiguration } from './configuration.js';
import { RaftLog } from './log.js';
import {
  type ConfState,
  type Entry,
  type HardState,
  type Message,
  MessageType,
  makeAcknowledgement,
  makeAppend,
  makeMessage,
  type NodeId,
  noNode,
  type ReadState,
  Role,
} from './message.js';
import type { ResolvedOptions } from './options.js';
import { type PendingRead, ReadIndexQueue } from './read-index.js';
import type { Trace } from './trace.js';
import { Tracker } from './tracker.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * The variables of one node (Raft figure 2, "State") and what every role does with them: fall back to follower, and
 * send. What a role does is in `election.ts`, `leader.ts` and `follower.ts`, what the log and the members do to it in
 * `replication.ts`, `read.ts` and `membership.ts`: functions of this state, so that each file is one idea.
 */
export class RaftState {
  readonly id: NodeId;
  readonly options: ResolvedOptions;
  readonly trace: Trace | undefined;
  readonly log: RaftLog;
  tracker: Tracker;
  /** Latest term seen; never falls. */
  term = 0;
  /** Whom this node voted for in `term`. */
  vote: NodeId = noNode;
  role: Role = Role.follower;
  /** Who leads `term`, as far as known. */
  leader: NodeId = noNode;
  /** Whom a leader is handing over to: no proposals are taken meanwhile. */
  leadTransferee: NodeId = noNode;
  /** Ticks since the election timeout began: since the leader was heard or, at a leader, the quorum checked. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  /** Ticks since a leader was heard, or led here. */
  leaderlessTicks = 0;
  /** Whether the disk has no room for more log, as the driver says. */
  isFull = false;
  /** Drawn anew for every term, so that candidates do not collide for ever. (Raft §5.2) */
  randomizedElectionTicks = 0;
  /**
   * Index of the newest configuration change in a leader's log, or above: while it is not applied, no other is taken.
   * A new leader starts with its log's end, because any entry of an earlier term may be a change. This is what keeps
   * Ongaro's counterexample of 2015 away: two changes of different leaders cannot both be under way, since each is
   * committed by a majority of the configuration before it, and none counts before it is applied.
   */
  pendingConfIndex = 0;
  /** Index of the snapshot that the members were last taken from: changes up to it are made. */
  restoredIndex = 0;
  /** The members as of what is applied; the tracker is ahead of it while a snapshot is on its way to disk. */
  appliedMembers: ConfState = emptyConfiguration;
  /** Payload bytes of a leader's entries that are not applied yet. */
  uncommittedBytes = 0;
  reads: ReadIndexQueue = new ReadIndexQueue();
  /** Reads that came before this leader had committed in its term. */
  waitingReads: PendingRead[] = [];
  readStates: ReadState[] = [];
  /** May leave at once. */
  messages: Message[] = [];
  /** Rest on what is not durable yet: the term, a vote, entries. */
  messagesAfterAppend: Message[] = [];

  constructor(options: ResolvedOptions) {
    this.id = options.id;
    this.options = options;
    this.trace = options.trace;
    this.log = new RaftLog(options.storage, options.maxCommittedSizePerReady, options.trace);
    this.tracker = this.newTracker();
  }

  get hardState(): HardState {
    return { term: this.term, vote: this.vote, commit: this.log.committed };
  }

  /** Members without anything known about them. */
  newTracker(): Tracker {
    return new Tracker(this.options.maxInflightMessages, this.options.maxInflightBytes);
  }

  /** Gives an empty tracker the configuration of a snapshot. */
  restoreMembers(confState: ConfState): void {
    const configuration = restoreConfiguration(confState);
    this.tracker.switchTo({ configuration, left: new Set() }, this.log.lastIndex);
  }

  /** Whether this node may stand for election: a voter, and not about to be replaced by a snapshot. */
  get isPromotable(): boolean {
    const own = this.tracker.get(this.id);
    return own !== undefined && !own.isLearner && this.log.unstable.snapshot === undefined;
  }

  becomeFollower(term: number, leader: NodeId): void {
    this.reset(term);
    this.role = Role.follower;
    this.leader = leader;
    this.trace?.({ kind: 'role-changed', role: Role.follower, term });
  }

  /** Begins `term` with nothing known of anyone. */
  reset(term: number): void {
    assert(term >= this.term && term < 2 ** 53, `term ${term} is below ${this.term} or past 2^53`);
    if (term !== this.term) {
      this.term = term;
      this.vote = noNode;
    }
    this.leader = noNode;
    this.leadTransferee = noNode;
    this.electionElapsed = 0;
    this.heartbeatElapsed = 0;
    const ticks = this.options.electionTicks;
    this.randomizedElectionTicks = ticks + this.options.random.below(ticks);
    this.tracker.resetVotes();
    const lastIndex = this.log.lastIndex;
    for (const member of this.tracker.members) member.reset(member.id === this.id ? lastIndex : 0, lastIndex + 1);
    this.pendingConfIndex = 0;
    this.uncommittedBytes = 0;
    // The asker learns nothing: it asks again after a time, of the next leader.
    this.reads = new ReadIndexQueue();
    this.waitingReads = [];
  }

  /** Sends entries that follow (`index`, `logTerm`), or none, and the commit index. */
  sendAppend(to: NodeId, index: number, logTerm: number, entries: readonly Entry[]): void {
    assert(to !== this.id, 'a message to oneself waits for the disk');
    this.messages.push(makeAppend(to, this.id, this.term, logTerm, index, this.log.committed, entries));
  }

  /** Tells that this log is as the leader's up to `index`; once it is durable. */
  acknowledge(to: NodeId, index: number): void {
    this.messagesAfterAppend.push(makeAcknowledgement(to, this.id, this.term, index));
  }

  /**
   * Queues a message, from this node unless it says otherwise. The term is added here, except to votes, which are
   * sometimes about a future term, and to forwarded proposals and reads, which belong to none.
   */
  send(type: MessageType, to: NodeId, fields: Partial<Message>): void {
    const message = makeMessage(type, to, fields) as Mutable<Message>;
    if (message.from === noNode) message.from = this.id;
    switch (type) {
      case MessageType.vote:
      case MessageType.preVote:
        assert(message.term > 0, 'a vote is about a term');
        this.messages.push(message);
        return;
      case MessageType.voteResponse:
      case MessageType.preVoteResponse:
        assert(message.term > 0, 'a vote is about a term');
        this.messagesAfterAppend.push(message);
        return;
      case MessageType.appendResponse:
        message.term = this.term;
        this.messagesAfterAppend.push(message);
        return;
      case MessageType.propose:
      case MessageType.readIndex:
        break;
      default:
        message.term = this.term;
    }
    assert(to !== this.id, 'a message to oneself waits for the disk');
    this.messages.push(message);
  }
}
