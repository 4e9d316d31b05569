import { ConfChangeError, restoreConfiguration } from './configuration.js';
import { type Entry, type Message, MessageType, type NodeId, noNode, type Snapshot } from './message.js';

/**
 * Whether a message is one that a core may have sent to node `id`. What is not is refused as a whole, because the log
 * takes an entry's index and term at their word. It says nothing about whether the message is true: members are trusted.
 */
export function isWellFormed(message: Message, id: NodeId): boolean {
  const { type, to, from, entries, snapshot } = message;
  // What was sent to the node that had this address before is none of ours: its votes and entries were not ours either.
  if (to !== id || from === noNode) return false;
  if (from === id && !mayBeOwn(type)) return false;
  switch (type) {
    case MessageType.append:
      return followOn(entries, message.index, message.logTerm, message.term);
    case MessageType.propose:
      return entries.length > 0;
    case MessageType.snapshot:
      return snapshot !== undefined && isUsable(snapshot);
    default:
      return true;
  }
}

/**
 * What may come from oneself: what the storage answers for a node, and what another node, that took this one for the
 * leader, passed on under the name of who asked first.
 */
function mayBeOwn(type: MessageType): boolean {
  switch (type) {
    case MessageType.appendResponse:
    case MessageType.voteResponse:
    case MessageType.preVoteResponse:
    case MessageType.propose:
    case MessageType.readIndex:
    case MessageType.transferLeader:
      return true;
    default:
      return false;
  }
}

/** Whether entries follow (`index`, `term`) without a gap, in terms that do not fall and do not pass their leader's. */
function followOn(entries: readonly Entry[], index: number, term: number, leaderTerm: number): boolean {
  let last = term;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    if (entry.index !== index + 1 + i || entry.term < last || entry.term > leaderTerm) return false;
    last = entry.term;
  }
  return true;
}

function isUsable({ metadata }: Snapshot): boolean {
  if (metadata.index === 0 || metadata.term === 0) return false;
  try {
    return restoreConfiguration(metadata.confState).voters.length > 0;
  } catch (error) {
    if (error instanceof ConfChangeError) return false;
    throw error;
  }
}
