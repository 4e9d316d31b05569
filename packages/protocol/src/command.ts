/**
 * The narrow waist: every protocol maps to these commands and these replies, and nothing below knows any protocol.
 * Keys and values are bytes; nothing here interprets them.
 */

// Append only: these numbers are in the log.
export const CommandType = {
  set: 1,
  delete: 2,
  touch: 3,
  openSession: 4,
  closeSession: 5,
  configure: 6,
  setMany: 7,
  load: 8,
  clear: 9,
} as const;
export type CommandType = (typeof CommandType)[keyof typeof CommandType];

// Append only: these numbers are in the log.
export const ConditionType = {
  /** Only where the key is missing. */
  absent: 1,
  /** Only where the key exists. */
  present: 2,
  /** Only where the key's revision is the one given. */
  revision: 3,
} as const;
export type ConditionType = (typeof ConditionType)[keyof typeof ConditionType];

/** What must hold when a write is applied; otherwise its reply is `preconditionFailed` and nothing changes. */
export interface Condition {
  readonly type: ConditionType;
  /** The revision that `ConditionType.revision` asks for, else 0. */
  readonly revision: number;
}

/**
 * Which write of which client this is, so that a retry is applied once. (Thesis §6.3)
 * A client may have several writes under way: `lowestUnanswered` tells which replies may be forgotten.
 */
export interface SessionStamp {
  /** The revision at which the session was opened: unique in the cluster. */
  readonly session: number;
  /** 1 for the session's first write, then one more for each. */
  readonly sequence: number;
  /** No write below this one will be asked for again. */
  readonly lowestUnanswered: number;
}

/**
 * What an HTTP client called its write, so that a retry through any node is applied once. (draft-ietf-httpapi-
 * idempotency-key-header) Both are the first 16 bytes of a SHA-256.
 */
export interface IdempotencyStamp {
  /** Of the `Idempotency-Key`. */
  readonly key: Uint8Array;
  /** Of all that the request asks for: another request under the same key is refused. */
  readonly fingerprint: Uint8Array;
}

/** Bytes of each half of an `IdempotencyStamp`. */
export const idempotencyBytes = 16;

/**
 * Wherever one is made it has all of its fields, in this order, also those that are undefined: then every set has one
 * shape, and what each write runs through is compiled for that one.
 */
export interface SetCommand {
  readonly type: typeof CommandType.set;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Milliseconds to live from the moment of the entry's stamp; 0 lives until deleted or evicted. */
  readonly ttlMs: number;
  /** 32 bits that the protocols keep with a value; opaque below them. */
  readonly flags: number;
  readonly condition?: Condition | undefined;
  readonly session?: SessionStamp | undefined;
  readonly idempotency?: IdempotencyStamp | undefined;
}

export interface DeleteCommand {
  readonly type: typeof CommandType.delete;
  readonly key: Uint8Array;
  readonly condition?: Condition | undefined;
  readonly session?: SessionStamp | undefined;
  readonly idempotency?: IdempotencyStamp | undefined;
}

/** Reads that the leader sampled, so that eviction order is the same everywhere. */
export interface TouchCommand {
  readonly type: typeof CommandType.touch;
  readonly keys: readonly Uint8Array[];
}

export interface OpenSessionCommand {
  readonly type: typeof CommandType.openSession;
  /** The session ends when it was not used for this long, by log time. */
  readonly ttlMs: number;
}

export interface CloseSessionCommand {
  readonly type: typeof CommandType.closeSession;
  readonly id: number;
}

/** How the cache is bounded: in the log, so that all nodes evict alike whatever their own options say. */
export interface ConfigureCommand {
  readonly type: typeof CommandType.configure;
  /** Logical bytes that the entries may take. */
  readonly maxBytes: number;
  /** The policy's name; it can only change while the cache is empty. */
  readonly eviction: string;
}

/** One entry of a `SetManyCommand`, with a set's meaning. */
export interface EntryWrite {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly ttlMs: number;
  readonly flags: number;
  readonly condition?: Condition | undefined;
}

/**
 * Writes all of its entries or none: conditions, sizes and room are looked at before anything is written. The keys are
 * different ones; they take consecutive revisions, and the reply has the last.
 */
export interface SetManyCommand {
  readonly type: typeof CommandType.setMany;
  readonly sets: readonly EntryWrite[];
  readonly session?: SessionStamp | undefined;
}

/**
 * Entries of a saved snapshot: each is written where its key is missing and it fits, and left out otherwise, so that
 * what clients write meanwhile wins. The reply's `count` tells how many were written.
 */
export interface LoadCommand {
  readonly type: typeof CommandType.load;
  /** Their conditions are ignored. */
  readonly entries: readonly EntryWrite[];
  readonly session?: SessionStamp | undefined;
}

/** Deletes every entry. Sessions, revision, limits and log time stay. */
export interface ClearCommand {
  readonly type: typeof CommandType.clear;
  readonly session?: SessionStamp | undefined;
}

/** What goes into the log. */
export type Command =
  | SetCommand
  | DeleteCommand
  | TouchCommand
  | OpenSessionCommand
  | CloseSessionCommand
  | ConfigureCommand
  | SetManyCommand
  | LoadCommand
  | ClearCommand;

/** The commands that may carry a session stamp. */
export type StampedCommand = SetCommand | DeleteCommand | SetManyCommand | LoadCommand | ClearCommand;

/** The command under a session's stamp. */
export function withSession(command: StampedCommand, session: SessionStamp): StampedCommand {
  if (command.type !== CommandType.set) return { ...command, session };
  const { type, key, value, ttlMs, flags, condition, idempotency } = command;
  return { type, key, value, ttlMs, flags, condition, session, idempotency };
}

/** Whether a command may carry a session stamp, and with one is applied once however often it is sent. */
export function takesSession(command: Command): command is StampedCommand {
  switch (command.type) {
    case CommandType.set:
    case CommandType.delete:
    case CommandType.setMany:
    case CommandType.load:
    case CommandType.clear:
      return true;
    default:
      return false;
  }
}

export const ReadLevel = {
  /** This node's store as it is; may be stale, costs no message. */
  local: 'local',
  /** The leader's store under its lease; a follower asks the leader. */
  lease: 'lease',
  /** After a round of a quorum. (Thesis §6.4) */
  linearizable: 'linearizable',
} as const;
export type ReadLevel = (typeof ReadLevel)[keyof typeof ReadLevel];

// Append only: these numbers travel between nodes and are in sessions.
export const ReplyType = {
  /** The write was applied; `revision` is the key's new one (a delete's own). */
  ok: 1,
  notFound: 2,
  /** `revision` is what the key has now, 0 where it is missing. */
  preconditionFailed: 3,
  /** The cache is full and its eviction policy is `none`. */
  full: 4,
  /** The command's session is unknown or has expired: whether it was applied is not known here. */
  sessionExpired: 5,
  /** A key or value is larger than the store holds. */
  tooLarge: 6,
  /** Another request was sent under this `Idempotency-Key` before: nothing was done. */
  keyReused: 7,
  /** As many `Idempotency-Key`s as are kept are all too young to be forgotten: nothing was done. */
  busy: 8,
} as const;
export type ReplyType = (typeof ReplyType)[keyof typeof ReplyType];

/** What applying a command gave; the same on every node. */
export interface Reply {
  readonly type: ReplyType;
  /** 0 where the type names none. */
  readonly revision: number;
  /** Of a `load`: how many entries were written. Of a refused `setMany`: how many stand before the one at fault. */
  readonly count?: number | undefined;
}

/** What a read found. `value` is a copy: the caller's to keep. */
export interface Found {
  readonly value: Uint8Array;
  readonly revision: number;
  /** Milliseconds of log time, 0 for never. */
  readonly expiresAtMs: number;
  readonly flags: number;
  /** Its media type, where that is none of those that the flags name by number. */
  readonly contentType?: string | undefined;
}

/** A server of the cluster, as clients see it. */
export interface ServerInfo {
  readonly id: string;
  /** `host:port` of the one port that speaks every protocol. */
  readonly rpcAddr: string;
  readonly isLeader: boolean;
  readonly voteStatus: 'Voter' | 'Nonvoter' | 'Staging';
  /** The Raft id that the cluster knows it by; left out where the protocol has no place for it. */
  readonly raftId?: number;
}

/** What every protocol's server calls; the router implements it. */
export interface CommandHandler {
  /** Applies one write; an error is a `DcacheError`. */
  write(command: Command, options?: RequestOptions): Promise<Reply>;
  /** Reads one key; undefined is a miss. */
  read(key: Uint8Array, options?: ReadOptions): Promise<Found | undefined>;
  /** Reads several keys at one moment, in their order. */
  readMany(keys: readonly Uint8Array[], options?: ReadOptions): Promise<readonly (Found | undefined)[]>;
  servers(): readonly ServerInfo[];
}

export interface RequestOptions {
  /**
   * When the client stops waiting, by `Clock.monotonicMs` of the server; default never. The server's own time counts too.
   * What was sent by then may still be applied, what was not is not sent any more.
   */
  readonly deadlineMs?: number | undefined;
}

export interface ReadOptions extends RequestOptions {
  /** Default: the server's `--read-consistency`, which is linearizable by itself. */
  readonly level?: ReadLevel | undefined;
}
