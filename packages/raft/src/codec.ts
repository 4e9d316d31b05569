import { assert, ByteReader, BytesError, ByteWriter } from '@dcache/base';
import {
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  type Message,
  MessageType,
  type NodeId,
  newMessage,
  noBytes,
  noEntries,
  noMessages,
  type Snapshot,
  type SnapshotMetadata,
} from './core/message.js';
import { RaftError } from './errors.js';

/**
 * Messages as bytes. Integers are varints below 2^53.
 *
 * ```text
 *  batch    u8 version = 1 | count | message*
 *  message  u8 type | u16 present | from | to | the present fields, in the order of the bits:
 *           bit 0 term  1 logTerm  2 index  3 commit  4 vote  5 rejectHint  6 context  7 reject (no bytes: it is true)
 *               8 entries: count | entry*   9 snapshot: metadata | bytes
 *  entry    index | term | u8 type | bytes
 *  metadata index | term | confState
 *  confState u8 autoLeave | 4 lists of count | id*: voters, learners, votersOutgoing, learnersNext
 *  bytes    length | that many bytes
 * ```
 *
 * Decoding bounds what it allocates: every count is checked against what is left to read, and against a limit that no
 * writer of this package comes near.
 */
const version = 1;
const maxItems = 1 << 18;

// Append only: these bits are the protocol.
const Present = {
  term: 1 << 0,
  logTerm: 1 << 1,
  index: 1 << 2,
  commit: 1 << 3,
  vote: 1 << 4,
  rejectHint: 1 << 5,
  context: 1 << 6,
  reject: 1 << 7,
  entries: 1 << 8,
  snapshot: 1 << 9,
} as const;
const allPresent = (1 << 10) - 1;

/** Types that may cross the wire; the others are between a core and its driver. */
const wireTypes: ReadonlySet<number> = new Set<number>([
  MessageType.propose,
  MessageType.append,
  MessageType.appendResponse,
  MessageType.vote,
  MessageType.voteResponse,
  MessageType.snapshot,
  MessageType.heartbeat,
  MessageType.heartbeatResponse,
  MessageType.transferLeader,
  MessageType.timeoutNow,
  MessageType.readIndex,
  MessageType.readIndexResponse,
  MessageType.preVote,
  MessageType.preVoteResponse,
]);

/** A batch of messages. The message types are those that cross the wire. */
export function writeMessages(writer: ByteWriter, messages: readonly Message[]): void {
  writer.u8(version).varint(messages.length);
  for (const message of messages) writeMessage(writer, message);
}

/** The bytes of a batch. */
export function encodeMessages(messages: readonly Message[]): Uint8Array {
  const writer = new ByteWriter(256);
  writeMessages(writer, messages);
  return writer.copy();
}

/**
 * The messages of a batch. Their entries are views of `bytes`: give it bytes that may be kept, such as a copy of a
 * frame. Throws a `RaftError` `corrupt` for anything that `encodeMessages` does not write.
 */
export function decodeMessages(bytes: Uint8Array): Message[] {
  return decoding('batch of messages', () => {
    const reader = new ByteReader(bytes);
    const got = reader.u8();
    if (got !== version) throw new BytesError(`version ${got}, only ${version} is known`);
    const count = readCount(reader, 5, 'messages');
    const messages: Message[] = [];
    for (let i = 0; i < count; i++) messages.push(readMessage(reader));
    reader.end();
    return messages;
  });
}

/** Bytes that a message takes at least, for bounds: exact but for some tens of bytes. */
export function messageSize(message: Message): number {
  let size = 64;
  for (const entry of message.entries) size += entry.data.length + 16;
  return size + (message.snapshot?.data.length ?? 0);
}

function writeMessage(writer: ByteWriter, message: Message): void {
  if (!wireTypes.has(message.type)) assert(false, `a message of type ${message.type} never leaves its node`);
  const { term, logTerm, index, commit, vote, rejectHint, context, reject, entries, snapshot } = message;
  let present = 0;
  if (term !== 0) present |= Present.term;
  if (logTerm !== 0) present |= Present.logTerm;
  if (index !== 0) present |= Present.index;
  if (commit !== 0) present |= Present.commit;
  if (vote !== 0) present |= Present.vote;
  if (rejectHint !== 0) present |= Present.rejectHint;
  if (context !== 0) present |= Present.context;
  if (reject) present |= Present.reject;
  if (entries.length > 0) present |= Present.entries;
  if (snapshot !== undefined) present |= Present.snapshot;
  writer.u8(message.type).u16(present).varint(message.from).varint(message.to);
  if (term !== 0) writer.varint(term);
  if (logTerm !== 0) writer.varint(logTerm);
  if (index !== 0) writer.varint(index);
  if (commit !== 0) writer.varint(commit);
  if (vote !== 0) writer.varint(vote);
  if (rejectHint !== 0) writer.varint(rejectHint);
  if (context !== 0) writer.varint(context);
  if (entries.length > 0) {
    writer.varint(entries.length);
    for (const entry of entries) writeEntry(writer, entry);
  }
  if (snapshot !== undefined) {
    writeSnapshotMetadata(writer, snapshot.metadata);
    writer.bytes(snapshot.data);
  }
}

function readMessage(reader: ByteReader): Message {
  const at = reader.offset;
  const type = reader.u8();
  if (!wireTypes.has(type)) throw new BytesError(`type ${type} at offset ${at} is no message between nodes`);
  const present = reader.u16();
  if ((present & ~allPresent) !== 0) throw new BytesError(`unknown fields ${present} at offset ${at + 1}`);
  const from = readNodeId(reader);
  const to = readNodeId(reader);
  const term = present & Present.term ? reader.varint() : 0;
  const logTerm = present & Present.logTerm ? reader.varint() : 0;
  const index = present & Present.index ? reader.varint() : 0;
  const commit = present & Present.commit ? reader.varint() : 0;
  const vote = present & Present.vote ? reader.varint() : 0;
  const rejectHint = present & Present.rejectHint ? reader.varint() : 0;
  const context = present & Present.context ? reader.varint() : 0;
  return newMessage(
    type as MessageType,
    to,
    from,
    term,
    logTerm,
    index,
    commit,
    vote,
    (present & Present.reject) !== 0,
    rejectHint,
    context,
    present & Present.entries ? readEntries(reader) : noEntries,
    present & Present.snapshot ? readSnapshot(reader) : undefined,
    noMessages,
  );
}

/** One entry. */
function writeEntry(writer: ByteWriter, entry: Entry): void {
  writer.varint(entry.index).varint(entry.term).u8(entry.type).bytes(entry.data);
}

/** One entry; `data` is a view of what `reader` reads. Throws a `BytesError`. */
function readEntry(reader: ByteReader): Entry {
  const index = reader.varint();
  const term = reader.varint();
  const type = reader.u8();
  if (type > EntryType.confChangeV2)
    throw new BytesError(`unknown type of entry ${type} before offset ${reader.offset}`);
  const data = reader.bytes();
  return { index, term, type: type as EntryType, data: data.length === 0 ? noBytes : data };
}

/** What must be durable of a node. */
export function writeHardState(writer: ByteWriter, state: HardState): void {
  writer.varint(state.term).varint(state.vote).varint(state.commit);
}

/** Throws a `BytesError`. */
export function readHardState(reader: ByteReader): HardState {
  return { term: reader.varint(), vote: reader.varint(), commit: reader.varint() };
}

/** Place and members of a snapshot. */
export function writeSnapshotMetadata(writer: ByteWriter, metadata: SnapshotMetadata): void {
  const { voters, learners, votersOutgoing, learnersNext, autoLeave } = metadata.confState;
  writer
    .varint(metadata.index)
    .varint(metadata.term)
    .u8(autoLeave ? 1 : 0);
  for (const ids of [voters, learners, votersOutgoing, learnersNext]) {
    writer.varint(ids.length);
    for (const id of ids) writer.varint(id);
  }
}

/** Throws a `BytesError`. */
export function readSnapshotMetadata(reader: ByteReader): SnapshotMetadata {
  const index = reader.varint();
  const term = reader.varint();
  const autoLeave = reader.u8();
  if (autoLeave > 1) throw new BytesError(`autoLeave is ${autoLeave}, not 0 or 1, before offset ${reader.offset}`);
  const voters = readIds(reader);
  const learners = readIds(reader);
  const votersOutgoing = readIds(reader);
  const learnersNext = readIds(reader);
  const confState: ConfState = { voters, learners, votersOutgoing, learnersNext, autoLeave: autoLeave === 1 };
  return { index, term, confState };
}

/** Runs `decode` and turns what the bytes cannot mean into a `RaftError` `corrupt` that says of what. */
export function decoding<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof BytesError) throw new RaftError('corrupt', `bad ${what}: ${error.message}`, { cause: error });
    throw error;
  }
}

function readEntries(reader: ByteReader): Entry[] {
  const count = readCount(reader, 4, 'entries');
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const entry = readEntry(reader);
    // The core takes runs without gaps for granted; a peer that sends another is broken.
    if (i > 0 && entry.index !== entries[i - 1]!.index + 1)
      throw new BytesError(`entry ${entry.index} after ${entries[i - 1]!.index}`);
    entries.push(entry);
  }
  return entries;
}

function readSnapshot(reader: ByteReader): Snapshot {
  const metadata = readSnapshotMetadata(reader);
  return { metadata, data: reader.bytes() };
}

function readIds(reader: ByteReader): NodeId[] {
  const count = readCount(reader, 1, 'ids');
  const ids: NodeId[] = [];
  for (let i = 0; i < count; i++) ids.push(readNodeId(reader));
  return ids;
}

function readNodeId(reader: ByteReader): NodeId {
  const id = reader.varint();
  if (id === 0 || id >= 2 ** 52) throw new BytesError(`${id} is no node id, before offset ${reader.offset}`);
  return id;
}

function readCount(reader: ByteReader, bytesEach: number, what: string): number {
  const count = reader.varint();
  if (count > maxItems || count * bytesEach > reader.remaining)
    throw new BytesError(`${count} ${what} in ${reader.remaining} bytes at offset ${reader.offset}`);
  return count;
}
