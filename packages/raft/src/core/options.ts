import type { Random } from '@dcache/base';
import type { LogReader } from './log-reader.js';
import type { NodeId } from './message.js';
import type { Trace } from './trace.js';

/** How a `RawNode` behaves. Sizes are in bytes as `entrySize` counts them; `Infinity` means no limit. */
export interface RawNodeOptions {
  readonly id: NodeId;
  readonly storage: LogReader;
  /** Where election timeouts are drawn from. */
  readonly random: Random;
  /** Index that the state machine already has after a restart: nothing up to it is handed out again. Default 0. */
  readonly applied?: number;
  /** Ticks without a leader before campaigning; the real number is drawn from [n, 2n). Default 10. (Raft §5.2) */
  readonly electionTicks?: number;
  /** Ticks between heartbeats; well below `electionTicks`. Default 1. (Raft §5.2) */
  readonly heartbeatTicks?: number;
  /** Asks voters before raising the term, so that an isolated node disturbs nobody. Default true. (Thesis §9.6) */
  readonly preVote?: boolean;
  /** A leader that hears no quorum for an election timeout steps down; followers keep to a live leader. Default true. (Thesis §6.2) */
  readonly checkQuorum?: boolean;
  /**
   * 'safe': a round to a quorum for each read. 'lease': the leader answers at once; needs `checkQuorum`. Not linearizable:
   * a leader checks its quorum once in an election timeout, so it may answer for up to two after it was last heard,
   * while its followers elect another after one. A lease by clock belongs into the driver, which knows when a heartbeat
   * left. Default 'safe'. (Thesis §6.4)
   */
  readonly readOnly?: 'safe' | 'lease';
  /** Reads waiting for a quorum, at the leader. Default 65536. */
  readonly maxPendingReads?: number;
  /** Bytes of entries in one append; a larger entry travels alone. Default 1 MiB. */
  readonly maxSizePerMessage?: number;
  /** Bytes of committed entries handed out and not yet applied. Default `maxSizePerMessage`. */
  readonly maxCommittedSizePerReady?: number;
  /** Bytes of proposals waiting for commit, past which more are dropped. Default 64 MiB. */
  readonly maxUncommittedSize?: number;
  /** Appends sent to one follower and not answered. Default 256. (Thesis §10.2.1) */
  readonly maxInflightMessages?: number;
  /** Bytes of them. Default no limit. */
  readonly maxInflightBytes?: number;
  /**
   * Storage is written by other threads that get their work as messages. As in etcd, a candidate's requests then leave
   * before its term and its last entries are on disk: it must not come back under this id without them while answers to
   * those requests are still on their way. Default false.
   */
  readonly asyncStorageWrites?: boolean;
  /** Proposals at a follower are dropped, not forwarded. Default false. */
  readonly disableProposalForwarding?: boolean;
  /** Lets a configuration change into the log though another is pending. For tests. Default false. */
  readonly disableConfChangeValidation?: boolean;
  /** A leader that a change removes or demotes steps down when it applies the change. Default true. */
  readonly stepDownOnRemoval?: boolean;
  /** Is told what happens, while it happens. Default nothing, at no cost. */
  readonly trace?: Trace;
}

/** The same with every default in place. */
export type ResolvedOptions = Required<Omit<RawNodeOptions, 'trace'>> & { readonly trace: Trace | undefined };

const mebibyte = 1024 * 1024;

/** A checked copy with defaults; a `TypeError` names the option that is wrong, what it got and what it takes. */
export function resolveOptions(options: RawNodeOptions): ResolvedOptions {
  const resolved: ResolvedOptions = {
    id: options.id,
    storage: options.storage,
    random: options.random,
    applied: options.applied ?? 0,
    electionTicks: options.electionTicks ?? 10,
    heartbeatTicks: options.heartbeatTicks ?? 1,
    preVote: options.preVote ?? true,
    checkQuorum: options.checkQuorum ?? true,
    readOnly: options.readOnly ?? 'safe',
    maxPendingReads: options.maxPendingReads ?? 65536,
    maxSizePerMessage: options.maxSizePerMessage ?? mebibyte,
    maxCommittedSizePerReady: options.maxCommittedSizePerReady ?? options.maxSizePerMessage ?? mebibyte,
    maxUncommittedSize: options.maxUncommittedSize ?? 64 * mebibyte,
    maxInflightMessages: options.maxInflightMessages ?? 256,
    maxInflightBytes: options.maxInflightBytes ?? Number.POSITIVE_INFINITY,
    asyncStorageWrites: options.asyncStorageWrites ?? false,
    disableProposalForwarding: options.disableProposalForwarding ?? false,
    disableConfChangeValidation: options.disableConfChangeValidation ?? false,
    stepDownOnRemoval: options.stepDownOnRemoval ?? true,
    trace: options.trace,
  };
  wholeNumber('id', resolved.id, 1, 2 ** 52 - 1);
  wholeNumber('applied', resolved.applied, 0);
  wholeNumber('heartbeatTicks', resolved.heartbeatTicks, 1);
  wholeNumber('electionTicks', resolved.electionTicks, resolved.heartbeatTicks + 1);
  wholeNumber('maxPendingReads', resolved.maxPendingReads, 1);
  wholeNumber('maxInflightMessages', resolved.maxInflightMessages, 1);
  size('maxSizePerMessage', resolved.maxSizePerMessage, 0);
  size('maxCommittedSizePerReady', resolved.maxCommittedSizePerReady, 1);
  size('maxUncommittedSize', resolved.maxUncommittedSize, 1);
  size('maxInflightBytes', resolved.maxInflightBytes, 1);
  if (resolved.readOnly !== 'safe' && resolved.readOnly !== 'lease')
    throw new TypeError(`readOnly takes 'safe' or 'lease', got ${String(resolved.readOnly)}`);
  if (resolved.readOnly === 'lease' && !resolved.checkQuorum)
    throw new TypeError(
      `readOnly 'lease' takes checkQuorum true, got false: without it a deposed leader answers reads`,
    );
  return resolved;
}

function wholeNumber(name: string, value: number, min: number, max: number = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw new TypeError(`${name} takes an integer from ${min} to ${max}, got ${value}`);
}

function size(name: string, value: number, min: number): void {
  if (value !== Number.POSITIVE_INFINITY) wholeNumber(name, value, min);
}
