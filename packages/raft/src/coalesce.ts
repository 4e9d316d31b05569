import { entriesSize } from './core/entry-size.js';
import { type Entry, type Message, MessageType } from './core/message.js';

/**
 * Fewer messages that say the same: what a core has for one node in one turn is a message for each proposal, and an answer
 * for each of those. Appends that follow each other become one with all their entries, of at most `maxBytes`; of several
 * acknowledgements the last says it all. A receiver does the same with one as with all, with one write and one answer.
 *
 * Only neighbours are joined, so that nothing overtakes anything. Returns `messages` itself where nothing is to be joined.
 */
export function coalesce(messages: readonly Message[], maxBytes: number): readonly Message[] {
  if (messages.length < 2) return messages;
  const joined: Message[] = [];
  for (let at = 0; at < messages.length; ) {
    const message = messages[at]!;
    let end = at + 1;
    if (isAcknowledgement(message)) {
      while (end < messages.length && isLaterAcknowledgement(messages[end - 1]!, messages[end]!)) end++;
      joined.push(messages[end - 1]!);
    } else if (message.type === MessageType.append) {
      for (let bytes = entriesSize(message.entries); end < messages.length; end++) {
        bytes += entriesSize(messages[end]!.entries);
        if (bytes > maxBytes || !follows(messages[end - 1]!, messages[end]!)) break;
      }
      joined.push(end === at + 1 ? message : joinAppends(messages.slice(at, end)));
    } else {
      joined.push(message);
    }
    at = end;
  }
  return joined.length === messages.length ? messages : joined;
}

function isAcknowledgement({ type, reject }: Message): boolean {
  return type === MessageType.appendResponse && !reject;
}

function isLaterAcknowledgement(first: Message, second: Message): boolean {
  return (
    isAcknowledgement(second) &&
    second.to === first.to &&
    second.from === first.from &&
    second.term === first.term &&
    second.index >= first.index
  );
}

/** Whether the second append begins where the first ends. */
function follows(first: Message, second: Message): boolean {
  const { entries } = first;
  return (
    second.type === MessageType.append &&
    second.from === first.from &&
    second.term === first.term &&
    second.index === first.index + entries.length &&
    second.logTerm === (entries.length === 0 ? first.logTerm : entries[entries.length - 1]!.term) &&
    second.commit >= first.commit
  );
}

function joinAppends(appends: readonly Message[]): Message {
  const entries: Entry[] = [];
  for (const append of appends) for (const entry of append.entries) entries.push(entry);
  return { ...appends[0]!, entries, commit: appends[appends.length - 1]!.commit };
}
