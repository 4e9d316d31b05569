import { createHash } from 'node:crypto';
import { ByteWriter } from '@dcache/base';
import { type Command, type IdempotencyStamp, idempotencyBytes, writeCommand } from '@dcache/protocol';

/**
 * The command under the `Idempotency-Key` it came with; the same command where there is none. The fingerprint covers all
 * that the request asks for: key, value, type, time to live and conditions, and whether it writes or deletes.
 */
export function withIdempotency(command: Command, key: string | undefined): Command {
  if (key === undefined) return command;
  const writer = new ByteWriter();
  writeCommand(writer, command);
  const idempotency: IdempotencyStamp = { key: hash(Buffer.from(key, 'latin1')), fingerprint: hash(writer.finish()) };
  return { ...command, idempotency } as Command;
}

function hash(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest().subarray(0, idempotencyBytes));
}
