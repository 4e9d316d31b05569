import { ByteReader, BytesError, ByteWriter } from '@dcache/base';
import type { Command } from './command.js';
import { readCommand, writeCommand } from './command-codec.js';

/*
 * One entry of the replicated log:
 *
 *   0  format:u8    1
 *   1  type:u8      1 = commands
 *   2  slot:u16     which shard of the key space; 0 while one group holds all slots
 *   4  stampMs:u64  the leader's log time
 *  12  count:varint | count x command
 */

export const logEntryFormat = 1;

// Append only: these numbers are in the log.
export const LogEntryType = { commands: 1 } as const;

/** Where the entries' batch is cut; one larger command travels alone. */
export const maxBatchBytes = 1_048_576;

export interface LogEntry {
  /** Log time in milliseconds: what expiry is judged by. Never lower than the entry's before. */
  readonly stampMs: number;
  readonly commands: readonly Command[];
}

/** The bytes of one entry. What the commands take, about, saves a buffer that grows. */
export function encodeLogEntry(entry: LogEntry, commandsBytes: number = entry.commands.length * 64): Uint8Array {
  const writer = new ByteWriter(commandsBytes + 32);
  writer.u8(logEntryFormat).u8(LogEntryType.commands).u16(0).u64(entry.stampMs).varint(entry.commands.length);
  for (const command of entry.commands) writeCommand(writer, command);
  return writer.finish();
}

/**
 * Reads an entry; keys and values are views of `bytes`. Throws a `BytesError` for a format or type this version does
 * not know: a node that cannot read an entry must stop, never skip it.
 */
export function decodeLogEntry(bytes: Uint8Array): LogEntry {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== logEntryFormat)
    throw new BytesError(
      `log entry of format ${format}; this version reads format ${logEntryFormat}, so a newer one wrote it: start that`,
    );
  const type = reader.u8();
  if (type !== LogEntryType.commands) throw new BytesError(`log entry of unknown type ${type}`);
  reader.u16();
  const stampMs = reader.u64();
  const count = reader.varint();
  if (count > reader.remaining) throw new BytesError(`log entry that claims ${count} commands`);
  const commands: Command[] = [];
  for (let i = 0; i < count; i++) commands.push(readCommand(reader));
  reader.end();
  return { stampMs, commands };
}
