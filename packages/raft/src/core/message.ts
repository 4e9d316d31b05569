/** A node of the cluster: a random integer from 1 to 2^52-1, made anew for every new log. 0 means none. */
export type NodeId = number;

/** No node. */
export const noNode: NodeId = 0;

// Append only: these numbers are the protocol.
export const EntryType = {
  /** Opaque to Raft; empty data marks a new leader's first entry. */
  normal: 0,
  /** `data` is one encoded `ConfChange`. */
  confChange: 1,
  /** `data` is an encoded `ConfChangeV2`: several changes at once by joint consensus. */
  confChangeV2: 2,
} as const;
export type EntryType = (typeof EntryType)[keyof typeof EntryType];

/** One place of the replicated log. */
export interface Entry {
  /** 1 for the first; below 2^53. */
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
  readonly data: Uint8Array;
}

/** What must be durable before any answer that depends on it. (Raft §5, figure 2) */
export interface HardState {
  readonly term: number;
  /** Whom this node voted for in `term`, 0 for nobody. */
  readonly vote: NodeId;
  readonly commit: number;
}

/** The members that a log position implies. (Thesis §4.3) */
export interface ConfState {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Voters of the outgoing half while a joint configuration is in force, else empty. */
  readonly votersOutgoing: readonly NodeId[];
  /** Outgoing voters that become learners when the joint configuration ends. */
  readonly learnersNext: readonly NodeId[];
  /** The leader leaves the joint configuration by itself as soon as it may. */
  readonly autoLeave: boolean;
}

/** Which prefix of the log a snapshot stands for. */
export interface SnapshotMetadata {
  readonly index: number;
  readonly term: number;
  readonly confState: ConfState;
}

/** `data` is opaque to the core; a driver that ships the state out of band leaves it empty. */
export interface Snapshot {
  readonly metadata: SnapshotMetadata;
  readonly data: Uint8Array;
}

// Append only: these numbers are the protocol.
export const MessageType = {
  hup: 0,
  beat: 1,
  propose: 2,
  append: 3,
  appendResponse: 4,
  vote: 5,
  voteResponse: 6,
  snapshot: 7,
  heartbeat: 8,
  heartbeatResponse: 9,
  unreachable: 10,
  snapshotStatus: 11,
  checkQuorum: 12,
  transferLeader: 13,
  timeoutNow: 14,
  readIndex: 15,
  readIndexResponse: 16,
  preVote: 17,
  preVoteResponse: 18,
  storageAppend: 19,
  storageAppendResponse: 20,
  storageApply: 21,
  storageApplyResponse: 22,
  forgetLeader: 23,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];
