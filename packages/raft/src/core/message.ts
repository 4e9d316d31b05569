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

/** `from` and `to` of what goes to and comes from the local thread that writes the log. Never on the wire. */
export const localAppendThread: NodeId = Number.MAX_SAFE_INTEGER;
/** `from` and `to` of what goes to and comes from the local thread that applies entries. Never on the wire. */
export const localApplyThread: NodeId = Number.MAX_SAFE_INTEGER - 1;

/**
 * All that nodes say to each other, in one flat shape whatever the type, so that the engine sees one hidden class on
 * the path of every write. Make one with `makeMessage`; a field that a type does not use is 0, false, empty or
 * undefined. Messages are never changed once they left the core; entries and snapshots are shared, not copied.
 *
 * Used by: `append` (index and logTerm of the entry before `entries`, commit), `appendResponse` (index; when reject:
 * index refused, rejectHint and logTerm the best guess where the logs meet), `vote`/`preVote` (index and logTerm of the
 * candidate's last entry; context 1 when a leader asked for the election), `voteResponse`/`preVoteResponse` (reject; then
 * from a node that is no voter any more commit and logTerm, an entry known to be committed), `heartbeat` (commit, context),
 * `heartbeatResponse` (context; reject when there is no room for more log on its disk), `snapshot`,
 * `readIndex`/`readIndexResponse` (context; index in the response), `snapshotStatus` (reject), `transferLeader` (from is
 * the node that shall lead), `storageAppend` (entries, term/vote/commit of the hard state if term is not 0, snapshot,
 * responses), `storageApply` (entries, responses).
 */
export interface Message {
  readonly type: MessageType;
  readonly to: NodeId;
  readonly from: NodeId;
  /** 0 for what has no term: local messages, forwarded proposals and reads. */
  readonly term: number;
  readonly logTerm: number;
  readonly index: number;
  readonly commit: number;
  readonly vote: NodeId;
  readonly reject: boolean;
  readonly rejectHint: number;
  /** An integer below 2^53 that an answer repeats, 0 for none. */
  readonly context: number;
  readonly entries: readonly Entry[];
  readonly snapshot: Snapshot | undefined;
  /** To be delivered once a `storageAppend` or `storageApply` is done. Empty on the wire. */
  readonly responses: readonly Message[];
}

/** Whether a message of this type is a node's own business: one from a peer is refused. */
export function isLocalType(type: MessageType): boolean {
  switch (type) {
    case MessageType.hup:
    case MessageType.beat:
    case MessageType.unreachable:
    case MessageType.snapshotStatus:
    case MessageType.checkQuorum:
    case MessageType.storageAppend:
    case MessageType.storageAppendResponse:
    case MessageType.storageApply:
    case MessageType.storageApplyResponse:
      return true;
    default:
      return false;
  }
}

/** Whether a message of this type answers another: one from a node that is no member is refused. */
export function isResponseType(type: MessageType): boolean {
  switch (type) {
    case MessageType.appendResponse:
    case MessageType.voteResponse:
    case MessageType.heartbeatResponse:
    case MessageType.unreachable:
    case MessageType.readIndexResponse:
    case MessageType.preVoteResponse:
    case MessageType.storageAppendResponse:
    case MessageType.storageApplyResponse:
      return true;
    default:
      return false;
  }
}

/** Whether `id` is one of the local storage threads. */
export function isLocalThread(id: NodeId): boolean {
  return id === localAppendThread || id === localApplyThread;
}

/** No entries; shared so that a message without any costs no array. */
export const noEntries: readonly Entry[] = Object.freeze([]);
/** No messages. */
export const noMessages: readonly Message[] = Object.freeze([]);
/** No bytes. */
export const noBytes: Uint8Array = new Uint8Array(0);

/** A message with every field in place; what is not given is 0, false, empty or undefined. */
export function makeMessage(type: MessageType, to: NodeId, fields: Partial<Message> = {}): Message {
  return newMessage(
    type,
    to,
    fields.from ?? noNode,
    fields.term ?? 0,
    fields.logTerm ?? 0,
    fields.index ?? 0,
    fields.commit ?? 0,
    fields.vote ?? noNode,
    fields.reject ?? false,
    fields.rejectHint ?? 0,
    fields.context ?? 0,
    fields.entries ?? noEntries,
    fields.snapshot,
    fields.responses ?? noMessages,
  );
}

/** An `append`: one for each follower and proposal, so without an object for its fields. */
export function makeAppend(
  to: NodeId,
  from: NodeId,
  term: number,
  logTerm: number,
  index: number,
  commit: number,
  entries: readonly Entry[],
): Message {
  const { append } = MessageType;
  return newMessage(
    append,
    to,
    from,
    term,
    logTerm,
    index,
    commit,
    noNode,
    false,
    0,
    0,
    entries,
    undefined,
    noMessages,
  );
}

/** An `appendResponse` that acknowledges everything up to `index`: as frequent as appends. */
export function makeAcknowledgement(to: NodeId, from: NodeId, term: number, index: number): Message {
  const { appendResponse } = MessageType;
  return newMessage(appendResponse, to, from, term, 0, index, 0, noNode, false, 0, 0, noEntries, undefined, noMessages);
}

/** The one place where messages come into being, so that all have one hidden class. */
export function newMessage(
  type: MessageType,
  to: NodeId,
  from: NodeId,
  term: number,
  logTerm: number,
  index: number,
  commit: number,
  vote: NodeId,
  reject: boolean,
  rejectHint: number,
  context: number,
  entries: readonly Entry[],
  snapshot: Snapshot | undefined,
  responses: readonly Message[],
): Message {
  return {
    type,
    to,
    from,
    term,
    logTerm,
    index,
    commit,
    vote,
    reject,
    rejectHint,
    context,
    entries,
    snapshot,
    responses,
  };
}

/** What a node is at the moment. (Raft §5.1; preCandidate: thesis §9.6) */
export const Role = {
  follower: 0,
  candidate: 1,
  leader: 2,
  preCandidate: 3,
} as const;
export type Role = (typeof Role)[keyof typeof Role];

/** What is worth telling but not worth keeping: who leads, and what this node is. */
export interface SoftState {
  /** 0 when unknown. */
  readonly leader: NodeId;
  readonly role: Role;
}

/** The answer to a `readIndex(context)`: once `index` is applied, the read may be served. (Thesis §6.4) */
export interface ReadState {
  readonly index: number;
  readonly context: number;
}
