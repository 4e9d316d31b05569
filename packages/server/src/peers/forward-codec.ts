import { ByteReader, BytesError, ByteWriter } from '@dcache/base';
import {
  type Command,
  DcacheError,
  type ErrorCode,
  errorTable,
  type Reply,
  readCommand,
  readReply,
  writeCommand,
  writeReply,
} from '@dcache/protocol';

/*
 * What a follower sends to the leader for its clients, and what comes back, as application frames of the peer
 * connection. One batch is one turn of the follower's event loop.
 *
 *   request   format:u8 | batch:varint | count:varint | count x command
 *   response  format:u8 | batch:varint | count:varint | count x outcome
 *   outcome   0:u8 | reply      or      1:u8 | code:text | message:text
 */

const forwardFormat = 1;

/** One command's fate: its reply, or why there is none. */
export type Outcome = Reply | DcacheError;

export interface ForwardRequest {
  readonly batch: number;
  readonly commands: readonly Command[];
}

export interface ForwardResponse {
  readonly batch: number;
  readonly outcomes: readonly Outcome[];
}

/** What the commands take, about, saves a buffer that grows. */
export function encodeForwardRequest(
  request: ForwardRequest,
  commandsBytes: number = request.commands.length * 64,
): Uint8Array {
  const writer = new ByteWriter(commandsBytes + 32);
  writer.u8(forwardFormat).varint(request.batch).varint(request.commands.length);
  for (const command of request.commands) writeCommand(writer, command);
  return writer.finish();
}

/** Keys and values are views of `bytes`. Throws a `BytesError`. */
export function decodeForwardRequest(bytes: Uint8Array): ForwardRequest {
  const reader = openFrame(bytes);
  const batch = reader.varint();
  const count = boundedCount(reader);
  const commands: Command[] = [];
  for (let i = 0; i < count; i++) commands.push(readCommand(reader));
  reader.end();
  return { batch, commands };
}

export function encodeForwardResponse(response: ForwardResponse): Uint8Array {
  const writer = new ByteWriter(16 + response.outcomes.length * 10);
  writer.u8(forwardFormat).varint(response.batch).varint(response.outcomes.length);
  for (const outcome of response.outcomes) {
    if (outcome instanceof DcacheError) writer.u8(1).text(outcome.code).text(outcome.message);
    else writeReply(writer.u8(0), outcome);
  }
  return writer.finish();
}

/** Throws a `BytesError`. */
export function decodeForwardResponse(bytes: Uint8Array): ForwardResponse {
  const reader = openFrame(bytes);
  const batch = reader.varint();
  const count = boundedCount(reader);
  const outcomes: Outcome[] = [];
  for (let i = 0; i < count; i++) {
    if (reader.u8() === 0) outcomes.push(readReply(reader));
    else outcomes.push(readError(reader));
  }
  reader.end();
  return { batch, outcomes };
}

function openFrame(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== forwardFormat)
    throw new BytesError(`forwarded batch of format ${format}; this version reads ${forwardFormat}`);
  return reader;
}

/** A code of a newer version that this one does not know counts as `internal`. */
function readError(reader: ByteReader): DcacheError {
  const code = reader.text();
  const message = reader.text();
  return new DcacheError(Object.hasOwn(errorTable, code) ? (code as ErrorCode) : 'internal', message);
}

function boundedCount(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.remaining) throw new BytesError(`a batch that claims ${count} parts in ${reader.remaining} bytes`);
  return count;
}
