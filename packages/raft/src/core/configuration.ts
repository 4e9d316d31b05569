import type { ConfChangeSingle } from './conf-change.js';
import { ConfChangeType } from './conf-change.js';
import type { ConfState, NodeId } from './message.js';

// How one set of members becomes the next. (Thesis chapter 4: §4.1 single changes, §4.3 joint consensus)
//
// A configuration is a `ConfState` whose arrays are sorted. Invariants:
//   votersOutgoing is empty unless the configuration is joint; learnersNext and autoLeave are empty and false then too.
//   learners meets neither voters nor votersOutgoing: a demoted outgoing voter waits in learnersNext.

/** A change that the configuration does not allow. */
export class ConfChangeError extends Error {
  override readonly name = 'ConfChangeError';
}

/** Nobody. */
export const emptyConfiguration: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

/** A configuration, and whose progress must start anew because they left on the way, even if they came back. */
export interface ChangedConfiguration {
  readonly configuration: ConfState;
  readonly left: ReadonlySet<NodeId>;
}

export function isJoint(configuration: ConfState): boolean {
  return configuration.votersOutgoing.length > 0;
}

/** Changes that alter the set of voters by at most one: any two majorities then meet. (Thesis §4.1) */
export function changeSimply(from: ConfState, changes: readonly ConfChangeSingle[]): ChangedConfiguration {
  if (isJoint(from)) throw new ConfChangeError("can't apply simple config change in joint config");
  const draft = new Draft(from);
  draft.apply(changes);
  if (countDifference(from.voters, draft.voters) > 1)
    throw new ConfChangeError('more than one voter changed without entering joint config');
  return draft.finish(false);
}

/** Any changes, with the present voters as the outgoing half. (Thesis §4.3) */
export function enterJoint(
  from: ConfState,
  changes: readonly ConfChangeSingle[],
  autoLeave: boolean,
): ChangedConfiguration {
  if (isJoint(from)) throw new ConfChangeError('config is already joint');
  if (from.voters.length === 0) throw new ConfChangeError("can't make a zero-voter config joint");
  const draft = new Draft(from);
  for (const id of from.voters) draft.outgoing.add(id);
  draft.apply(changes);
  return draft.finish(autoLeave);
}

/** The incoming half alone; who waits to be a learner becomes one. */
export function leaveJoint(from: ConfState): ChangedConfiguration {
  if (!isJoint(from)) throw new ConfChangeError("can't leave a non-joint config");
  const draft = new Draft(from);
  for (const id of draft.learnersNext) draft.learners.add(id);
  draft.learnersNext.clear();
  draft.outgoing.clear();
  return draft.finish(false);
}

/** The configuration as a snapshot or the storage gives it: sorted, checked. */
export function restoreConfiguration(state: ConfState): ConfState {
  const sorted: ConfState = {
    voters: sortedIds(state.voters),
    learners: sortedIds(state.learners),
    votersOutgoing: sortedIds(state.votersOutgoing),
    learnersNext: sortedIds(state.learnersNext),
    autoLeave: state.autoLeave,
  };
  const voters = new Set([...sorted.voters, ...sorted.votersOutgoing]);
  for (const id of sorted.learners)
    if (voters.has(id)) throw new ConfChangeError(`${id} is a voter and a learner at once`);
  for (const id of sorted.learnersNext)
    if (!sorted.votersOutgoing.includes(id) || sorted.voters.includes(id))
      throw new ConfChangeError(`${id} is to become a learner but is no outgoing voter`);
  if (sorted.autoLeave && !isJoint(sorted))
    throw new ConfChangeError('a configuration that is not joint leaves itself');
  return sorted;
}

/** Everyone in it, sorted. */
export function membersOf(configuration: ConfState): readonly NodeId[] {
  return sortedIds(new Set([...configuration.voters, ...configuration.votersOutgoing, ...configuration.learners]));
}

/** Whether the node votes, in either half. */
export function isVoter(configuration: ConfState, id: NodeId): boolean {
  return configuration.voters.includes(id) || configuration.votersOutgoing.includes(id);
}

/** A configuration in the making. */
class Draft {
  readonly voters: Set<NodeId>;
  readonly outgoing: Set<NodeId>;
  readonly learners: Set<NodeId>;
  readonly learnersNext: Set<NodeId>;
  readonly left: Set<NodeId> = new Set();

  constructor(from: ConfState) {
    this.voters = new Set(from.voters);
    this.outgoing = new Set(from.votersOutgoing);
    this.learners = new Set(from.learners);
    this.learnersNext = new Set(from.learnersNext);
  }

  apply(changes: readonly ConfChangeSingle[]): void {
    for (const { type, nodeId } of changes) {
      if (nodeId === 0) continue;
      if (type === ConfChangeType.addNode) this.#makeVoter(nodeId);
      else if (type === ConfChangeType.addLearner) this.#makeLearner(nodeId);
      else if (type === ConfChangeType.removeNode) this.#remove(nodeId);
    }
    if (this.voters.size === 0) throw new ConfChangeError('removed all voters');
  }

  finish(autoLeave: boolean): ChangedConfiguration {
    const configuration: ConfState = {
      voters: sortedIds(this.voters),
      learners: sortedIds(this.learners),
      votersOutgoing: sortedIds(this.outgoing),
      learnersNext: sortedIds(this.learnersNext),
      autoLeave,
    };
    return { configuration, left: this.left };
  }

  #makeVoter(id: NodeId): void {
    this.learners.delete(id);
    this.learnersNext.delete(id);
    this.voters.add(id);
  }

  /** An outgoing voter stays one until the joint configuration ends, because its vote still counts. */
  #makeLearner(id: NodeId): void {
    if (this.learners.has(id)) return;
    this.voters.delete(id);
    (this.outgoing.has(id) ? this.learnersNext : this.learners).add(id);
  }

  #remove(id: NodeId): void {
    const known = this.voters.delete(id) || this.learners.has(id);
    this.learners.delete(id);
    this.learnersNext.delete(id);
    if (known && !this.outgoing.has(id)) this.left.add(id);
  }
}

function countDifference(a: readonly NodeId[], b: ReadonlySet<NodeId>): number {
  const shared = a.filter((id) => b.has(id)).length;
  return a.length + b.size - 2 * shared;
}

function sortedIds(ids: Iterable<NodeId>): readonly NodeId[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
