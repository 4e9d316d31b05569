import type { ConfChangeV2 } from './core/conf-change.js';
import type { LogReader } from './core/log-reader.js';
import { type ConfState, type NodeId, noNode, type SnapshotMetadata } from './core/message.js';
import type { Status } from './core/ready.js';
import type { RaftError } from './errors.js';
import type { HistogramSnapshot } from './histogram.js';
import type { LogStorage } from './storage.js';

/** What a node is at the moment. */
export type RaftRole = 'follower' | 'candidate' | 'leader' | 'pre-candidate';

/** The names of the core's `Role` numbers, in their order. */
const roleNames: readonly RaftRole[] = ['follower', 'candidate', 'leader', 'pre-candidate'];

/** How far one member is, as its leader sees it. */
export interface MemberProgress {
  readonly id: NodeId;
  readonly isLearner: boolean;
  /** Highest index known to be in its log. */
  readonly matchIndex: number;
  /** `probe`: where the logs meet is being sought. `replicate`: it follows. `snapshot`: it is being sent the state. */
  readonly state: 'probe' | 'replicate' | 'snapshot';
  /** Heard from since the last check of the quorum, one election timeout or less ago. */
  readonly isActive: boolean;
  /** Whether its disk has room for more log; undefined until it has said so to this leader. */
  readonly hasRoom: boolean | undefined;
}

/** What a node knows, as of now. */
export interface RaftStatus {
  readonly id: NodeId;
  readonly term: number;
  readonly role: RaftRole;
  /** Undefined when unknown. */
  readonly leader: NodeId | undefined;
  readonly commitIndex: number;
  /** Invariant: what the state machine has; at most `commitIndex`, except shortly after a snapshot was installed. */
  readonly appliedIndex: number;
  /** Term of the entry at `appliedIndex`. */
  readonly appliedTerm: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** As of `appliedIndex`. */
  readonly confState: ConfState;
  /** One for each member, this node too; empty unless this node leads. */
  readonly progress: readonly MemberProgress[];
  /** False while the state machine is being restored: it must not be read, not even stale. */
  readonly isReadable: boolean;
  /** Whether the disk of this node has no room for more log. */
  readonly isDiskFull: boolean;
}

/** Counts since the start, and gauges as of now; durations in seconds, sizes in bytes. */
export interface RaftStats {
  readonly proposals: number;
  readonly proposalsRefused: number;
  readonly pendingProposals: number;
  readonly pendingReads: number;
  /** Rounds to a quorum for reads; compare with the reads served to see how many shared one. */
  readonly readRounds: number;
  readonly appliedEntries: number;
  readonly leaderChanges: number;
  readonly messagesSent: number;
  readonly messagesReceived: number;
  /**
   * Messages that were not taken: from or to a node that is not who they say; votes asked for while none is given after
   * a start; entries while too much waits to be applied.
   */
  readonly messagesRefused: number;
  readonly snapshotsSent: number;
  readonly snapshotsInstalled: number;
  readonly snapshotsWritten: number;
  readonly logBytes: number;
  readonly isDiskFull: boolean;
  /** Longest time between two ticks: how late the event loop was. */
  readonly maxTickDelaySeconds: number;
  /** From a proposal to its application on this node. */
  readonly commitLatency: HistogramSnapshot;
  /** From a write to the log until it was durable. */
  readonly appendLatency: HistogramSnapshot;
}

export interface LeaderChange {
  /** Undefined when unknown. */
  readonly leader: NodeId | undefined;
  readonly term: number;
}

export interface MembershipChanged {
  readonly change: ConfChangeV2;
  readonly confState: ConfState;
  readonly index: number;
}

export interface SnapshotInstalled {
  readonly from: NodeId;
  readonly index: number;
  readonly term: number;
}

export interface SnapshotSent {
  readonly to: NodeId;
  readonly index: number;
  readonly stateBytes: number;
}

/** Events of a `RaftNode`, with what their listeners are given. */
export interface RaftEvents {
  'leader-change': [LeaderChange];
  'membership-change': [MembershipChanged];
  /** A state from another node replaced this one's. */
  'snapshot-installed': [SnapshotInstalled];
  'snapshot-sent': [SnapshotSent];
  /** The node has ended and can do nothing more: end the process. Without a listener it is thrown. */
  fatal: [RaftError];
}

/** The status of a node whose core says `core`, or has none yet. */
export function describeStatus(
  id: NodeId,
  core: Status | undefined,
  log: LogReader & Pick<LogStorage, 'isFull'>,
  state: SnapshotMetadata,
  isReadable: boolean,
): RaftStatus {
  const { index: appliedIndex, term: appliedTerm, confState } = state;
  const base = {
    id,
    appliedIndex,
    appliedTerm,
    confState,
    firstIndex: log.firstIndex(),
    isReadable,
    isDiskFull: log.isFull,
  };
  if (core === undefined) {
    const { term, commit: commitIndex } = log.initialState().hardState;
    const lastIndex = log.lastIndex();
    return { ...base, term, role: 'follower', leader: undefined, commitIndex, lastIndex, progress: [] };
  }
  return {
    ...base,
    term: core.term,
    role: roleNames[core.role]!,
    leader: core.leader === noNode ? undefined : core.leader,
    commitIndex: core.commit,
    lastIndex: core.lastIndex,
    progress: core.peers.map((peer) => ({
      id: peer.id,
      isLearner: peer.isLearner,
      matchIndex: peer.matchIndex,
      state: peer.state,
      isActive: peer.id === id || peer.recentActive,
      hasRoom: peer.hasRoom,
    })),
  };
}
