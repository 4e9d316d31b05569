import { assert } from '@dcache/base';
import { asConfChangeV2, type ConfChange, entersJoint, leavesJoint } from './conf-change.js';
import {
  type ChangedConfiguration,
  ConfChangeError,
  changeSimply,
  enterJoint,
  isVoter,
  leaveJoint,
  membersOf,
} from './configuration.js';
import { type ConfState, noNode, Role, type Snapshot } from './message.js';
import { answerConfirmed } from './read.js';
import type { ConfChangeRefusal } from './ready.js';
import { broadcastAppend, sendAppend, tryCommit } from './replication.js';
import type { RaftState } from './state.js';

// Changes of the members. A change takes effect when it is applied, not when it is appended as in the thesis (§4.1):
// a change that is overwritten then needs no rollback, and the rule of one change at a time keeps majorities meeting.

/** The configuration after a change; throws a `ConfChangeError` where the change does not fit. */
function changed(from: ConfState, change: ConfChange): ChangedConfiguration {
  const asV2 = asConfChangeV2(change);
  if (leavesJoint(asV2)) return leaveJoint(from);
  const joint = entersJoint(asV2);
  return joint === undefined ? changeSimply(from, asV2.changes) : enterJoint(from, asV2.changes, joint.autoLeave);
}

/** Why a leader should not let this change into its log now; undefined if it may. */
export function refusalOf(state: RaftState, change: ConfChange | undefined): ConfChangeRefusal | undefined {
  if (change === undefined) return 'malformed';
  if (state.options.disableConfChangeValidation) return undefined;
  if (state.pendingConfIndex > state.log.applied) return 'pending-change';
  const leaves = asConfChangeV2(change).changes.length === 0;
  if (state.tracker.isJoint && !leaves) return 'joint';
  if (!state.tracker.isJoint && leaves) return 'not-joint';
  try {
    // No other change is under way, so this is the configuration that it will meet. One that cannot be made must not
    // be committed: every node would fail on it, again after each restart.
    changed(state.tracker.configuration, change);
  } catch (error) {
    if (error instanceof ConfChangeError) return 'invalid';
    throw error;
  }
  return undefined;
}

/** Makes the change of the committed entry at `index`, and answers the members as of that index. */
export function applyConfChange(state: RaftState, change: ConfChange, index: number): ConfState {
  if (index <= state.log.applied) return state.appliedMembers;
  const next = changed(state.appliedMembers, change);
  state.appliedMembers = next.configuration;
  // It may have been handed out before a snapshot came, whose members have the change, and later ones, already.
  if (index > state.restoredIndex) switchTo(state, next);
  return next.configuration;
}

function switchTo(state: RaftState, next: ChangedConfiguration): void {
  const { tracker } = state;
  tracker.switchTo(next, state.log.lastIndex);
  const { configuration } = tracker;
  state.trace?.({ kind: 'configuration-switched', configuration });
  if (state.role !== Role.leader) return;
  const own = tracker.get(state.id);
  if (own === undefined || own.isLearner) {
    if (state.options.stepDownOnRemoval) state.becomeFollower(state.term, noNode);
    return;
  }
  // A smaller quorum may have committed more; and newcomers need not wait for a heartbeat to be probed.
  if (tryCommit(state)) broadcastAppend(state);
  else for (const member of tracker.members) if (member.id !== state.id) sendAppend(state, member, false);
  if (!isVoter(configuration, state.leadTransferee)) state.leadTransferee = noNode;
  answerConfirmed(state);
}

/**
 * Replaces log and members by a leader's snapshot, if it is ahead. False when it is not, or not for this node.
 *
 * Where the log has the snapshot's last entry, everything up to it is the same, and what follows may be newer than the
 * snapshot: the log is kept, and only the commit index moves. (Raft §7, figure 13 step 6)
 */
export function restore(state: RaftState, snapshot: Snapshot): boolean {
  const { log } = state;
  const { index, term, confState } = snapshot.metadata;
  if (index <= log.committed) return false;
  if (state.role !== Role.follower) {
    state.trace?.({ kind: 'snapshot-refused', reason: 'not-follower', confState });
    state.becomeFollower(state.term + 1, noNode);
    return false;
  }
  if (!membersOf(confState).includes(state.id)) {
    state.trace?.({ kind: 'snapshot-refused', reason: 'not-member', confState });
    return false;
  }
  if (log.hasEntry(index, term)) {
    traceReceived(state, 'fast-forwarded', snapshot);
    log.commitTo(index);
    return false;
  }
  log.restore(snapshot);
  state.tracker = state.newTracker();
  state.restoreMembers(confState);
  state.restoredIndex = index;
  state.trace?.({ kind: 'configuration-switched', configuration: state.tracker.configuration });
  traceReceived(state, 'restored', snapshot);
  return true;
}

export function traceReceived(
  state: RaftState,
  outcome: 'restored' | 'fast-forwarded' | 'accepted' | 'ignored',
  snapshot: Snapshot,
): void {
  if (state.trace === undefined) return;
  const { committed: commit, lastIndex, lastTerm } = state.log;
  const { index, term } = snapshot.metadata;
  state.trace({ kind: 'snapshot-received', outcome, commit, index, term, lastIndex, lastTerm });
}

/** Asserts that a configuration change in the log could be read: it was checked when it was proposed. */
export function assertReadable(change: ConfChange | undefined, index: number): asserts change is ConfChange {
  assert(change !== undefined, `entry ${index} is committed as a configuration change but cannot be read as one`);
}
