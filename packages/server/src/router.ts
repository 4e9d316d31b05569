import type { Clock } from '@dcache/base';
import {
  type Command,
  type CommandHandler,
  DcacheError,
  type Found,
  ReadLevel,
  type ReadOptions,
  type Reply,
  ReplyType,
  type RequestOptions,
  type ServerInfo,
  takesSession,
  withSession,
} from '@dcache/protocol';
import { commandBytes } from './log/command-bytes.js';
import type { GroupCommit } from './log/group-commit.js';
import { LeaderWait } from './log/leader-wait.js';
import type { LogTime } from './log/log-time.js';
import { NotAppendedError, type ReplicatedLog } from './log/replicated-log.js';
import { isMember } from './observe/status.js';
import type { Forwarder } from './peers/forwarder.js';
import { NodeSession } from './peers/node-session.js';
import type { CacheStateMachine } from './state/state-machine.js';

export interface RouterParts {
  readonly log: ReplicatedLog;
  readonly groupCommit: GroupCommit;
  readonly forwarder: Forwarder;
  readonly stateMachine: CacheStateMachine;
  readonly time: LogTime;
  readonly clock: Clock;
  readonly readConsistency: ReadLevel;
  /** How long a request waits for a leader, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** Bytes of writes under way on this node at once, however they wait; more are `busy`. Default 256 MiB. */
  readonly maxInFlightBytes?: number;
}

/** What a write costs beyond its key and value while it is under way, about. */
const writeOverheadBytes = 1_024;

/** The least time between two tries, where the leader that is known refuses and no other is known yet. */
const retryMs = 20;

/**
 * Where a request goes: the leader proposes a write, a follower forwards it; a read takes the barrier of its level and
 * then this node's store. A request waits for a leader up to its time, because an election takes less than a client's
 * patience; only what is certainly not in the log is sent again, or what its session applies once.
 */
export class Router implements CommandHandler {
  readonly #parts: RouterParts;
  readonly #session = new NodeSession();
  readonly #leaderWait: LeaderWait;
  readonly #maxInFlightBytes: number;
  #inFlightBytes = 0;
  /** This node was a member of the cluster as of what it has applied: from then on its store says something. */
  #hasData = false;

  constructor(parts: RouterParts) {
    this.#parts = parts;
    this.#leaderWait = new LeaderWait(parts.log, parts.clock);
    this.#maxInFlightBytes = parts.maxInFlightBytes ?? 256 * 1_048_576;
  }

  async write(command: Command, options: RequestOptions = {}): Promise<Reply> {
    const bytes = commandBytes(command) + writeOverheadBytes;
    // While nothing is under way even a write above the bound goes: else it could never go.
    if (this.#inFlightBytes > 0 && this.#inFlightBytes + bytes > this.#maxInFlightBytes)
      throw new DcacheError('busy', `${this.#inFlightBytes} bytes of writes are under way; try again in a moment`);
    this.#inFlightBytes += bytes;
    const { log, groupCommit } = this.#parts;
    const patience = this.#patience(options);
    try {
      for (;;) {
        try {
          const leader = log.leader();
          if (leader === log.id) return await groupCommit.append(command);
          if (leader !== 0) return await this.#forward(command, patience);
        } catch (error) {
          if (!(error instanceof NotAppendedError)) throw error;
        }
        await this.#awaitLeader(patience);
      }
    } finally {
      this.#inFlightBytes -= bytes;
    }
  }

  read(key: Uint8Array, options: ReadOptions = {}): Promise<Found | undefined> {
    return this.#readAt(options, (find) => find(key));
  }

  readMany(keys: readonly Uint8Array[], options: ReadOptions = {}): Promise<readonly (Found | undefined)[]> {
    return this.#readAt(options, (find) => keys.map(find));
  }

  /** Calls `look` once the store may be read at the level asked for; it must not wait, so it sees one moment. */
  async #readAt<Result>(
    options: ReadOptions,
    look: (find: (key: Uint8Array) => Found | undefined) => Result,
  ): Promise<Result> {
    const level = options.level ?? this.#parts.readConsistency;
    const { stateMachine, time } = this.#parts;
    if (level === ReadLevel.local) {
      if (!this.#hasData) this.#checkData();
      return look((key) => {
        const found = stateMachine.read(key);
        // Only here does this node's own clock hide what no entry has expired yet.
        return found && found.expiresAtMs !== 0 && found.expiresAtMs <= time.nowMs() ? undefined : found;
      });
    }
    const find = (key: Uint8Array): Found | undefined => stateMachine.read(key);
    await this.#barrier(level, options);
    const result = look(find);
    if (level === ReadLevel.linearizable || this.#parts.log.isLeaseValid()) return result;
    // Not the lease again: a leader that once offered to hand over has none for the rest of its term.
    await this.#barrier(ReadLevel.linearizable, options);
    return look(find);
  }

  /** A newcomer's empty store must not pass for a cache without the key. */
  #checkData(): void {
    const status = this.#parts.log.status();
    if (!status.isReadable || !isMember(status))
      throw new DcacheError(
        'not-ready',
        'this node has none of the data yet, it is joining the cluster; ask another, or at level lease or linearizable',
      );
    this.#hasData = true;
  }

  servers(): readonly ServerInfo[] {
    const { log, stateMachine } = this.#parts;
    const { confState } = log.status();
    const leader = log.leader();
    const one = (id: number, voteStatus: ServerInfo['voteStatus']): ServerInfo => {
      const identity = stateMachine.directory.get(id);
      return {
        id: identity?.name ?? String(id),
        rpcAddr: identity?.rpcAddr ?? '',
        isLeader: id === leader,
        voteStatus,
        raftId: id,
      };
    };
    return [
      ...confState.voters.map((id) => one(id, 'Voter')),
      ...confState.learners.map((id) => one(id, 'Nonvoter')),
    ].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  }

  /** Sends a write to whoever leads until it is answered, under a session, so that it is applied once. */
  async #forward(command: Command, patience: Patience): Promise<Reply> {
    if (!takesSession(command) || command.session) return this.#sendToLeader(command);
    const session = this.#session;
    const stamp = session.next() ?? (await session.begin((opening) => this.#sendToLeader(opening).catch(nothingSent)));
    const stamped = withSession(command, stamp);
    let mayBeApplied = false;
    try {
      for (;;) {
        try {
          const reply = await this.#sendToLeader(stamped);
          if (reply.type !== ReplyType.sessionExpired) return reply;
          session.expired(stamp);
          // Sent once only, an expired session proves that it was not applied: begin anew.
          if (!mayBeApplied) throw new NotAppendedError('the session of this node had expired');
          return reply;
        } catch (error) {
          // Once an answer was lost, no later refusal says that nothing was done: only the session's own answer counts.
          mayBeApplied ||= error instanceof DcacheError && error.code === 'unknown-outcome';
          if (!mayBeApplied) throw error;
          if (this.#parts.clock.monotonicMs() >= patience.untilMs) throw unknownOutcome(error as Error);
        }
        try {
          await this.#awaitLeader(patience);
        } catch (error) {
          throw unknownOutcome(error as Error);
        }
      }
    } finally {
      session.end(stamp);
    }
  }

  #sendToLeader(command: Command): Promise<Reply> {
    const { log, groupCommit, forwarder } = this.#parts;
    const leader = log.leader();
    if (leader === 0) return Promise.reject(new NotAppendedError('no leader is known'));
    return leader === log.id ? groupCommit.append(command) : forwarder.send(leader, command);
  }

  async #barrier(level: Exclude<ReadLevel, 'local'>, options: RequestOptions): Promise<void> {
    let patience: Patience | undefined;
    for (;;) {
      try {
        return await this.#parts.log.readBarrier(level);
      } catch (error) {
        if (!(error instanceof NotAppendedError)) throw error;
        patience ??= this.#patience(options);
        await this.#awaitLeader(patience);
      }
    }
  }

  #patience({ deadlineMs = Number.POSITIVE_INFINITY }: RequestOptions): Patience {
    const { clock, requestTimeoutMs } = this.#parts;
    const ownMs = clock.monotonicMs() + requestTimeoutMs;
    return { untilMs: Math.min(ownMs, deadlineMs), isClients: deadlineMs < ownMs };
  }

  /** Resolves at the next change of leader, or soon where one is known; rejects when the patience is over. */
  async #awaitLeader({ untilMs, isClients }: Patience): Promise<void> {
    const { log, clock, requestTimeoutMs } = this.#parts;
    const leftMs = untilMs - clock.monotonicMs();
    const noLeader = (): DcacheError =>
      isClients
        ? new DcacheError(
            'timeout',
            'no leader took the request within the time that its client gave it; nothing was done',
          )
        : new DcacheError('no-leader', `no leader took the request within ${requestTimeoutMs} ms; nothing was done`);
    if (leftMs <= 0) throw noLeader();
    if (log.leader() !== 0) await this.#leaderWait.next(Math.min(retryMs, leftMs));
    else if (!(await this.#leaderWait.next(leftMs))) throw noLeader();
  }
}

/** How long a request may wait for a leader, and whether it is its client who says so. */
interface Patience {
  readonly untilMs: number;
  readonly isClients: boolean;
}

/** A session that may have been opened for nothing harms nobody: the write that wanted it has not been sent. */
function nothingSent(error: unknown): never {
  if (error instanceof DcacheError && error.code === 'unknown-outcome')
    throw new NotAppendedError(`no session was opened: ${error.message}`, { cause: error });
  throw error;
}

function unknownOutcome(cause: Error): DcacheError {
  return new DcacheError(
    'unknown-outcome',
    `the leader was lost while the write was under way, and no other answered in time (${cause.message}); it may or may not have been applied`,
    { cause },
  );
}
