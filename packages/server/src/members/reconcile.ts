import type { ConfState } from '@dcache/raft';
import type { Identity } from '../state/directory.js';

/** A member as gossip sees it, with what its tags say. */
export interface GossipMember {
  readonly name: string;
  readonly status: 'alive' | 'leaving' | 'left' | 'failed';
  /** When this status was first seen here, on the monotonic clock. */
  readonly sinceMs: number;
  readonly raftId: number;
  readonly cluster: string;
  readonly rpcAddr: string;
}

/** All that the decision depends on. */
export interface MembershipView {
  readonly selfId: number;
  readonly cluster: string;
  readonly confState: ConfState;
  readonly identityOf: (id: number) => Identity | undefined;
  readonly gossip: readonly GossipMember[];
  /** Those of `gossip` that have proved to the leader, in the handshake of a connection, that they are who gossip says. */
  readonly proved: ReadonlySet<GossipMember>;
  /** Those of `proved` that live elsewhere than the log says, and were reached there. */
  readonly placed: ReadonlySet<GossipMember>;
  /** Learners that hold nearly all of the log and answer. */
  readonly caughtUp: ReadonlySet<number>;
  /** Members that answered the leader since it last checked its quorum: all, or right after a check none yet. */
  readonly active: ReadonlySet<number>;
  /** Members that have not answered the leader for a while. */
  readonly silent: ReadonlySet<number>;
  readonly nowMs: number;
  /** When a member without any gossip was first missed, on the monotonic clock. */
  readonly missedSinceMs: (id: number) => number;
  readonly removeFailedAfterMs: number;
}

export type MembershipChange =
  | { readonly type: 'add-learner'; readonly id: number; readonly identity: Identity }
  | { readonly type: 'promote'; readonly id: number }
  | { readonly type: 'update'; readonly id: number; readonly identity: Identity }
  | { readonly type: 'remove'; readonly id: number; readonly why: string };

/**
 * What the leader should change next so that the Raft configuration becomes what gossip says, or undefined. Gossip
 * suggests; the leader decides: one change at a time, nobody is taken in who has not proved who it is, a voter is removed
 * only while enough others answer, and the comparison is made anew each time, so that news heard while there was no
 * leader is not lost.
 */
export function nextChange(heard: MembershipView): MembershipChange | undefined {
  if (heard.confState.votersOutgoing.length > 0) return undefined;
  const view = { ...heard, gossip: heard.gossip.filter((member) => isItself(heard, member)) };
  return departed(view) ?? readyLearner(view) ?? newcomer(view) ?? moved(view);
}

/** A Raft id keeps its name for good: who claims one under another name is not that node, whatever it says. */
function isItself({ identityOf }: MembershipView, { raftId, name }: GossipMember): boolean {
  const known = identityOf(raftId);
  return known === undefined || known.name === name;
}

/**
 * A member that left, was replaced under its name, or failed for longer than the grace time. What gossip says of others
 * is not proved: without a proof it counts only of a member that is silent. One that leaves in order asks the leader.
 */
function departed(view: MembershipView): MembershipChange | undefined {
  for (const id of [...view.confState.learners, ...view.confState.voters]) {
    if (id === view.selfId) continue;
    const why = reasonToRemove(view, id);
    if (why !== undefined && keepsQuorum(view, id)) return { type: 'remove', id, why };
  }
  return undefined;
}

function reasonToRemove(view: MembershipView, id: number): string | undefined {
  const seen = view.gossip.find((member) => member.raftId === id);
  const isSilent = view.silent.has(id);
  if (seen?.status === 'left') return isSilent ? 'it left' : undefined;
  const name = view.identityOf(id)?.name;
  // Who takes the name of a member that still answers must have proved it; one that is silent and whose name lives on
  // elsewhere, in another cluster too, must not be named to clients any longer.
  const successor = view.gossip.find(
    (member) =>
      member.name === name &&
      member.raftId !== id &&
      member.status === 'alive' &&
      (view.proved.has(member) || isSilent),
  );
  if (successor && !seen) return `it was started anew as ${successor.raftId}`;
  if (seen && seen.status !== 'failed') return undefined;
  const since = seen ? seen.sinceMs : view.missedSinceMs(id);
  if (!isSilent) return undefined;
  const goneMs = view.nowMs - since;
  return goneMs >= view.removeFailedAfterMs ? `it failed ${Math.round(goneMs)} ms ago` : undefined;
}

/** Whether those that answer are a quorum of the configuration without `id`. Learners may always go. */
function keepsQuorum(view: MembershipView, id: number): boolean {
  const rest = view.confState.voters.filter((voter) => voter !== id);
  if (rest.length === view.confState.voters.length) return true;
  const answering = rest.filter((voter) => voter === view.selfId || view.active.has(voter)).length;
  return answering > rest.length / 2;
}

function readyLearner(view: MembershipView): MembershipChange | undefined {
  const id = view.confState.learners.find((learner) => {
    const seen = view.gossip.find((member) => member.raftId === learner);
    return view.caughtUp.has(learner) && seen?.status === 'alive';
  });
  return id === undefined ? undefined : { type: 'promote', id };
}

function newcomer(view: MembershipView): MembershipChange | undefined {
  const known = new Set([...view.confState.voters, ...view.confState.learners]);
  const member = view.gossip.find(
    (candidate) =>
      candidate.status === 'alive' &&
      candidate.cluster === view.cluster &&
      !known.has(candidate.raftId) &&
      view.proved.has(candidate),
  );
  if (!member) return undefined;
  return { type: 'add-learner', id: member.raftId, identity: { name: member.name, rpcAddr: member.rpcAddr } };
}

/** A durable node that came back at another address. */
function moved(view: MembershipView): MembershipChange | undefined {
  for (const member of view.gossip) {
    const known = view.identityOf(member.raftId);
    if (!known || member.status !== 'alive' || !view.placed.has(member)) continue;
    if (known.rpcAddr === member.rpcAddr) continue;
    return { type: 'update', id: member.raftId, identity: { name: member.name, rpcAddr: member.rpcAddr } };
  }
  return undefined;
}
