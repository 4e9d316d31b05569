import type { ConfChange } from './core/conf-change.js';
import { noNode, Role } from './core/message.js';
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
  const whose = full.map((node) => (node === id ? 'this node' : `node ${node}`)).join(' and ');
  const unheard = silent.length === 0 ? '' : `, and ${silent.join(' and ')} cannot be heard`;
  return new RaftError('disk-full', `there is no room for more log on the disk of ${whose}${unheard}`, {
    full,
    silent,
  });
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
