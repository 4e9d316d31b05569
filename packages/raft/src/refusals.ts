import type { ConfChange } from './core/conf-change.js';
import { type NodeId, noNode, Role } from './core/message.js';
import type { RawNode } from './core/raw-node.js';
import type { ProposeResult, Status } from './core/ready.js';
import { RaftError } from './errors.js';

/** For a caller who needs the leader, at a node that is not: who is, if that is known. */
export function notLeader({ leader, role }: RawNode): RaftError {
  if (leader === noNode || role === Role.leader) return new RaftError('no-leader', 'no leader is known');
  return new RaftError('not-leader', `node ${leader} leads`, { leader });
}

/** For a caller who may ask again in a moment, there or at the next leader. */
export function handingOver(): RaftError {
  return new RaftError('handing-over', 'leadership is being handed to another node');
}

/** For a writer, at a leader that knows of no quorum whose disks have room, or of nobody who takes over. */
export function diskFull({ id, peers }: Status): RaftError {
  const voters = peers.filter(({ isLearner }) => !isLearner);
  const silent = voters.filter(({ isSilent }) => isSilent).map((peer) => peer.id);
  const full = voters.filter((peer) => peer.hasRoom === false && !silent.includes(peer.id)).map((peer) => peer.id);
  return new RaftError('disk-full', noRoom(id, full, silent), { full, silent });
}

/**
 * For who would hand leadership to `target`: undefined where its disk has room. Unless it was named, its disk is full
 * because those of all others that are heard are, too; and whether one has room that is not heard does not matter.
 */
export function successorRefusal(status: Status, target: NodeId, isNamed: boolean): RaftError | undefined {
  const { hasRoom, isSilent } = status.peers.find(({ id }) => id === target) ?? {};
  if (hasRoom !== false || (isSilent && !isNamed)) return undefined;
  const all = diskFull(status);
  const full = isNamed ? [target] : all.full.filter((id) => id !== status.id);
  const silent = isNamed ? [] : all.silent;
  const message = `${noRoom(status.id, full, silent)}: a leader there could take no writes`;
  return new RaftError('disk-full', message, { full, silent });
}

function noRoom(self: NodeId, full: readonly NodeId[], silent: readonly NodeId[]): string {
  const whose = full.map((node) => (node === self ? 'this node' : `node ${node}`)).join(' and ');
  const unheard = silent.length === 0 ? '' : `, and ${silent.join(' and ')} cannot be heard`;
  return `there is no room for more log on the disk of ${whose}${unheard}`;
}

/**
 * Why the core would not take the change now, asked before it is proposed: in place of a change that it refuses it puts an
 * empty entry into the log, and where nothing commits, each try would make the log longer.
 */
export function changeRefusal(core: RawNode, change: ConfChange): RaftError | undefined {
  const refused = core.confChangeRefusal(change);
  if (refused === undefined) return undefined;
  if (refused === 'invalid' || refused === 'malformed')
    return new RaftError('refused', 'the change does not fit the present members');
  return new RaftError('busy', 'an earlier membership change, or entry that may be one, is not applied yet');
}

/** Where a proposal is in the log. Throws the `RaftError` that says why the core did not take it. */
export function placeOf(core: RawNode, result: ProposeResult): Extract<ProposeResult, { status: 'appended' }> {
  if (result.status === 'appended') return result;
  const reason = result.status === 'dropped' ? result.reason : 'not-forwarding';
  if (reason === 'transferring') throw handingOver();
  if (reason === 'too-much-uncommitted') throw new RaftError('busy', 'too many bytes wait to be committed already');
  throw notLeader(core);
}
