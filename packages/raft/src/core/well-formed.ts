import { ConfChangeError, restoreConfiguration } from './configuration.js';
import { type Entry, type Message, MessageType, noNode, type Snapshot } from './message.js';

/**
 * Whether a message is one that a core may have sent. What is not is refused as a whole, because the log takes an entry's
 * index and term at their word. It says nothing about whether the message is true: members are trusted.
 */
export function isWellFormed(message: Message): boolean {
  if (message.from === noNode) return false;
  switch (message.type) {
    case MessageType.append:
      return followOn(message.entries, message.index, message.logTerm, message.term);
    case MessageType.propose:
      return message.entries.length > 0;
    case MessageType.snapshot:
      return message.snapshot !== undefined && isUsable(message.snapshot);
    default:
      return true;
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
