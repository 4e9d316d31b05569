import { assert } from '@dcache/base';
import { type ConfChange, decodeConfChange } from './conf-change.js';
import { refusalOf } from './membership.js';
import { type Entry, EntryType, type Message, MessageType, noBytes, noNode } from './message.js';
import { type Progress, ProgressState } from './progress.js';
import { confirmReads, releaseWaitingReads, requestRead } from './read.js';
import type { ConfChangeRefusal, DropReason, ProposeResult } from './ready.js';
import { appendOwn, broadcastAppend, sendAppend, sendTimeoutNow, tryCommit } from './replication.js';
import type { RaftState } from './state.js';

// What a leader does with messages. (Raft §5.3)

/** A message of the leader's own term, or without term. */
export function stepLeader(state: RaftState, message: Message): void {
  switch (message.type) {
    case MessageType.readIndex:
      requestRead(state, { from: message.from, context: message.context });
      return;
    case MessageType.forgetLeader:
      return;
    default:
      stepAbout(state, message);
  }
}

/** What is about one member. */
function stepAbout(state: RaftState, message: Message): void {
  const member = state.tracker.get(message.from);
  if (member === undefined) {
    state.trace?.({ kind: 'progress-unknown', from: message.from });
    return;
  }
  switch (message.type) {
    case MessageType.appendResponse:
      handleAppendResponse(state, member, message);
      return;
    case MessageType.heartbeatResponse:
      handleHeartbeatResponse(state, member, message);
      return;
    case MessageType.snapshotStatus:
      handleSnapshotStatus(state, member, message.reject);
      return;
    case MessageType.unreachable:
      // What was sent ahead is probably lost: find out where the logs meet before sending more.
      if (member.state === ProgressState.replicate) member.becomeProbe();
      state.trace?.({ kind: 'peer-unreachable', progress: member });
      return;
    case MessageType.transferLeader:
      startTransfer(state, member);
  }
}

/** Appends entries to the leader's log and sends them on. Of a change that may not be made, an empty entry is kept. */
export function proposeAsLeader(state: RaftState, entries: readonly Entry[]): ProposeResult {
  assert(entries.length > 0, 'a proposal has at least one entry');
  const reason = reasonToDrop(state);
  if (reason !== undefined) return drop(state, reason);
  const pendingBefore = state.pendingConfIndex;
  const checked = entries.every(isNormal) ? { entries, refusal: undefined } : checkChanges(state, entries);
  const index = appendOwn(state, checked.entries);
  if (index === undefined) {
    // Nothing was appended, so no change is pending that was not before.
    state.pendingConfIndex = pendingBefore;
    return drop(state, 'too-much-uncommitted');
  }
  broadcastAppend(state);
  const { refusal } = checked;
  const result = { status: 'appended', index, term: state.term } as const;
  return refusal === undefined ? result : { ...result, refusal };
}

function isNormal({ type }: Entry): boolean {
  return type === EntryType.normal;
}

/** The entries with empty ones in place of changes that may not be made now. */
function checkChanges(
  state: RaftState,
  entries: readonly Entry[],
): { readonly entries: readonly Entry[]; readonly refusal: ConfChangeRefusal | undefined } {
  let refusal: ConfChangeRefusal | undefined;
  const checked = entries.map((entry, i) => {
    if (isNormal(entry)) return entry;
    const change = decodeConfChange(entry.type, entry.data);
    const refused = refusalOf(state, change);
    if (refused === undefined) {
      state.pendingConfIndex = state.log.lastIndex + 1 + i;
      return entry;
    }
    refusal = refused;
    traceRefusal(state, change, refused);
    return { index: 0, term: 0, type: EntryType.normal, data: noBytes };
  });
  return { entries: checked, refusal };
}

function reasonToDrop(state: RaftState): DropReason | undefined {
  if (state.tracker.get(state.id) === undefined) return 'removed';
  return state.leadTransferee === noNode ? undefined : 'transferring';
}

function drop(state: RaftState, reason: DropReason): ProposeResult {
  const { term, leader, leadTransferee: transferee } = state;
  state.trace?.({ kind: 'proposal-dropped', reason, term, leader, transferee });
  return { status: 'dropped', reason };
}

function traceRefusal(state: RaftState, change: ConfChange | undefined, refusal: ConfChangeRefusal): void {
  const { configuration } = state.tracker;
  const { pendingConfIndex: pendingIndex } = state;
  state.trace?.({
    kind: 'conf-change-refused',
    change,
    configuration,
    refusal,
    pendingIndex,
    applied: state.log.applied,
  });
}

/** Steps down unless a quorum was heard in the last election timeout: it may have another leader. (Thesis §6.2) */
export function checkQuorum(state: RaftState): void {
  if (!state.tracker.isQuorumActive()) {
    state.trace?.({ kind: 'quorum-inactive' });
    state.becomeFollower(state.term, noNode);
  }
  for (const member of state.tracker.members) {
    if (member.id === state.id) continue;
    member.wasSilent = !member.recentActive;
    member.recentActive = false;
  }
}

function handleAppendResponse(state: RaftState, member: Progress, message: Message): void {
  member.recentActive = true;
  if (message.reject) handleRejection(state, member, message);
  else handleAcknowledgement(state, member, message.index);
}

/** The logs differ at `message.index`: go back to where they may meet. */
function handleRejection(state: RaftState, member: Progress, message: Message): void {
  const { index, rejectHint, logTerm } = message;
  state.trace?.({ kind: 'append-refused', from: member.id, index, hintIndex: rejectHint, hintTerm: logTerm });
  // The member told its last index with a term of at most ours there. Entries of ours above that term are not in its
  // log, so that whole terms are skipped on both sides. (Raft §5.3)
  const hint = logTerm > 0 ? state.log.meetingPoint(rejectHint, logTerm).index : rejectHint;
  if (!member.refuse(index, hint)) return;
  state.trace?.({ kind: 'progress-decreased', progress: member });
  if (member.state === ProgressState.replicate) member.becomeProbe();
  sendAppend(state, member, true);
}

function handleAcknowledgement(state: RaftState, member: Progress, index: number): void {
  const isNews = member.acknowledge(index);
  // A probe of a member that lacks nothing is answered with what we know: it may replicate again all the same.
  if (!isNews && !(member.state === ProgressState.probe && member.matchIndex === index)) return;
  if (member.state === ProgressState.probe) {
    member.becomeReplicate();
  } else if (member.state === ProgressState.replicate) {
    member.inflights.freeTo(index);
  } else if (member.matchIndex + 1 >= state.log.firstIndex) {
    // Whatever snapshot it got, the log reaches on from there.
    state.trace?.({ kind: 'snapshot-recovered', progress: member });
    member.becomeProbe();
    member.becomeReplicate();
  }
  const isOther = member.id !== state.id;
  if (tryCommit(state)) {
    releaseWaitingReads(state);
    broadcastAppend(state);
  } else if (isOther && member.canUseCommit(state.log.committed)) {
    sendAppend(state, member, true);
  }
  if (!isOther) return;
  // The answer made room: send all that may be sent now.
  while (sendAppend(state, member, false));
  if (member.id === state.leadTransferee && member.matchIndex === state.log.lastIndex) {
    state.trace?.({ kind: 'transfer', stage: 'sent-after-append', to: member.id, term: state.term });
    sendTimeoutNow(state, member.id);
  }
}

function handleHeartbeatResponse(state: RaftState, member: Progress, message: Message): void {
  member.recentActive = true;
  member.hasRoom = !message.reject;
  member.appendPaused = false;
  // Also when its pipe is full: the empty append finds out whether what fills it was lost. And a probe of a member
  // that lacks nothing, so that it replicates again.
  if (member.matchIndex < state.log.lastIndex || member.state === ProgressState.probe) sendAppend(state, member, true);
  confirmReads(state, member.id, message.context);
}

function handleSnapshotStatus(state: RaftState, member: Progress, failed: boolean): void {
  if (member.state !== ProgressState.snapshot) return;
  // A failed one must not count as sent.
  if (failed) member.pendingSnapshot = 0;
  member.becomeProbe();
  state.trace?.({ kind: 'snapshot-reported', ok: !failed, progress: member });
  // If it arrived, its answer is on the way; if not, wait for a heartbeat before the next try.
  member.appendPaused = true;
}

/** Hands leadership over: proposals stop, and once `member` has the whole log it campaigns at once. (Thesis §3.10) */
function startTransfer(state: RaftState, member: Progress): void {
  const { id: to } = member;
  const { term } = state;
  if (member.isLearner) {
    state.trace?.({ kind: 'transfer', stage: 'learner', to, term });
    return;
  }
  if (state.leadTransferee === to) {
    state.trace?.({ kind: 'transfer', stage: 'same-node', to, term });
    return;
  }
  if (state.leadTransferee !== noNode) {
    state.trace?.({ kind: 'transfer', stage: 'aborted', to: state.leadTransferee, term });
    state.leadTransferee = noNode;
  }
  if (to === state.id) {
    state.trace?.({ kind: 'transfer', stage: 'self', to, term });
    return;
  }
  state.trace?.({ kind: 'transfer', stage: 'started', to, term });
  // It should be over in one election timeout; `tick` gives it up then.
  state.electionElapsed = 0;
  state.leadTransferee = to;
  if (member.matchIndex === state.log.lastIndex) {
    sendTimeoutNow(state, to);
    state.trace?.({ kind: 'transfer', stage: 'sent-at-once', to, term });
  } else {
    sendAppend(state, member, true);
  }
}
