import { type Clock, type Logger, type Random, silentLogger, systemClock, systemRandom } from '@dcache/base';
import type { NodeId } from './core/message.js';
import type { StateMachine } from './state-machine.js';
import type { LogStorage } from './storage.js';
import type { Transport } from './transport.js';

/** How a `RaftNode` is made. All sizes are in bytes. */
export interface RaftNodeOptions<Reply> {
  /** From 1 to 2^52-1; one that never voted in another life of its log. A durable storage has it as `nodeId`. */
  readonly id: NodeId;
  /** Opened; the node closes it when it stops. */
  readonly storage: LogStorage;
  readonly transport: Transport;
  readonly stateMachine: StateMachine<Reply>;
  /**
   * Founds a cluster of this one node if the log is empty, with `context` as that of its first membership change; has no
   * effect on a log that has something. Exactly one node of a cluster may ever do this. Default: wait to be added.
   */
  readonly bootstrap?: { readonly context?: Uint8Array };

  /** Length of a tick in milliseconds, from 1 to 60000. Default 50. */
  readonly tickMs?: number;
  /** Ticks without a leader before a follower campaigns; drawn anew from [n, 2n) each time. Default 10. (Raft §5.2) */
  readonly electionTicks?: number;
  /** Ticks between heartbeats. Default 2. (Raft §5.2) */
  readonly heartbeatTicks?: number;
  /**
   * How long a leader may answer `lease` reads after it sent what a quorum answered, in milliseconds. Must leave out at
   * least a tick of the shortest election timeout. Default 3/4 of it: clocks may drift by a fifth. (Thesis §6.4.1)
   */
  readonly leaseMs?: number;

  /** Largest proposal; at most 48 MiB, so that it fits a frame. Default 16 MiB. */
  readonly maxProposalBytes?: number;
  /** Proposals of this node that wait to be applied; more are `busy`. Default 16384. */
  readonly maxPendingProposals?: number;
  /** Bytes in the leader's log that wait to be committed; more are `busy`. Default 64 MiB. */
  readonly maxUncommittedBytes?: number;
  /** `readBarrier` calls that wait; more are `busy`. Default 65536. */
  readonly maxPendingReads?: number;
  /** A proposal that is not applied after this time is `unknown-outcome`, in milliseconds. Default 10000. */
  readonly proposalTimeoutMs?: number;
  /**
   * How long the proposals in flight when leadership ends wait to be applied or to lose their place, before they are
   * `unknown-outcome`, in milliseconds. Default two election timeouts.
   */
  readonly outcomeTimeoutMs?: number;
  /** A read barrier that is not reached after this time is `no-leader`, in milliseconds. Default 2000. */
  readonly readTimeoutMs?: number;

  /** Bytes of entries in one message, at most 1 MiB; a larger entry travels alone. Default 1 MiB. */
  readonly maxMessageBytes?: number;
  /** Messages with entries on their way to one follower. Default 128. */
  readonly maxInflightMessages?: number;
  /** Bytes of them. Default 16 MiB. */
  readonly maxInflightBytes?: number;
  /** Bytes of committed entries that wait to be applied. Default 8 MiB. */
  readonly maxApplyingBytes?: number;
  /**
   * Bytes of entries in the log that are not applied yet, past which a node takes no more from its leader: one that
   * applies slower than others write is sent less, and its log does not grow without end. Default 128 MiB.
   */
  readonly maxUnappliedBytes?: number;
  /** Milliseconds of applying after which the event loop gets its turn. Default 5. */
  readonly applySliceMs?: number;

  /** Applied entries kept for followers that lag. Default 10000. */
  readonly trailingEntries?: number;
  /** Bytes of applied entries kept, also for a follower that is being healed. Default 64 MiB. */
  readonly trailingBytes?: number;
  /** Durable storage: a snapshot is written when this many bytes of log were applied since the last. Default 64 MiB. */
  readonly snapshotLogBytes?: number;
  /** Durable storage: or this many entries. Default 100000. */
  readonly snapshotEntries?: number;
  /** Bytes in one piece of a snapshot, at most 256 KiB. Default 256 KiB. */
  readonly snapshotChunkBytes?: number;
  /** Pieces of a snapshot on their way and not acknowledged. Default 8. */
  readonly snapshotWindow?: number;
  /** A snapshot transfer without progress for this long is given up, in milliseconds. Default 30000. */
  readonly snapshotTimeoutMs?: number;
  /** A learner this many entries behind, or fewer, may be promoted. Default 256. (Thesis §4.2.1) */
  readonly maxPromotionLag?: number;

  /** Default the machine's. */
  readonly clock?: Clock;
  /** Default the process's own generator. */
  readonly random?: Random;
  /** Default silent. */
  readonly logger?: Logger;
  /** Runs `run` after the events that wait already, in the order called. Default `setImmediate`; for simulations. */
  readonly defer?: (run: () => void) => void;
}

/** The same with every default in place. */
export type ResolvedOptions<Reply> = Required<Omit<RaftNodeOptions<Reply>, 'bootstrap'>> &
  Pick<RaftNodeOptions<Reply>, 'bootstrap'>;

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

/** A checked copy with defaults; a `TypeError` names the option that is wrong, what it got and what it takes. */
export function resolveOptions<Reply>(options: RaftNodeOptions<Reply>): ResolvedOptions<Reply> {
  for (const name of ['storage', 'transport', 'stateMachine'] as const)
    if (typeof options[name] !== 'object' || options[name] === null)
      throw new TypeError(`${name} takes an object, got ${String(options[name])}`);
  const integer = (
    name: IntegerOption<Reply>,
    byDefault: number,
    min: number,
    max = Number.MAX_SAFE_INTEGER,
  ): number => {
    const value = options[name] ?? byDefault;
    if (!Number.isSafeInteger(value) || value < min || value > max)
      throw new TypeError(`${name} takes an integer from ${min} to ${max}, got ${String(value)}`);
    return value;
  };
  const tickMs = integer('tickMs', 50, 1, 60_000);
  const heartbeatTicks = integer('heartbeatTicks', 2, 1, 1000);
  const electionTicks = integer('electionTicks', 10, heartbeatTicks + 1, 10_000);
  const longestLeaseMs = (electionTicks - 1) * tickMs;
  return {
    id: integer('id', 0, 1, 2 ** 52 - 1),
    storage: options.storage,
    transport: options.transport,
    stateMachine: options.stateMachine,
    ...(options.bootstrap === undefined ? {} : { bootstrap: options.bootstrap }),
    tickMs,
    heartbeatTicks,
    electionTicks,
    leaseMs: integer('leaseMs', Math.min(longestLeaseMs, Math.ceil(electionTicks * tickMs * 0.75)), 1, longestLeaseMs),
    maxProposalBytes: integer('maxProposalBytes', 16 * mebibyte, 1, 48 * mebibyte),
    maxPendingProposals: integer('maxPendingProposals', 16_384, 1),
    maxUncommittedBytes: integer('maxUncommittedBytes', 64 * mebibyte, 1),
    maxPendingReads: integer('maxPendingReads', 65_536, 1),
    proposalTimeoutMs: integer('proposalTimeoutMs', 10_000, 1),
    outcomeTimeoutMs: integer('outcomeTimeoutMs', 2 * electionTicks * tickMs, 1),
    readTimeoutMs: integer('readTimeoutMs', 2000, 1),
    maxMessageBytes: integer('maxMessageBytes', mebibyte, 1, mebibyte),
    maxInflightMessages: integer('maxInflightMessages', 128, 1),
    maxInflightBytes: integer('maxInflightBytes', 16 * mebibyte, 1),
    maxApplyingBytes: integer('maxApplyingBytes', 8 * mebibyte, 1),
    maxUnappliedBytes: integer('maxUnappliedBytes', 128 * mebibyte, 1),
    applySliceMs: integer('applySliceMs', 5, 1),
    trailingEntries: integer('trailingEntries', 10_000, 0),
    trailingBytes: integer('trailingBytes', 64 * mebibyte, 0),
    snapshotLogBytes: integer('snapshotLogBytes', 64 * mebibyte, 1),
    snapshotEntries: integer('snapshotEntries', 100_000, 1),
    snapshotChunkBytes: integer('snapshotChunkBytes', 256 * kibibyte, 1, 256 * kibibyte),
    snapshotWindow: integer('snapshotWindow', 8, 1, 1024),
    snapshotTimeoutMs: integer('snapshotTimeoutMs', 30_000, 1),
    maxPromotionLag: integer('maxPromotionLag', 256, 0),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    logger: options.logger ?? silentLogger,
    defer: options.defer ?? ((run) => void setImmediate(run)),
  };
}

/** Names of the options that take a number. */
type IntegerOption<Reply> = {
  [Name in keyof RaftNodeOptions<Reply>]-?: NonNullable<RaftNodeOptions<Reply>[Name]> extends number ? Name : never;
}[keyof RaftNodeOptions<Reply>];
