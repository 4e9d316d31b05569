import { assert } from '@dcache/base';
import { restoreConfiguration } from './configuration.js';
import { handleVoteRequest, handleVoteResponse, ignoresVote, rejectVote, standForElection } from './election.js';
import { entriesSize } from './entry-size.js';
import { stepCandidate, stepFollower } from './follower.js';
import { checkQuorum, proposeAsLeader, stepLeader } from './leader.js';
import {
  type Entry,
  EntryType,
  type Message,
  MessageType,
  noBytes,
  noNode,
  Role,
  type SnapshotMetadata,
} from './message.js';
import type { ResolvedOptions } from './options.js';
import type { ProposeResult, StepResult } from './ready.js';
import { broadcastHeartbeat, releaseUncommitted } from './replication.js';
import { RaftState } from './state.js';

// The state machine of one node: what comes in is sorted by term here, then goes to the role. (Raft §5.1)

/** A node as its storage left it, as follower. */
export function startRaft(options: ResolvedOptions): RaftState {
  const state = new RaftState(options);
  const { hardState, confState } = options.storage.initialState();
  state.restoreMembers(confState);
  const { configuration } = state.tracker;
  state.appliedMembers = configuration;
  state.trace?.({ kind: 'configuration-switched', configuration });
  const { log } = state;
  const { term, vote, commit } = hardState;
  if (term > 0 || vote !== noNode || commit > 0) {
    assert(
      log.committed <= commit && commit <= log.lastIndex,
      `the stored commit index ${commit} is not between ${log.committed} and the log's end ${log.lastIndex}`,
    );
    log.committed = commit;
    state.term = term;
    state.vote = vote;
  }
  if (options.applied > 0) log.appliedTo(options.applied, 0);
  state.becomeFollower(state.term, noNode);
  state.trace?.({
    kind: 'started',
    voters: [...new Set([...configuration.voters, ...configuration.votersOutgoing])].sort((a, b) => a - b),
    term: state.term,
    commit: log.committed,
    applied: log.applied,
    lastIndex: log.lastIndex,
    lastTerm: log.lastTerm,
  });
  return state;
}

/** One tick of the clock has passed. */
export function tick(state: RaftState): void {
  state.electionElapsed++;
  state.leaderlessTicks = state.role === Role.leader ? 0 : state.leaderlessTicks + 1;
  if (state.role === Role.leader) tickLeader(state);
  else if (state.isPromotable && isElectionDue(state)) {
    state.electionElapsed = 0;
    standForElection(state, 'timeout');
  }
}

/**
 * Whether it is time to stand for election. A node without room for more log could take no writes as leader, so it lets
 * the others try first, and then is one of them: where nobody else can win, because its log is ahead of theirs, it must.
 * It counts from when a leader was last heard, because a candidate that cannot win begins a new term again and again.
 */
function isElectionDue({
  electionElapsed,
  leaderlessTicks,
  randomizedElectionTicks,
  isFull,
  options,
}: RaftState): boolean {
  if (electionElapsed < randomizedElectionTicks) return false;
  return !isFull || leaderlessTicks >= randomizedElectionTicks + 2 * options.electionTicks;
}

function tickLeader(state: RaftState): void {
  const { electionTicks, heartbeatTicks } = state.options;
  state.heartbeatElapsed++;
  if (state.electionElapsed >= electionTicks) {
    state.electionElapsed = 0;
    if (state.options.checkQuorum) checkQuorum(state);
    if (state.role !== Role.leader) return;
    // The transferee had its time; proposals are taken again.
    state.leadTransferee = noNode;
  }
  if (state.heartbeatElapsed >= heartbeatTicks) {
    state.heartbeatElapsed = 0;
    broadcastHeartbeat(state, state.reads.lastSequence);
  }
}

/** Takes a message, from a peer or from a local storage thread. */
export function step(state: RaftState, message: Message): StepResult {
  if (message.term > state.term) {
    if (!enterTerm(state, message)) return 'accepted';
  } else if (message.term > 0 && message.term < state.term) {
    handleOldTerm(state, message);
    return 'accepted';
  }
  switch (message.type) {
    case MessageType.hup:
      standForElection(state, 'timeout');
      return 'accepted';
    case MessageType.storageAppendResponse:
      handleAppended(state, message);
      return 'accepted';
    case MessageType.storageApplyResponse:
      handleApplied(state, message.entries);
      return 'accepted';
    case MessageType.vote:
    case MessageType.preVote:
      handleVoteRequest(state, message);
      return 'accepted';
    case MessageType.propose:
      return propose(state, message.entries, message.from).status === 'dropped' ? 'proposal-dropped' : 'accepted';
  }
  if (state.role === Role.leader) stepLeader(state, message);
  else if (state.role === Role.follower) stepFollower(state, message);
  else if (message.type === awaitedResponse(state.role)) handleVoteResponse(state, message);
  else stepCandidate(state, message);
  return 'accepted';
}

/** Which answers a candidate counts: one of the other kind is left from before. */
function awaitedResponse(role: Role): MessageType {
  return role === Role.preCandidate ? MessageType.preVoteResponse : MessageType.voteResponse;
}

/** Meets a later term. False when the message is not to be looked at further. (Raft §5.1) */
function enterTerm(state: RaftState, message: Message): boolean {
  const { type, from, term } = message;
  const isVote = type === MessageType.vote || type === MessageType.preVote;
  if (isVote && ignoresVote(state, message)) return false;
  // A pre-vote is about a term that nobody is in yet; so is its answer, unless it is a refusal in the voter's own term.
  if (type === MessageType.preVote || (type === MessageType.preVoteResponse && !message.reject)) return true;
  state.trace?.({ kind: 'higher-term', type, from, term: state.term, messageTerm: term });
  const isLeaders = type === MessageType.append || type === MessageType.heartbeat || type === MessageType.snapshot;
  state.becomeFollower(term, isLeaders ? from : noNode);
  return true;
}

/** Answers a message of an earlier term where silence could leave somebody stuck. */
function handleOldTerm(state: RaftState, message: Message): void {
  const { type, from, term } = message;
  const { checkQuorum, preVote } = state.options;
  const isLeaders = type === MessageType.append || type === MessageType.heartbeat;
  if (isLeaders && (checkQuorum || preVote)) {
    // Its lease or pre-vote would keep us out for ever, since we cannot raise its term by asking for votes: tell it ours,
    // so that it steps down and a new election takes in both.
    state.send(MessageType.appendResponse, from, {});
  } else if (type === MessageType.preVote) {
    rejectVote(state, message);
  } else if (type === MessageType.storageAppendResponse) {
    // What was written may be about to be overwritten by a later write. A snapshot is committed whatever the term.
    if (message.index > 0) state.trace?.({ kind: 'stale-append', type, term: state.term, messageTerm: term });
    if (message.snapshot !== undefined) appliedSnapshot(state, message.snapshot.metadata);
  } else {
    state.trace?.({ kind: 'lower-term', type, from, term: state.term, messageTerm: term });
  }
}

/** Proposes entries here, or passes them to the leader; `from` is who asked first. (Raft §8) */
export function propose(state: RaftState, entries: readonly Entry[], from: number): ProposeResult {
  if (state.role === Role.leader) return proposeAsLeader(state, entries);
  const { leader, term } = state;
  if (leader === noNode || state.role !== Role.follower || state.options.disableProposalForwarding) {
    const reason = leader === noNode ? 'no-leader' : 'not-forwarding';
    state.trace?.({ kind: 'proposal-dropped', reason, term, leader, transferee: noNode });
    return { status: 'dropped', reason };
  }
  state.send(MessageType.propose, leader, { from, entries });
  return { status: 'forwarded', leader };
}

/** Entries and perhaps a snapshot are on disk. */
function handleAppended(state: RaftState, message: Message): void {
  if (message.index > 0) state.log.unstable.stableTo(message.index, message.logTerm);
  if (message.snapshot !== undefined) appliedSnapshot(state, message.snapshot.metadata);
}

function handleApplied(state: RaftState, entries: readonly Entry[]): void {
  const last = entries.at(-1);
  if (last === undefined) return;
  appliedTo(state, last.index, entriesSize(entries));
  releaseUncommitted(state, entries);
}

function appliedSnapshot(state: RaftState, metadata: SnapshotMetadata): void {
  state.log.unstable.stableSnapshotTo(metadata.index);
  if (metadata.index > state.log.applied) state.appliedMembers = restoreConfiguration(metadata.confState);
  appliedTo(state, metadata.index, 0);
}

function appliedTo(state: RaftState, index: number, bytes: number): void {
  const { log, tracker } = state;
  log.appliedTo(Math.max(index, log.applied), bytes);
  const { configuration } = tracker;
  if (!configuration.autoLeave || state.role !== Role.leader || log.applied < state.pendingConfIndex) return;
  // Asked again after every applied entry until it is taken: a transfer under way stands against it.
  const leave: Entry = { index: 0, term: 0, type: EntryType.confChangeV2, data: noBytes };
  const started = proposeAsLeader(state, [leave]).status === 'appended';
  state.trace?.({ kind: 'joint-leave', started, configuration });
}
