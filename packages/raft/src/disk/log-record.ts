import { crc32 } from 'node:zlib';
import { ByteReader, BytesError, type ByteWriter } from '@dcache/base';
import { readHardState, writeHardState } from '../codec.js';
import { type Entry, EntryType, type HardState } from '../core/message.js';
import { RaftError } from '../errors.js';

/**
 * What a commit frame holds: records, to be done in order.
 *
 * ```text
 *  entry      u8 1 | index | term | u8 type | u32 crc32 of the data | length | data
 *  hardState  u8 2 | term | vote | commit
 *  reset      u8 3 | index | term      the log is empty and begins after this place: a snapshot took its place
 *  base       u8 4 | index | term      first in a segment: where the log ended before it
 * ```
 *
 * Integers are varints. An entry has a checksum of its own, besides that of the frame, for when it alone is read later.
 */
export type LogRecord =
  | { readonly type: 'entry'; readonly entry: Entry; readonly offset: number; readonly length: number }
  | { readonly type: 'hardState'; readonly hardState: HardState }
  | { readonly type: 'reset' | 'base'; readonly index: number; readonly term: number };

// Append only: these numbers are the format.
const Tag = { entry: 1, hardState: 2, reset: 3, base: 4 } as const;

/** Bytes of the longest entry record beside its data. */
export const entryRecordOverhead: number = 1 + 8 + 8 + 1 + 4 + 8;

export function writeEntryRecord(writer: ByteWriter, entry: Entry): void {
  writer.u8(Tag.entry).varint(entry.index).varint(entry.term).u8(entry.type);
  writer.u32(crc32(entry.data)).bytes(entry.data);
}

export function writeHardStateRecord(writer: ByteWriter, hardState: HardState): void {
  writer.u8(Tag.hardState);
  writeHardState(writer, hardState);
}

export function writePlaceRecord(writer: ByteWriter, type: 'reset' | 'base', index: number, term: number): void {
  writer.u8(Tag[type]).varint(index).varint(term);
}

/** Calls `onRecord` for each record of a frame. Throws a `RaftError` `corrupt` that says where. */
export function readRecords(payload: Uint8Array, where: string, onRecord: (record: LogRecord) => void): void {
  const reader = new ByteReader(payload);
  try {
    while (reader.remaining > 0) onRecord(readRecord(reader));
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
    throw new RaftError('corrupt', `${where}: ${error.message}`, { cause: error });
  }
}

/** The entry of a record that was read alone. Throws a `RaftError` `corrupt`. */
export function readEntryRecord(bytes: Uint8Array, index: number, term: number, where: string): Entry {
  let found: Entry | undefined;
  readRecords(bytes, where, (record) => {
    if (record.type === 'entry') found = record.entry;
  });
  if (found === undefined || found.index !== index || found.term !== term)
    throw new RaftError('corrupt', `${where}: entry ${index} of term ${term} is not there`);
  return found;
}

function readRecord(reader: ByteReader): LogRecord {
  const offset = reader.offset;
  const tag = reader.u8();
  switch (tag) {
    case Tag.entry: {
      const index = reader.varint();
      const term = reader.varint();
      const type = reader.u8();
      if (type > EntryType.confChangeV2) throw new BytesError(`unknown type of entry ${type} at offset ${offset}`);
      const crc = reader.u32();
      const data = reader.bytes();
      if (crc32(data) !== crc) throw new BytesError(`the checksum of entry ${index} at offset ${offset} is wrong`);
      const entry = { index, term, type: type as EntryType, data };
      return { type: 'entry', entry, offset, length: reader.offset - offset };
    }
    case Tag.hardState:
      return { type: 'hardState', hardState: readHardState(reader) };
    case Tag.reset:
      return { type: 'reset', index: reader.varint(), term: reader.varint() };
    case Tag.base:
      return { type: 'base', index: reader.varint(), term: reader.varint() };
    default:
      throw new BytesError(`unknown record ${tag} at offset ${offset}`);
  }
}
