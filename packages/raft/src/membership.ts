import { ConfChangeType, type ConfChangeV2 } from './core/conf-change.js';
import type { ConfState, NodeId } from './core/message.js';
import type { PeerStatus, Status } from './core/ready.js';
import { RaftError } from './errors.js';

/** One step in the life of a member. A node comes as a learner, and votes once it has caught up. (Thesis §4.2.1) */
export interface MembershipChange {
  /**
   * `add-learner`: receives the log and does not vote. `promote`: a learner that has caught up becomes a voter. `remove`:
   * is a member no more. `update`: nothing for Raft, only carries `context`.
   */
  readonly type: 'add-learner' | 'promote' | 'remove' | 'update';
  readonly id: NodeId;
  /** Handed to every state machine, opaque to Raft; such as the member's name and address. */
  readonly context?: Uint8Array;
}

const changeTypes = {
  'add-learner': ConfChangeType.addLearner,
  promote: ConfChangeType.addNode,
  remove: ConfChangeType.removeNode,
  update: ConfChangeType.updateNode,
} as const;

/** The change as the log carries it. */
export function toConfChange(change: MembershipChange): ConfChangeV2 {
  const changes = [{ type: changeTypes[change.type], nodeId: change.id }];
  return change.context === undefined ? { changes } : { changes, context: change.context };
}

/** Whether the members are already as the change wants them, and it carries nothing else. */
export function isAlreadySo(change: MembershipChange, { voters, learners }: ConfState): boolean {
  switch (change.type) {
    case 'add-learner':
      return learners.includes(change.id) && change.context === undefined;
    case 'promote':
      return voters.includes(change.id);
    case 'remove':
      return !voters.includes(change.id) && !learners.includes(change.id);
    case 'update':
      return false;
  }
}

/** Why the leader will not make the change now, or undefined. */
export function refusal(change: MembershipChange, status: Status, maxLag: number): RaftError | undefined {
  const { voters, learners } = status.confState;
  const { id } = change;
  if (!Number.isSafeInteger(id) || id < 1 || id >= 2 ** 52)
    return new RaftError('refused', `id takes an integer from 1 to 2^52-1, got ${String(id)}`);
  const isMember = voters.includes(id) || learners.includes(id);
  switch (change.type) {
    case 'add-learner':
      if (voters.includes(id)) return new RaftError('refused', `${id} is a voter: it would lose its vote`);
      return undefined;
    case 'promote':
      if (!learners.includes(id)) return new RaftError('refused', `${id} is no learner; add it as one first`);
      return lagRefusal(id, status, maxLag);
    case 'remove':
      if (voters.length === 1 && voters[0] === id)
        return new RaftError('refused', `${id} is the last voter: the cluster would end`);
      return undefined;
    case 'update':
      return isMember ? undefined : new RaftError('refused', `${id} is no member`);
    default:
      return new RaftError('refused', `type takes add-learner, promote, remove or update, got ${String(change.type)}`);
  }
}

/** A voter that lags counts for the quorum and helps it with nothing, so a learner must have caught up. */
function lagRefusal(id: NodeId, status: Status, maxLag: number): RaftError | undefined {
  const peer = status.peers.find((other) => other.id === id);
  const lag = status.lastIndex - (peer?.matchIndex ?? 0);
  if (peer === undefined || lag > maxLag)
    return new RaftError('not-caught-up', `learner ${id} is ${lag} entries behind; ${maxLag} are allowed`);
  // A new member counts as active before it ever answered; only one whose answers the leader has is in `replicate`.
  if (!peer.recentActive || peer.state !== 'replicate')
    return new RaftError('not-caught-up', `learner ${id} does not follow yet: it is in state ${peer.state}`);
  return undefined;
}

/** The other voter that has most of the log, of those that `isWanted`; one that answers and has room, if any does. */
export function bestSuccessor(
  { id, peers }: Status,
  isWanted: (peer: PeerStatus) => boolean = () => true,
): NodeId | undefined {
  let best: PeerStatus | undefined;
  for (const peer of peers) {
    if (peer.id === id || peer.isLearner || !isWanted(peer)) continue;
    if (best === undefined || isBetter(peer, best)) best = peer;
  }
  return best?.id;
}

function isBetter(peer: PeerStatus, best: PeerStatus): boolean {
  if (peer.isSilent !== best.isSilent) return best.isSilent;
  const [isFull, isBestFull] = [peer.hasRoom === false, best.hasRoom === false];
  if (isFull !== isBestFull) return isBestFull;
  if (peer.recentActive !== best.recentActive) return peer.recentActive;
  return peer.matchIndex > best.matchIndex;
}
