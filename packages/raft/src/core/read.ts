import { MessageType, type NodeId, noNode } from './message.js';
import { committedIndex } from './quorum.js';
import type { PendingRead } from './read-index.js';
import type { ReadIndexResult } from './ready.js';
import { broadcastHeartbeat, hasCommittedInTerm } from './replication.js';
import type { RaftState } from './state.js';

// Linearizable reads at a leader. (Thesis §6.4; `ReadIndexQueue` has the reasoning)

/** Takes a read of this node or of a follower. */
export function requestRead(state: RaftState, read: PendingRead): ReadIndexResult {
  if (state.reads.length + state.waitingReads.length >= state.options.maxPendingReads) return 'busy';
  // Until it has committed in its term, a new leader may not know of the last commits of the one before; nor, after a
  // restart, of its own, because a commit index need not be on disk.
  if (!hasCommittedInTerm(state)) state.waitingReads.push(read);
  else startRead(state, read);
  return 'requested';
}

/** The leader has committed in its term: what waited for that begins. */
export function releaseWaitingReads(state: RaftState): void {
  if (state.waitingReads.length === 0 || !hasCommittedInTerm(state)) return;
  const reads = state.waitingReads;
  state.waitingReads = [];
  for (const read of reads) startRead(state, read);
}

function startRead(state: RaftState, read: PendingRead): void {
  // The only voter needs nobody's word for being the leader; a leader that is no voter any more does.
  if (state.options.readOnly === 'lease' || state.tracker.isOnlyVoter(state.id)) {
    answerRead(state, read, state.log.committed);
    return;
  }
  const sequence = state.reads.add(state.log.committed, read);
  state.reads.confirm(state.id, sequence);
  broadcastHeartbeat(state, sequence);
}

/** A member answered a heartbeat that carried `sequence`: it took this node for the leader after those reads came. */
export function confirmReads(state: RaftState, from: NodeId, sequence: number): void {
  if (state.options.readOnly !== 'safe' || sequence === 0) return;
  state.reads.confirm(from, sequence);
  answerConfirmed(state);
}

/** Answers what a quorum has confirmed; also when the quorum became smaller, because then nobody may answer any more. */
export function answerConfirmed(state: RaftState): void {
  const { reads, tracker } = state;
  if (reads.length === 0) return;
  const { voters, votersOutgoing } = tracker.configuration;
  for (const { index, ...read } of reads.takeTo(committedIndex(voters, votersOutgoing, reads)))
    answerRead(state, read, index);
}

function answerRead(state: RaftState, read: PendingRead, index: number): void {
  const { from, context } = read;
  if (from === noNode || from === state.id) state.readStates.push({ index, context });
  else state.send(MessageType.readIndexResponse, from, { index, context });
}
