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
  type ServerInfo,
  type SessionStamp,
  takesSession,
} from '@dcache/protocol';
import type { Forwarder } from './forwarder.js';
import type { GroupCommit } from './group-commit.js';
import type { LogTime } from './log-time.js';
import { NodeSession } from './node-session.js';
import { NotAppendedError, type ReplicatedLog } from './replicated-log.js';
import type { CacheStateMachine } from './state-machine.js';

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
}

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

  constructor(parts: RouterParts) {
    this.#parts = parts;
  }

  async write(command: Command): Promise<Reply> {
    const { log, groupCommit, clock, requestTimeoutMs } = this.#parts;
    const deadlineMs = clock.monotonicMs() + requestTimeoutMs;
    for (;;) {
      try {
        const leader = log.leader();
        if (leader === log.id) return await groupCommit.append(command);
        if (leader !== 0) return await this.#forward(command, deadlineMs);
      } catch (error) {
        if (!(error instanceof NotAppendedError)) throw error;
      }
      await this.#awaitLeader(deadlineMs);
    }
  }

  async read(key: Uint8Array, options: ReadOptions = {}): Promise<Found | undefined> {
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
    if (level === ReadLevel.local)
      return look((key) => {
        const found = stateMachine.read(key);
        // Only here does this node's own clock hide what no entry has expired yet.
        return found && found.expiresAtMs !== 0 && found.expiresAtMs <= time.nowMs() ? undefined : found;
      });
    const { log } = this.#parts;
    for (;;) {
      await this.#barrier(level);
      const result = look((key) => stateMachine.read(key));
      if (level === ReadLevel.linearizable || log.isLeaseValid()) return result;
    }
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
      };
    };
    return [
      ...confState.voters.map((id) => one(id, 'Voter')),
      ...confState.learners.map((id) => one(id, 'Nonvoter')),
    ].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  }

  /** Sends a write to whoever leads until it is answered, under a session, so that it is applied once. */
  async #forward(command: Command, deadlineMs: number): Promise<Reply> {
    if (!takesSession(command) || command.session) return this.#sendToLeader(command);
    const stamp = await this.#session.begin((opening) => this.#sendToLeader(opening));
    const stamped = { ...command, session: stamp };
    try {
      return await this.#forwardStamped(stamped, stamp, deadlineMs);
    } finally {
      this.#session.end(stamp);
    }
  }

  async #forwardStamped(command: Command, stamp: SessionStamp, deadlineMs: number): Promise<Reply> {
    let mayBeApplied = false;
    for (;;) {
      try {
        const reply = await this.#sendToLeader(command);
        if (reply.type !== ReplyType.sessionExpired) return reply;
        this.#session.expired(stamp);
        // Sent once only, an expired session proves that it was not applied: begin anew.
        if (!mayBeApplied) throw new NotAppendedError('the session of this node had expired');
        return reply;
      } catch (error) {
        if (error instanceof NotAppendedError) {
          if (!mayBeApplied) throw error;
        } else if (error instanceof DcacheError && error.code === 'unknown-outcome') {
          mayBeApplied = true;
        } else throw error;
        if (this.#parts.clock.monotonicMs() >= deadlineMs)
          throw error instanceof DcacheError ? error : unknownOutcome(error as Error);
      }
      try {
        await this.#awaitLeader(deadlineMs);
      } catch (error) {
        throw unknownOutcome(error as Error);
      }
    }
  }

  #sendToLeader(command: Command): Promise<Reply> {
    const { log, groupCommit, forwarder } = this.#parts;
    const leader = log.leader();
    if (leader === 0) return Promise.reject(new NotAppendedError('no leader is known'));
    return leader === log.id ? groupCommit.append(command) : forwarder.send(leader, command);
  }

  async #barrier(level: Exclude<ReadLevel, 'local'>): Promise<void> {
    const { log, clock, requestTimeoutMs } = this.#parts;
    let deadlineMs = 0;
    for (;;) {
      try {
        return await log.readBarrier(level);
      } catch (error) {
        if (!(error instanceof NotAppendedError)) throw error;
        deadlineMs ||= clock.monotonicMs() + requestTimeoutMs;
        await this.#awaitLeader(deadlineMs);
      }
    }
  }

  /** Resolves at the next change of leader, or soon where one is known; rejects with `no-leader` at the deadline. */
  #awaitLeader(deadlineMs: number): Promise<void> {
    const { log, clock, requestTimeoutMs } = this.#parts;
    const leftMs = deadlineMs - clock.monotonicMs();
    const noLeader = (): DcacheError =>
      new DcacheError('no-leader', `no leader took the request within ${requestTimeoutMs} ms; nothing was done`);
    if (leftMs <= 0) return Promise.reject(noLeader());
    const isLeaderKnown = log.leader() !== 0;
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        cancel();
        off();
        settle();
      };
      const cancel = clock.after(isLeaderKnown ? Math.min(retryMs, leftMs) : leftMs, () =>
        done(isLeaderKnown ? resolve : () => reject(noLeader())),
      );
      const off = log.onLeaderChange(() => done(resolve));
    });
  }
}

function unknownOutcome(cause: Error): DcacheError {
  return new DcacheError(
    'unknown-outcome',
    `the leader was lost while the write was under way, and no other answered in time (${cause.message}); it may or may not have been applied`,
    { cause },
  );
}
