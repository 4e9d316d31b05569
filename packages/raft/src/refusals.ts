import { noNode, Role } from './core/message.js';
import type { RawNode } from './core/raw-node.js';
import type { ProposeResult } from './core/ready.js';
import { RaftError } from './errors.js';

/** For a caller who needs the leader, at a node that is not: who is, if that is known. */
export function notLeader({ leader, role }: RawNode): RaftError {
  if (leader === noNode || role === Role.leader) return new RaftError('no-leader', 'no leader is known');
  return new RaftError('not-leader', `node ${leader} leads`, { leader });
}

/** Where a proposal is in the log. Throws the `RaftError` that says why the core did not take it. */
export function placeOf(core: RawNode, result: ProposeResult): Extract<ProposeResult, { status: 'appended' }> {
  if (result.status === 'appended') return result;
  const reason = result.status === 'dropped' ? result.reason : 'not-forwarding';
  if (reason === 'transferring') throw new RaftError('busy', 'leadership is being handed over');
  if (reason === 'too-much-uncommitted') throw new RaftError('busy', 'too many bytes wait to be committed already');
  throw notLeader(core);
}
