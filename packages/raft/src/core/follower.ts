import { standForElection } from './election.js';
import { restore, traceReceived } from './membership.js';
import { type Message, MessageType, noNode, Role } from './message.js';
import type { RaftState } from './state.js';

// What a follower or candidate does with messages of its term, or without term. (Raft §5.2, §5.3)

export function stepFollower(state: RaftState, message: Message): void {
  switch (message.type) {
    case MessageType.append:
    case MessageType.heartbeat:
    case MessageType.snapshot:
      state.electionElapsed = 0;
      state.leader = message.from;
      obey(state, message);
      return;
    case MessageType.timeoutNow:
      state.trace?.({ kind: 'timeout-now', from: message.from, term: state.term });
      standForElection(state, 'transfer');
      return;
    case MessageType.forgetLeader:
      forgetLeader(state);
      return;
    case MessageType.transferLeader:
      if (state.leader === noNode)
        state.trace?.({ kind: 'transfer', stage: 'no-leader', to: message.from, term: state.term });
      else state.send(MessageType.transferLeader, state.leader, { from: message.from });
      return;
    case MessageType.readIndex:
      if (state.leader === noNode) state.trace?.({ kind: 'read-dropped', term: state.term });
      else state.send(MessageType.readIndex, state.leader, { from: message.from, context: message.context });
      return;
    case MessageType.readIndexResponse:
      state.readStates.push({ index: message.index, context: message.context });
  }
}

/** A candidate that hears of a leader of its term gives up. (Raft §5.2) */
export function stepCandidate(state: RaftState, message: Message): void {
  switch (message.type) {
    case MessageType.append:
    case MessageType.heartbeat:
    case MessageType.snapshot:
      state.becomeFollower(message.term, message.from);
      obey(state, message);
      return;
    case MessageType.timeoutNow:
      state.trace?.({ kind: 'timeout-now-ignored', from: message.from, term: state.term, role: state.role });
  }
}

/** Does what the leader says. */
function obey(state: RaftState, message: Message): void {
  state.leaderlessTicks = 0;
  if (message.type === MessageType.append) handleAppend(state, message);
  else if (message.type === MessageType.snapshot) handleSnapshot(state, message);
  else {
    state.log.commitTo(message.commit);
    answerHeartbeat(state, message.context);
  }
}

/** Tells the leader that this node lives, and whether it has room: a leader that does not know of room takes no notice. */
export function answerHeartbeat(state: RaftState, context: number): void {
  state.send(MessageType.heartbeatResponse, state.leader, { context, reject: state.isFull });
}

function handleAppend(state: RaftState, message: Message): void {
  const { log } = state;
  const { from, index, logTerm, entries, commit } = message;
  if (index < log.committed) {
    // An old message: what is committed is as the leader's, whatever it says.
    state.acknowledge(from, log.committed);
    return;
  }
  const matched = log.tryAppend(index, logTerm, entries, commit);
  if (matched !== undefined) {
    state.acknowledge(from, matched);
    return;
  }
  state.trace?.({
    kind: 'append-rejected',
    from,
    ownTerm: log.term(index) ?? 0,
    index,
    messageLogTerm: logTerm,
  });
  // Entries of a later term than the leader has there cannot be in its log: the hint skips them all at once.
  const hint = log.meetingPoint(Math.min(index, log.lastIndex), logTerm);
  state.send(MessageType.appendResponse, from, { index, reject: true, rejectHint: hint.index, logTerm: hint.term });
}

function handleSnapshot(state: RaftState, message: Message): void {
  const { snapshot, from } = message;
  if (snapshot === undefined) return;
  const isRestored = restore(state, snapshot);
  traceReceived(state, isRestored ? 'accepted' : 'ignored', snapshot);
  state.acknowledge(from, isRestored ? state.log.lastIndex : state.log.committed);
}

/** Stays in the term without a leader, so that it may vote for another; its election timeout goes on. */
function forgetLeader(state: RaftState): void {
  if (state.options.readOnly === 'lease') {
    // The lease rests on followers that refuse to vote while their leader lives.
    state.trace?.({ kind: 'forget-leader-refused' });
    return;
  }
  if (state.role !== Role.follower || state.leader === noNode) return;
  state.trace?.({ kind: 'leader-forgotten', leader: state.leader, term: state.term });
  state.leader = noNode;
}
