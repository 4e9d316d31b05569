import { ByteReader, BytesError, ByteWriter, utf8 } from '@dcache/base';
import type { Change } from '../core/change.js';
import { readChange, writeChange } from '../core/change-codec.js';

/** First byte of a lease message; the replicator's are below 32. Append only. */
export const LeaseType = { ask: 32, grant: 33, done: 34, release: 35 } as const;

/** How a fill ended. Append only. */
export const LeaseOutcome = { stored: 0, failed: 1, empty: 2, timeout: 3 } as const;
export type LeaseOutcome = (typeof LeaseOutcome)[keyof typeof LeaseOutcome];

export type LeaseMessage =
  | {
      readonly type: typeof LeaseType.ask;
      readonly id: number;
      readonly space: string;
      readonly key: string;
      /** How long the fill may take before the others stop waiting. */
      readonly leaseMs: number;
      /** False: wants the lease now or not at all. */
      readonly waits: boolean;
    }
  | { readonly type: typeof LeaseType.grant; readonly id: number }
  | {
      readonly type: typeof LeaseType.done;
      readonly id: number;
      readonly outcome: LeaseOutcome;
      /** What was stored, so that who asked need not wait for the update. */
      readonly record: Change | undefined;
    }
  | {
      readonly type: typeof LeaseType.release;
      readonly space: string;
      readonly key: string;
      readonly outcome: LeaseOutcome;
    };

/** `u8 type`, then the fields in the order of `LeaseMessage`; a record is its origin and the change. */
export function encodeLease(message: LeaseMessage): Uint8Array {
  const writer = new ByteWriter(64).u8(message.type);
  switch (message.type) {
    case LeaseType.ask: {
      const { id, space, key, leaseMs, waits } = message;
      return writer
        .varint(id)
        .text(space)
        .text(key)
        .varint(leaseMs)
        .u8(waits ? 1 : 0)
        .finish();
    }
    case LeaseType.grant:
      return writer.varint(message.id).finish();
    case LeaseType.done:
      writer
        .varint(message.id)
        .u8(message.outcome)
        .u8(message.record === undefined ? 0 : 1);
      if (message.record !== undefined) {
        writer.text(message.record.origin);
        writeChange(writer, { dot: 0, space: undefined }, message.record);
      }
      return writer.finish();
    case LeaseType.release:
      return writer.text(message.space).text(message.key).u8(message.outcome).finish();
  }
}

/** Throws a `BytesError` at anything that `encodeLease` does not write. */
export function decodeLease(bytes: Uint8Array): LeaseMessage {
  const reader = new ByteReader(bytes);
  const message = decodeFields(reader, reader.u8());
  reader.end();
  return message;
}

function decodeFields(reader: ByteReader, type: number): LeaseMessage {
  switch (type) {
    case LeaseType.ask: {
      const [id, space, key] = [reader.varint(), reader.text(), reader.text()];
      return { type, id, space, key, leaseMs: reader.varint(), waits: reader.u8() === 1 };
    }
    case LeaseType.grant:
      return { type, id: reader.varint() };
    case LeaseType.done: {
      const id = reader.varint();
      const outcome = readOutcome(reader);
      if (reader.u8() === 0) return { type, id, outcome, record: undefined };
      const origin = reader.text();
      return { type, id, outcome, record: readChange(reader, { dot: 0, space: undefined }, origin) };
    }
    case LeaseType.release:
      return { type, space: reader.text(), key: reader.text(), outcome: readOutcome(reader) };
    default:
      throw new BytesError(`unknown message type ${type}`);
  }
}

function readOutcome(reader: ByteReader): LeaseOutcome {
  const outcome = reader.u8();
  if (outcome > LeaseOutcome.timeout) throw new BytesError(`unknown outcome ${outcome}`);
  return outcome as LeaseOutcome;
}

/**
 * The member that grants leases for a key: the one whose hash with the key is highest. All who agree on the members
 * agree on it, and when one comes or goes only its own keys move.
 *
 * (Thaler, Ravishankar: A Name-Based Mapping Scheme for Rendezvous, 1996)
 */
export function ownerOf(space: string, key: string, members: Iterable<string>): string {
  const name = utf8(`${space}\0${key}`);
  let owner = '';
  let highest = -1;
  for (const member of members) {
    const score = hash(utf8(member), hash(name, 0x811c9dc5));
    if (score > highest || (score === highest && member > owner)) {
      owner = member;
      highest = score;
    }
  }
  return owner;
}

/** FNV-1a, then the finalizer of MurmurHash3: FNV alone is too even for names that differ in one digit. */
function hash(bytes: Uint8Array, seed: number): number {
  let value = seed;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
