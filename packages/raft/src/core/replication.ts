import { payloadSize } from './entry-size.js';
import { type Entry, MessageType, type NodeId, noEntries } from './message.js';
import { type Progress, ProgressState } from './progress.js';
import type { RaftState } from './state.js';

// A leader's way of getting its log to the members. (Raft §5.3)

/** Adds entries to the leader's own log. Undefined when too much waits for commit already; else the first's index. */
export function appendOwn(state: RaftState, entries: readonly Entry[]): number | undefined {
  const bytes = payloadSize(entries);
  // One proposal may pass the limit, or a large one could never be made; an empty entry is always taken.
  if (state.uncommittedBytes > 0 && bytes > 0 && state.uncommittedBytes + bytes > state.options.maxUncommittedSize)
    return undefined;
  state.uncommittedBytes += bytes;
  const first = state.log.lastIndex + 1;
  const term = state.term;
  const own = entries.map((entry, i) => placed(entry, first + i, term));
  state.log.append(own);
  // The leader counts itself once the entries are durable, by the same answer that followers give.
  state.acknowledge(state.id, first + own.length - 1);
  return first;
}

/** The entry at its place; itself when it was made for that place. */
function placed(entry: Entry, index: number, term: number): Entry {
  const { type, data } = entry;
  return entry.index === index && entry.term === term ? entry : { index, term, type, data };
}

/** Sends all members what they lack; an empty append, which tells the commit index, where they lack nothing. */
export function broadcastAppend(state: RaftState): void {
  const members = state.tracker.members;
  for (let i = 0; i < members.length; i++) {
    const member = members[i]!;
    if (member.id !== state.id) sendAppend(state, member, true);
  }
}

/** Sends one append to a member that is not paused. Whether something was sent. */
export function sendAppend(state: RaftState, member: Progress, evenIfEmpty: boolean): boolean {
  if (member.isPaused) return false;
  const { log, options } = state;
  const prevIndex = member.nextIndex - 1;
  const prevTerm = log.term(prevIndex);
  if (prevTerm === undefined) return sendSnapshot(state, member);
  let entries: readonly Entry[] | undefined = noEntries;
  // Past the inflight limit only empty appends go: were all in flight lost, nothing else would find that out.
  if (member.state !== ProgressState.replicate || !member.inflights.isFull) {
    entries = log.entriesFrom(member.nextIndex, options.maxSizePerMessage);
    if (entries === undefined) return sendSnapshot(state, member);
  }
  if (entries.length === 0 && !evenIfEmpty) return false;
  state.sendAppend(member.id, prevIndex, prevTerm, entries);
  member.sentAppend(entries.length, payloadSize(entries), log.committed);
  return true;
}

/** Sends the newest snapshot to a member whose next entry is compacted away. (Raft §7) */
function sendSnapshot(state: RaftState, member: Progress): boolean {
  if (!member.recentActive) {
    state.trace?.({ kind: 'snapshot-held', to: member.id, reason: 'inactive' });
    return false;
  }
  const snapshot = state.log.snapshot();
  if (snapshot === undefined) {
    state.trace?.({ kind: 'snapshot-held', to: member.id, reason: 'unavailable' });
    return false;
  }
  const { index, term } = snapshot.metadata;
  state.trace?.({
    kind: 'snapshot-sent',
    progress: member,
    firstIndex: state.log.firstIndex,
    commit: state.log.committed,
    index,
    term,
  });
  member.becomeSnapshot(index);
  state.trace?.({ kind: 'replication-paused', progress: member });
  state.send(MessageType.snapshot, member.id, { snapshot });
  return true;
}

/** Tells all members that the leader lives; `context` is the read round that the answers confirm, or 0. */
export function broadcastHeartbeat(state: RaftState, context: number): void {
  for (const member of state.tracker.members) {
    if (member.id === state.id) continue;
    // A member must not commit what it may not have: its log beyond matchIndex can be another leader's.
    const commit = Math.min(member.matchIndex, state.log.committed);
    state.send(MessageType.heartbeat, member.id, { commit, context });
    member.sentCommit = commit;
  }
}

/** Commits what a quorum has stored of this term. (Raft §5.3, §5.4.2) */
export function tryCommit(state: RaftState): boolean {
  return state.log.tryCommit(state.tracker.committed(), state.term);
}

/** Whether an entry of the leader's own term is committed, so that its commit index is no older than any other's. */
export function hasCommittedInTerm(state: RaftState): boolean {
  return state.log.term(state.log.committed) === state.term;
}

/** Entries of this many payload bytes were applied and no longer count as waiting. */
export function releaseUncommitted(state: RaftState, entries: readonly Entry[]): void {
  state.uncommittedBytes = Math.max(0, state.uncommittedBytes - payloadSize(entries));
}

/** Asks a member to campaign at once. (Thesis §3.10) */
export function sendTimeoutNow(state: RaftState, to: NodeId): void {
  state.send(MessageType.timeoutNow, to, {});
}
