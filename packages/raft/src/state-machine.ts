import type { ConfChangeV2 } from './core/conf-change.js';
import type { ConfState, SnapshotMetadata } from './core/message.js';

/**
 * What the log is for. All calls come from one `RaftNode`, one at a time, in the order of the log. What is applied must
 * be a function of the entries alone: no clock, no randomness, no I/O.
 *
 * Throwing ends the node: a state machine that could not apply an entry must not apply the next.
 */
export interface StateMachine<Reply> {
  /**
   * Applies one committed entry. `Reply` goes to whoever proposed it on this node. `data` may be kept, but is a view of
   * a larger buffer: copy a small part that is to live long. Keep it short; the node looks at the time between entries.
   */
  apply(entry: AppliedEntry): Reply;
  /** The members changed. `change.context` is what the proposer put there, opaque to Raft. */
  applyMembership(change: ConfChangeV2, confState: ConfState, index: number): void;
  /**
   * A view of the state as of the last applied entry that stays as it is while later entries are applied. At most one is
   * open at a time.
   */
  snapshot(): StateMachineSnapshot;
  /**
   * Replaces the whole state. When `chunks` rejects, what the state is then does not matter: `restore` is called again
   * before anything is applied or read.
   */
  restore(chunks: AsyncIterable<Uint8Array>, metadata: SnapshotMetadata): Promise<void>;
}

export interface AppliedEntry {
  readonly index: number;
  readonly term: number;
  readonly data: Uint8Array;
}

/** A frozen view of the state. */
export interface StateMachineSnapshot {
  /**
   * Called once. Each step should take well under 5 ms and give a fresh array, which is kept until the receiver has it,
   * of at most about 256 KiB; a larger one is cut.
   */
  chunks(): Iterable<Uint8Array>;
  /** Lets go of the view; called exactly once, also half-way through `chunks`. */
  close(): void;
}
