import type { NodeId } from './core/message.js';

/**
 * What can go wrong, as a caller sees it.
 *
 * | code | meaning | was it applied? | what helps |
 * |---|---|---|---|
 * | `not-leader` | this node does not lead; `leader` says who does | no | ask the leader |
 * | `no-leader` | nobody leads now, as far as this node knows | no | try again soon |
 * | `handing-over` | leadership is being handed to another node | no | ask again in a moment, the next leader if there is one |
 * | `busy` | a bounded queue is full | no | try again later |
 * | `lost` | another term took the place of the entry in the log | certainly not | propose it again |
 * | `unknown-outcome` | leadership, the node or the patience ended while it was in flight | perhaps | ask, or retry with a session |
 * | `aborted` | the caller's `AbortSignal` fired | perhaps | as above |
 * | `disk-full` | there is no room for more log on so many disks that nobody could commit it; `full` says whose | no | free space; it recovers by itself |
 * | `too-large` | an entry or a frame above its limit | no | make it smaller |
 * | `refused` | a membership change that the present configuration does not allow | no | see the message |
 * | `not-caught-up` | a learner too far behind to be promoted | no | try again later |
 * | `stopped` | the node is stopping, or was never started | no | – |
 * | `corrupt` | bytes from a peer or a disk that no writer writes; the message names the place | no | replace the disk or the peer |
 * | `foreign` | data or a lock that belongs to another node, cluster or process | no | use another folder |
 * | `io` | the disk or a connection failed; after a disk this node has ended | perhaps | replace the disk |
 * | `internal` | an invariant is broken, or a listener threw; this node has ended | perhaps | report it |
 * | `state-machine` | `apply` or `restore` threw; this node has ended | perhaps | see the message, and `cause` |
 */
export type RaftErrorCode =
  | 'not-leader'
  | 'no-leader'
  | 'handing-over'
  | 'busy'
  | 'lost'
  | 'unknown-outcome'
  | 'aborted'
  | 'disk-full'
  | 'too-large'
  | 'refused'
  | 'not-caught-up'
  | 'stopped'
  | 'corrupt'
  | 'foreign'
  | 'io'
  | 'state-machine'
  | 'internal';

/** What a `RaftError` may know beside its message. */
export interface RaftErrorDetails {
  readonly leader?: NodeId;
  readonly full?: readonly NodeId[];
  readonly silent?: readonly NodeId[];
  readonly cause?: unknown;
}

/** Everything that this package rejects with or throws, apart from a `TypeError` for a wrong option. */
export class RaftError extends Error {
  override readonly name = 'RaftError';
  readonly code: RaftErrorCode;
  /** Who leads, where `code` is `not-leader` and it is known. */
  readonly leader: NodeId | undefined;

  /** Whose disks are full, where `code` is `disk-full` and it is known. */
  readonly full: readonly NodeId[];
  /** Which voters the leader has not heard for an election timeout, likewise. */
  readonly silent: readonly NodeId[];

  constructor(code: RaftErrorCode, message: string, more: RaftErrorDetails = {}) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.leader = more.leader;
    this.full = more.full ?? [];
    this.silent = more.silent ?? [];
  }
}

/** What a thrown thing says, for a message that goes on with it: whoever reads one line sees no `cause`. */
export function wordsOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
