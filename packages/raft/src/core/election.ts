import { assert } from '@dcache/base';
import { isVoter } from './configuration.js';
import { type Entry, EntryType, type Message, MessageType, noBytes, noNode, Role } from './message.js';
import { appendOwn, broadcastAppend } from './replication.js';
import type { RaftState } from './state.js';

// Elections (Raft §5.2, §5.4.1), pre-votes (thesis §9.6) and the lease that protects a live leader (thesis §4.2.3).

/** Why a node stands for election: by itself, or because the leader hands over. */
export type Cause = 'timeout' | 'transfer';

/** `context` of a vote request that a leader asked for: voters then disregard their lease. */
const transferContext = 1;

const emptyEntry: readonly Entry[] = [{ index: 0, term: 0, type: EntryType.normal, data: noBytes }];

/** Stands for election unless that is pointless or dangerous. A transfer needs no pre-vote: nothing is cut off. */
export function standForElection(state: RaftState, cause: Cause): void {
  const reason = reasonAgainst(state);
  if (reason !== undefined) {
    state.trace?.({ kind: 'election-refused', reason, term: state.term });
    return;
  }
  state.trace?.({ kind: 'election-started', term: state.term });
  if (state.options.preVote && cause === 'timeout') askForPreVotes(state);
  else askForVotes(state, cause);
}

function reasonAgainst(state: RaftState): 'is-leader' | 'unpromotable' | 'unapplied-change' | undefined {
  if (state.role === Role.leader) return 'is-leader';
  if (!state.isPromotable) return 'unpromotable';
  // A committed change that is not applied yet may have taken this node's vote away, or changed what a quorum is.
  return hasUnappliedConfChange(state) ? 'unapplied-change' : undefined;
}

function hasUnappliedConfChange(state: RaftState): boolean {
  const { log, options } = state;
  let next = log.applied + 1;
  while (next <= log.committed) {
    const page = log.slice(next, log.committed + 1, options.maxCommittedSizePerReady);
    assert(page !== undefined, `committed entries from ${next} on are compacted away unapplied`);
    if (page.some((entry) => entry.type !== EntryType.normal)) return true;
    next += page.length;
  }
  return false;
}

/** Would you vote for me? Neither asker nor voter changes its term or vote. */
function askForPreVotes(state: RaftState): void {
  state.tracker.resetVotes();
  state.leader = noNode;
  state.role = Role.preCandidate;
  state.trace?.({ kind: 'role-changed', role: Role.preCandidate, term: state.term });
  requestVotes(state, MessageType.preVote, state.term + 1, 0);
}

function askForVotes(state: RaftState, cause: Cause): void {
  state.reset(state.term + 1);
  state.vote = state.id;
  state.role = Role.candidate;
  state.trace?.({ kind: 'role-changed', role: Role.candidate, term: state.term });
  requestVotes(state, MessageType.vote, state.term, cause === 'transfer' ? transferContext : 0);
}

function requestVotes(state: RaftState, type: MessageType, term: number, context: number): void {
  const { lastIndex, lastTerm } = state.log;
  for (const member of state.tracker.members) {
    if (member.isLearner) continue;
    const to = member.id;
    if (to === state.id) {
      // Its own vote counts once it is durable, by the same answer that others give.
      state.send(responseType(type), to, { term });
      continue;
    }
    state.trace?.({ kind: 'vote-requested', type, to, term: state.term, lastTerm, lastIndex });
    state.send(type, to, { term, index: lastIndex, logTerm: lastTerm, context });
  }
}

/** Whether a vote request of a later term is to be ignored, because a leader was heard of lately. (Thesis §4.2.3) */
export function ignoresVote(state: RaftState, message: Message): boolean {
  const { checkQuorum, electionTicks } = state.options;
  if (message.context === transferContext) return false;
  if (!checkQuorum || state.leader === noNode || state.electionElapsed >= electionTicks) return false;
  traceDecision(state, message, 'lease');
  return true;
}

/**
 * Answers a request for a vote or pre-vote of this term, or a pre-vote of a later one. A learner votes too: the
 * candidate may know better who is a voter by now. (Raft §5.2, §5.4.1)
 */
export function handleVoteRequest(state: RaftState, message: Message): void {
  const { type, from } = message;
  const isFree =
    state.vote === from ||
    (state.vote === noNode && state.leader === noNode) ||
    (type === MessageType.preVote && message.term > state.term);
  if (!isFree || !state.log.isUpToDate(message.index, message.logTerm)) {
    rejectVote(state, message);
    return;
  }
  traceDecision(state, message, 'cast');
  // The term asked about, not our own: a pre-candidate would take our lower one for old.
  state.send(responseType(type), from, { term: message.term });
  if (type === MessageType.vote) {
    state.electionElapsed = 0;
    state.vote = from;
  }
}

/**
 * Refuses a vote. A node that is no voter any more tells what it knows to be committed: the change that took its vote
 * away is. A candidate that still needs that vote, because it does not know the change to be committed, would never get
 * it from a longer log that nobody adds to, and nobody else could be elected either.
 * (The commit index in vote messages is TiKV raft-rs's; here only where nothing else helps.)
 */
export function rejectVote(state: RaftState, message: Message): void {
  traceDecision(state, message, 'rejected');
  const { log, term, tracker } = state;
  const type = responseType(message.type);
  if (isVoter(tracker.configuration, state.id)) state.send(type, message.from, { term, reject: true });
  else
    state.send(type, message.from, {
      term,
      reject: true,
      commit: log.committed,
      logTerm: log.term(log.committed) ?? 0,
    });
}

/** Counts an answer that a candidate or pre-candidate got. */
export function handleVoteResponse(state: RaftState, message: Message): void {
  const { type, from } = message;
  if (message.reject && learnsCommit(state, message)) return;
  state.trace?.({ kind: 'vote-received', type, from, granted: !message.reject, term: state.term });
  state.tracker.recordVote(from, !message.reject);
  const { granted, rejected, result } = state.tracker.tallyVotes();
  state.trace?.({ kind: 'votes-counted', type, granted, rejected });
  if (result === 'lost') {
    // A pre-vote's answer is about the next term, which nobody is in yet.
    state.becomeFollower(state.term, noNode);
  } else if (result === 'won') {
    if (state.role === Role.preCandidate) askForVotes(state, 'timeout');
    else becomeLeader(state);
  }
}

/**
 * Commits what a refusal tells to be committed, if it is in this log. True when a change of members is among it: the
 * election is off then, because the members that it asked are not those that decide.
 */
function learnsCommit(state: RaftState, { commit, logTerm }: Message): boolean {
  if (!state.log.tryCommit(commit, logTerm) || !hasUnappliedConfChange(state)) return false;
  state.becomeFollower(state.term, noNode);
  return true;
}

/** Begins to lead with an empty entry, whose commit commits everything before it. (Raft §5.4.2, §8) */
function becomeLeader(state: RaftState): void {
  state.reset(state.term);
  state.leader = state.id;
  state.role = Role.leader;
  const own = state.tracker.get(state.id);
  assert(own !== undefined, 'only a voter is elected');
  own.becomeReplicate();
  own.recentActive = true;
  // There may be a change among the entries that earlier leaders left: rather wait than search.
  state.pendingConfIndex = state.log.lastIndex;
  appendOwn(state, emptyEntry);
  state.trace?.({ kind: 'role-changed', role: Role.leader, term: state.term });
  broadcastAppend(state);
}

function responseType(type: MessageType): MessageType {
  return type === MessageType.preVote ? MessageType.preVoteResponse : MessageType.voteResponse;
}

function traceDecision(state: RaftState, message: Message, decision: 'cast' | 'rejected' | 'lease'): void {
  state.trace?.({
    kind: 'vote-decided',
    decision,
    type: message.type,
    from: message.from,
    vote: state.vote,
    term: state.term,
    lastTerm: state.log.lastTerm,
    lastIndex: state.log.lastIndex,
    candidateTerm: message.logTerm,
    candidateIndex: message.index,
    leaseTicks: state.options.electionTicks - state.electionElapsed,
  });
}
