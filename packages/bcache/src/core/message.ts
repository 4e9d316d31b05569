import { ByteReader, BytesError, ByteWriter, unreachable } from '@dcache/base';
import type { Batch } from './log.js';

/** First byte of every message between replicators. Append only: these numbers are the protocol. */
export const MessageType = {
  updates: 1,
  positions: 2,
  pull: 3,
  tooOld: 4,
  refused: 5,
  stateRequest: 6,
  stateBegin: 7,
  stateChunk: 8,
  stateEnd: 9,
  stateMore: 10,
  stateBusy: 11,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

export interface PositionEntry {
  readonly origin: string;
  readonly seen: number;
  readonly dot: number;
  /** Lowest number from which the sender can still serve all up to `seen`. */
  readonly reach: number;
  readonly voidAbove: number;
}

export type Message =
  | {
      readonly type: typeof MessageType.positions;
      readonly wantsAnswer: boolean;
      /** The sender's cluster time. */
      readonly nowMs: number;
      /** In an answer: `nowMs` of what it answers; 0 in all others. */
      readonly echoMs: number;
      readonly entries: readonly PositionEntry[];
    }
  | { readonly type: typeof MessageType.pull; readonly origin: string; readonly from: number; readonly to: number }
  | { readonly type: typeof MessageType.tooOld; readonly origin: string; readonly reach: number }
  | { readonly type: typeof MessageType.refused; readonly nowMs: number; readonly origin: string; readonly dot: number }
  | { readonly type: typeof MessageType.stateRequest; readonly id: number; readonly isStale: boolean }
  | { readonly type: typeof MessageType.stateBegin; readonly id: number; readonly entries: readonly PositionEntry[] }
  | {
      readonly type: typeof MessageType.stateChunk;
      readonly id: number;
      /** Its place: `stateBegin` is 0, chunks follow, `stateEnd` is the last. */
      readonly index: number;
      readonly body: Uint8Array;
    }
  | { readonly type: typeof MessageType.stateEnd; readonly id: number; readonly index: number }
  | { readonly type: typeof MessageType.stateMore; readonly id: number }
  | { readonly type: typeof MessageType.stateBusy; readonly id: number };

const maxEntries = 100_000;

/** `u8 type`, then the fields in the order of `Message`; numbers are varints, texts have a length before them. */
export function encodeMessage(message: Message): Uint8Array {
  const writer = new ByteWriter(message.type === MessageType.stateChunk ? message.body.length + 16 : 64);
  writer.u8(message.type);
  switch (message.type) {
    case MessageType.positions:
      writer
        .u8(message.wantsAnswer ? 1 : 0)
        .varint(toMs(message.nowMs))
        .varint(toMs(message.echoMs));
      writeEntries(writer, message.entries);
      break;
    case MessageType.pull:
      writer.text(message.origin).varint(message.from).varint(message.to);
      break;
    case MessageType.tooOld:
      writer.text(message.origin).varint(message.reach);
      break;
    case MessageType.refused:
      writer.varint(toMs(message.nowMs)).text(message.origin).varint(message.dot);
      break;
    case MessageType.stateRequest:
      writer.varint(message.id).u8(message.isStale ? 1 : 0);
      break;
    case MessageType.stateBegin:
      writer.varint(message.id);
      writeEntries(writer, message.entries);
      break;
    case MessageType.stateChunk:
      writer.varint(message.id).varint(message.index).raw(message.body);
      break;
    case MessageType.stateEnd:
      writer.varint(message.id).varint(message.index);
      break;
    case MessageType.stateMore:
    case MessageType.stateBusy:
      writer.varint(message.id);
      break;
    default:
      unreachable(message);
  }
  return writer.finish();
}

/** Throws a `BytesError` at anything that `encodeMessage` does not write. Updates are read by `readBatch`. */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new ByteReader(bytes);
  const type = reader.u8() as Message['type'];
  const message = decodeFields(reader, type);
  if (message === undefined) throw new BytesError(`unknown message type ${type}`);
  reader.end();
  return message;
}

function decodeFields(reader: ByteReader, type: Message['type']): Message | undefined {
  switch (type) {
    case MessageType.positions: {
      const wantsAnswer = reader.u8() === 1;
      return { type, wantsAnswer, nowMs: reader.varint(), echoMs: reader.varint(), entries: readEntries(reader) };
    }
    case MessageType.pull:
      return { type, origin: reader.text(), from: reader.varint(), to: reader.varint() };
    case MessageType.tooOld:
      return { type, origin: reader.text(), reach: reader.varint() };
    case MessageType.refused:
      return { type, nowMs: reader.varint(), origin: reader.text(), dot: reader.varint() };
    case MessageType.stateRequest:
      return { type, id: reader.varint(), isStale: reader.u8() === 1 };
    case MessageType.stateBegin:
      return { type, id: reader.varint(), entries: readEntries(reader) };
    case MessageType.stateChunk:
      return { type, id: reader.varint(), index: reader.varint(), body: reader.raw(reader.remaining) };
    case MessageType.stateEnd:
      return { type, id: reader.varint(), index: reader.varint() };
    case MessageType.stateMore:
    case MessageType.stateBusy:
      return { type, id: reader.varint() };
    default:
      return undefined;
  }
}

/** A batch of updates: `u8 1, text origin, varint first, varint count`, then a run of changes. */
export function encodeBatch(origin: string, first: number, count: number, run: Uint8Array): Batch {
  const writer = new ByteWriter(run.length + origin.length * 3 + 24);
  writer.u8(MessageType.updates).text(origin).varint(first).varint(count);
  const runAt = writer.length;
  writer.raw(run);
  return { origin, first, count, bytes: writer.finish(), runAt };
}

/** The batch keeps `bytes`: hand over a copy that nothing else holds. */
export function readBatch(bytes: Uint8Array): Batch {
  const reader = new ByteReader(bytes, 1);
  const origin = reader.text();
  const first = reader.varint();
  const count = reader.varint();
  if (first < 1 || count < 1 || count > reader.remaining)
    throw new BytesError(`a batch from number ${first} of ${count} changes in ${reader.remaining} bytes`);
  return { origin, first, count, bytes, runAt: reader.offset };
}

function writeEntries(writer: ByteWriter, entries: readonly PositionEntry[]): void {
  writer.varint(entries.length);
  for (const { origin, seen, dot, reach, voidAbove } of entries)
    writer
      .text(origin)
      .varint(seen)
      .varint(dot)
      .varint(reach)
      .varint(voidAbove === Infinity ? 0 : voidAbove + 1);
}

function readEntries(reader: ByteReader): PositionEntry[] {
  const count = reader.varint();
  if (count > maxEntries || count * 5 > reader.remaining)
    throw new BytesError(`${count} positions in ${reader.remaining} bytes; at most ${maxEntries} are allowed`);
  const entries: PositionEntry[] = [];
  for (let i = 0; i < count; i++) {
    const origin = reader.text();
    const seen = reader.varint();
    const dot = reader.varint();
    const reach = reader.varint();
    const voidPlusOne = reader.varint();
    entries.push({ origin, seen, dot, reach, voidAbove: voidPlusOne === 0 ? Infinity : voidPlusOne - 1 });
  }
  return entries;
}

function toMs(ms: number): number {
  return Math.max(0, Math.floor(ms));
}
