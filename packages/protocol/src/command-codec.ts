import { type ByteReader, BytesError, type ByteWriter } from '@dcache/base';
import {
  type Command,
  CommandType,
  type Condition,
  type ConditionType,
  type DeleteCommand,
  type EntryWrite,
  type IdempotencyStamp,
  idempotencyBytes,
  type Reply,
  type ReplyType,
  type SessionStamp,
  type SetCommand,
} from './command.js';

/*
 * One command:
 *
 *   type:u8 | present:u8 | [condition] | [session] | [idempotency] | body
 *
 *   present    bit 0: a condition follows, bit 1: a session stamp, bit 2 (set and delete): an idempotency stamp
 *   condition  type:u8 | revision:varint
 *   session    session:varint | sequence:varint | lowestUnanswered:varint
 *   idempotency  key:16 raw bytes | fingerprint:16 raw bytes
 *   set        key:bytes | value:bytes | ttlMs:varint | flags:varint
 *   delete     key:bytes
 *   touch      count:varint | count x key:bytes
 *   setMany    count:varint | count x entry
 *   load       count:varint | count x entry
 *   clear      nothing
 *   entry      present:u8 | [condition] | key:bytes | value:bytes | ttlMs:varint | flags:varint
 *   openSession ttlMs:varint · closeSession id:varint · configure maxBytes:varint | eviction:text
 */

const hasCondition = 1;
const hasSession = 2;
const hasIdempotency = 4;

/** Appends one command. */
export function writeCommand(writer: ByteWriter, command: Command): void {
  // By type, and not by what fields there are: a set is most of what is written, and looking for a field costs more.
  switch (command.type) {
    case CommandType.set:
      writeHead(writer, command.type, command.condition, command.session, command.idempotency);
      writer.bytes(command.key).bytes(command.value).varint(command.ttlMs).varint(checkFlags(command.flags));
      return;
    case CommandType.delete:
      writeHead(writer, command.type, command.condition, command.session, command.idempotency);
      writer.bytes(command.key);
      return;
    case CommandType.touch:
      writeHead(writer, command.type);
      writer.varint(command.keys.length);
      for (const key of command.keys) writer.bytes(key);
      return;
    case CommandType.openSession:
      writeHead(writer, command.type);
      writer.varint(command.ttlMs);
      return;
    case CommandType.closeSession:
      writeHead(writer, command.type);
      writer.varint(command.id);
      return;
    case CommandType.configure:
      writeHead(writer, command.type);
      writer.varint(command.maxBytes).text(command.eviction);
      return;
    case CommandType.setMany:
      writeHead(writer, command.type, undefined, command.session);
      writeEntries(writer, command.sets);
      return;
    case CommandType.load:
      writeHead(writer, command.type, undefined, command.session);
      writeEntries(writer, command.entries);
      return;
    case CommandType.clear:
      writeHead(writer, command.type, undefined, command.session);
      return;
  }
}

function writeHead(
  writer: ByteWriter,
  type: CommandType,
  condition?: Condition,
  session?: SessionStamp,
  idempotency?: IdempotencyStamp,
): void {
  writer.u8(type).u8((condition ? hasCondition : 0) | (session ? hasSession : 0) | (idempotency ? hasIdempotency : 0));
  if (condition) writer.u8(condition.type).varint(condition.revision);
  if (session) writer.varint(session.session).varint(session.sequence).varint(session.lowestUnanswered);
  if (idempotency) writer.raw(idempotency.key).raw(idempotency.fingerprint);
}

/**
 * Reads one command; keys and values are views of the input. Throws a `BytesError` for a type or a bit that this version
 * does not know: an entry that one node would skip and another apply would part the replicas.
 */
export function readCommand(reader: ByteReader): Command {
  const start = reader.offset;
  const type = reader.u8() as CommandType;
  const present = reader.u8();
  const known = type === CommandType.set || type === CommandType.delete ? 7 : 3;
  if (present > known) throw new BytesError(`unknown bits ${present} in the command at offset ${start}`);
  const condition = (present & hasCondition) !== 0 ? readCondition(reader) : undefined;
  const session = (present & hasSession) !== 0 ? readSession(reader) : undefined;
  const idempotency = (present & hasIdempotency) !== 0 ? readIdempotency(reader) : undefined;
  switch (type) {
    case CommandType.set:
      return readSet(reader, condition, session, idempotency);
    case CommandType.delete:
      return { type, key: reader.bytes(), condition, session, idempotency } satisfies DeleteCommand;
    case CommandType.touch: {
      const count = boundedCount(reader);
      const keys: Uint8Array[] = [];
      for (let i = 0; i < count; i++) keys.push(reader.bytes());
      return { type, keys };
    }
    case CommandType.openSession:
      return { type, ttlMs: reader.varint() };
    case CommandType.closeSession:
      return { type, id: reader.varint() };
    case CommandType.configure:
      return { type, maxBytes: reader.varint(), eviction: reader.text() };
    case CommandType.setMany:
      return { type, sets: readEntries(reader), session };
    case CommandType.load:
      return { type, entries: readEntries(reader), session };
    case CommandType.clear:
      return { type, session };
    default:
      throw new BytesError(`unknown command type ${type as number} at offset ${start}`);
  }
}

/** Set in a reply's type where a count follows. */
const hasCount = 0x80;

/** Appends one reply: `type:u8 | revision:varint | [count:varint]`; bit 7 of the type tells that the count is there. */
export function writeReply(writer: ByteWriter, reply: Reply): void {
  if (reply.count === undefined) writer.u8(reply.type).varint(reply.revision);
  else
    writer
      .u8(reply.type | hasCount)
      .varint(reply.revision)
      .varint(reply.count);
}

export function readReply(reader: ByteReader): Reply {
  const type = reader.u8();
  const revision = reader.varint();
  if ((type & hasCount) === 0) return { type: type as ReplyType, revision };
  return { type: (type & ~hasCount) as ReplyType, revision, count: reader.varint() };
}

function writeEntries(writer: ByteWriter, entries: readonly EntryWrite[]): void {
  writer.varint(entries.length);
  for (const { condition, key, value, ttlMs, flags } of entries) {
    writer.u8(condition ? hasCondition : 0);
    if (condition) writer.u8(condition.type).varint(condition.revision);
    writer.bytes(key).bytes(value).varint(ttlMs).varint(checkFlags(flags));
  }
}

function readEntries(reader: ByteReader): EntryWrite[] {
  const count = boundedCount(reader);
  const entries: EntryWrite[] = [];
  for (let i = 0; i < count; i++) {
    const present = reader.u8();
    if (present > hasCondition) throw new BytesError(`unknown bits ${present} in entry ${i} of ${count}`);
    const condition = present === hasCondition ? readCondition(reader) : undefined;
    const key = reader.bytes();
    const value = reader.bytes();
    const ttlMs = reader.varint();
    entries.push({ key, value, ttlMs, flags: checkFlags(reader.varint()), condition });
  }
  return entries;
}

/** Flags have 32 bits. More would be refused by the store, on every node at once, when the entry is applied. */
function checkFlags(flags: number): number {
  if (flags >>> 0 !== flags) throw new BytesError(`flags are from 0 to 2^32-1, got ${flags}`);
  return flags;
}

function readSet(
  reader: ByteReader,
  condition?: Condition,
  session?: SessionStamp,
  idempotency?: IdempotencyStamp,
): SetCommand {
  const key = reader.bytes();
  const value = reader.bytes();
  const ttlMs = reader.varint();
  const flags = checkFlags(reader.varint());
  return { type: CommandType.set, key, value, ttlMs, flags, condition, session, idempotency };
}

function readCondition(reader: ByteReader): Condition {
  const type = reader.u8();
  if (type < 1 || type > 3) throw new BytesError(`unknown condition type ${type} at offset ${reader.offset - 1}`);
  return { type: type as ConditionType, revision: reader.varint() };
}

function readSession(reader: ByteReader): SessionStamp {
  return { session: reader.varint(), sequence: reader.varint(), lowestUnanswered: reader.varint() };
}

function readIdempotency(reader: ByteReader): IdempotencyStamp {
  return { key: reader.raw(idempotencyBytes), fingerprint: reader.raw(idempotencyBytes) };
}

/** A count no larger than the bytes that are left, so that a lie costs nothing. */
function boundedCount(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.remaining) throw new BytesError(`a count of ${count} with ${reader.remaining} bytes left`);
  return count;
}
