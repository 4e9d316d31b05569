import type { ConfState, Entry, HardState, Message, NodeId, ReadState, Snapshot, SoftState } from './message.js';

/**
 * All that the core wants done, in this order:
 *
 * 1. send `messages`, at once and in parallel with 2;
 * 2. write `snapshot` (replacing the log), then `entries` (replacing what has their indexes or higher) and `hardState`,
 *    and if `mustSync` or with a snapshot, wait until that is on disk;
 * 3. send `messagesAfterAppend`;
 * 4. restore `snapshot`, then apply `committedEntries` (call `applyConfChange` for each configuration entry);
 * 5. call `advance()`.
 *
 * Invariant: a vote, an answer to a vote and an answer to an append are never in `messages` of a `Ready` whose term,
 * vote or entries they rest on; a leader's appends are, because its followers may store an entry before it does.
 * (Raft §5 figure 2; thesis §10.2.1)
 *
 * What one `Ready` writes must survive a crash whole or not at all, and in order. A commit index without the entries it
 * came with would be about others. Entries without the commit index, their own or an earlier one, would be worse: an
 * entry after a change of members comes with, or after, the commit index of that change, and a node that finds the entry
 * but not the index would campaign and count by members two changes old.
 *
 * Arrays are snapshots: they never change once handed out.
 */
export interface Ready {
  /** Present when it changed. */
  readonly softState?: SoftState | undefined;
  /** Present when it changed. */
  readonly hardState?: HardState | undefined;
  /** Reads that may be served once their index is applied. A context may come twice if the network repeats messages. */
  readonly readStates: readonly ReadState[];
  readonly entries: readonly Entry[];
  /** Present when a leader sent one that is ahead of the log. `entries` beside it follow it. */
  readonly snapshot?: Snapshot | undefined;
  /** To be applied; each exactly once, in order. May overlap with `entries` of the same `Ready`. */
  readonly committedEntries: readonly Entry[];
  /** May leave at once. */
  readonly messages: readonly Message[];
  /** May leave only when step 2 is done. Empty with asynchronous storage, where they are responses instead. */
  readonly messagesAfterAppend: readonly Message[];
  /** False when step 2 may reach the disk later: only the commit index changed. */
  readonly mustSync: boolean;
}

/** Why a proposal was not taken. Nothing of it is in any log, so it may be proposed again anywhere. */
export type DropReason =
  /** No leader is known in this term. */
  | 'no-leader'
  /** This node is not the leader, and `disableProposalForwarding` is set. */
  | 'not-forwarding'
  /** Leadership is being handed over. */
  | 'transferring'
  /** Entries that wait for commit would pass `maxUncommittedSize`. */
  | 'too-much-uncommitted'
  /** This leader is no member any more. */
  | 'removed';

/** Why an empty entry was appended in place of a configuration change. */
export type ConfChangeRefusal =
  /** An earlier change, or an entry of an earlier term that may be one, is not applied yet. */
  | 'pending-change'
  /** A joint configuration must be left first. */
  | 'joint'
  /** There is no joint configuration to leave. */
  | 'not-joint'
  /** It does not fit the present configuration; it would remove the last voter, for example. */
  | 'invalid'
  /** The bytes are no change. */
  | 'malformed';

/** What became of a proposal. */
export type ProposeResult =
  /** It is in this leader's log from `index` on; it is committed when that index is applied with that `term`. */
  | {
      readonly status: 'appended';
      readonly index: number;
      readonly term: number;
      /** Set when it was a configuration change and only an empty entry was appended. */
      readonly refusal?: ConfChangeRefusal;
    }
  /** A message to the leader was queued; whether it arrives is not known. */
  | { readonly status: 'forwarded'; readonly leader: NodeId }
  | { readonly status: 'dropped'; readonly reason: DropReason };

/** What became of a read request. */
export type ReadIndexResult =
  /** A `ReadState` with the context follows, if leadership and network allow: ask again after a time. */
  | 'requested'
  | 'no-leader'
  /** `maxPendingReads` requests wait already. */
  | 'busy';

/** What became of a message. */
export type StepResult =
  | 'accepted'
  /** It was a forwarded proposal and cannot be taken. */
  | 'proposal-dropped'
  /** Its type is for this node's own use and may not come from a peer. */
  | 'local-message'
  /** It is an answer from a node that is no member. */
  | 'unknown-peer'
  /** No core sends such a message. */
  | 'malformed';

/** How far one member is. (Thesis §10.2.1; probe, replicate and snapshot as etcd has them) */
export interface PeerStatus {
  readonly id: NodeId;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  /** Highest index known to be in its log. */
  readonly matchIndex: number;
  /** Index of the next entry to send. */
  readonly nextIndex: number;
  readonly isLearner: boolean;
  readonly isPaused: boolean;
  /** Index of the snapshot it is being sent, else 0. */
  readonly pendingSnapshot: number;
  /** Heard from since the last check of the quorum. */
  readonly recentActive: boolean;
  /** Not heard from for an election timeout at least, by the checks of the quorum. */
  readonly isSilent: boolean;
  /** Whether its disk has room for more log; undefined until it answered a heartbeat of this term. */
  readonly hasRoom: boolean | undefined;
  /** Appends sent and not answered. */
  readonly inflight: number;
  /** No more may be sent until one is answered. */
  readonly isInflightFull: boolean;
}

/** What a node knows about itself. */
export interface BasicStatus extends SoftState, HardState {
  readonly id: NodeId;
  /** Index of the last entry known to be applied. */
  readonly applied: number;
  readonly lastIndex: number;
  /** Whom a leader hands over to, else 0. */
  readonly leadTransferee: NodeId;
}

/** ... and about the members. */
export interface Status extends BasicStatus {
  /** The members that it goes by; `applyConfEntry` answers those as of what is applied. */
  readonly confState: ConfState;
  /** Sorted by id; empty unless this node leads. */
  readonly peers: readonly PeerStatus[];
}
