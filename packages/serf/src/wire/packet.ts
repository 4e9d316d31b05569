import { crc32 } from 'node:zlib';
import { ByteWriter, equalBytes } from '@dcache/base';
import type { SwimMessage } from '../core/message.js';
import { decodeMessage } from './codec.js';
import { compressMessage, decompressMessage } from './compress.js';
import type { Keyring } from './keyring.js';
import { WireError } from './msgpack.js';
import { MessageType } from './swim-message.js';

/*
 * A datagram is an onion. From the outside in, each layer optional:
 *
 *     f4 │ len:u8 │ label       newer memberlists, when a label is configured; the label is the encryption's AAD
 *     ver │ nonce │ … │ tag     in a pool with a keyring
 *     0c │ crc32:u32            of all that follows; only here, never further inside
 *     09 │ {Algo, Buf}          LZW of what would stand here
 *     07 │ n:u8 │ n × len:u16 │ n messages
 *     a message
 */
export interface PacketOptions {
  readonly keyring: Keyring | undefined;
  /** Empty for none. */
  readonly label: Uint8Array;
}

/** Bytes that one datagram may unfold to. */
const maxUnfoldedBytes = 1 << 20;
/** Smaller packets are hardly ever shorter when compressed, and pings and acks are most of the traffic. */
const minCompressBytes = 128;
const maxDepth = 8;
/** More parts break the parser of Serf 0.9.4. */
const maxParts = 127;
const noBytes: Uint8Array = new Uint8Array(0);

/** What a datagram held, and what was wrong with the rest of it. */
export interface DecodedPacket {
  readonly messages: readonly SwimMessage[];
  readonly faults: readonly WireError[];
}

/** Messages of one datagram, not more than 127, each with its type byte; none may be empty. */
export function encodePacket(
  messages: readonly Uint8Array[],
  options: PacketOptions & { readonly checksum: boolean; readonly compress: boolean },
): Uint8Array {
  let packet = messages.length === 1 ? messages[0]! : encodeCompound(messages);
  if (options.compress && packet.length >= minCompressBytes) {
    const compressed = compressMessage(packet);
    if (compressed.length < packet.length) packet = compressed;
  }
  if (options.checksum) {
    packet = new ByteWriter(packet.length + 5).u8(MessageType.crc).u32(crc32(packet)).raw(packet).finish();
  }
  const { keyring, label } = options;
  if (keyring !== undefined) packet = keyring.encrypt(packet, label);
  if (label.length > 0) packet = Buffer.concat([encodeLabel(label), packet]);
  return packet;
}

/** Throws a `WireError` when nothing of the datagram can be used; otherwise faults are per part. */
export function decodePacket(datagram: Uint8Array, options: PacketOptions): DecodedPacket {
  const { keyring, label } = options;
  let packet = stripLabel(datagram, label);
  if (keyring !== undefined) packet = keyring.decrypt(packet, label);
  if (packet.length >= 5 && packet[0] === MessageType.crc) {
    const stated = new DataView(packet.buffer, packet.byteOffset).getUint32(1);
    packet = packet.subarray(5);
    const actual = crc32(packet);
    if (stated !== actual) throw new WireError(`checksum ${stated} is stated, ${actual} is that of the bytes`);
  }
  const unfolding = { messages: [] as SwimMessage[], faults: [] as WireError[], leftBytes: maxUnfoldedBytes };
  unfold(packet, 0, unfolding);
  return unfolding;
}

export function encodeLabel(label: Uint8Array): Uint8Array {
  return label.length === 0 ? noBytes : Uint8Array.of(MessageType.label, label.length, ...label);
}

/** Takes the label off; a missing, other, or unwanted one is refused. */
export function stripLabel(bytes: Uint8Array, label: Uint8Array): Uint8Array {
  if (label.length === 0) {
    if (bytes[0] === MessageType.label) throw new WireError('a label came where none is configured');
    return bytes;
  }
  const length = bytes[1] ?? 0;
  if (bytes[0] !== MessageType.label || !equalBytes(bytes.subarray(2, 2 + length), label))
    throw new WireError('the label is missing or another than the configured one');
  return bytes.subarray(2 + length);
}

interface Unfolding {
  readonly messages: SwimMessage[];
  readonly faults: WireError[];
  leftBytes: number;
}

function unfold(bytes: Uint8Array, depth: number, into: Unfolding): void {
  try {
    if (depth > maxDepth) throw new WireError(`messages nest deeper than ${maxDepth}`);
    if (bytes[0] === MessageType.compound) unfoldCompound(bytes, depth, into);
    else if (bytes[0] === MessageType.compress) {
      const { message } = decompressMessage(bytes, into.leftBytes);
      into.leftBytes -= message.length;
      unfold(message, depth + 1, into);
    } else into.messages.push(decodeMessage(bytes));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    into.faults.push(error);
  }
}

/** Whole parts are used even where the last one is cut. */
function unfoldCompound(bytes: Uint8Array, depth: number, into: Unfolding): void {
  const parts = bytes[1];
  if (parts === undefined || bytes.length < 2 + 2 * parts)
    throw new WireError(`a compound of ${parts ?? 'no'} parts in ${bytes.length} bytes`);
  let at = 2 + 2 * parts;
  for (let part = 0; part < parts; part++) {
    const length = (bytes[2 + 2 * part]! << 8) | bytes[3 + 2 * part]!;
    if (at + length > bytes.length)
      throw new WireError(`a compound is cut: ${parts - part} of ${parts} parts are missing`);
    unfold(bytes.subarray(at, at + length), depth + 1, into);
    at += length;
  }
}

function encodeCompound(messages: readonly Uint8Array[]): Uint8Array {
  if (messages.length === 0 || messages.length > maxParts)
    throw new WireError(`a compound of ${messages.length} parts, allowed are 1 to ${maxParts}`);
  const out = new ByteWriter(1500).u8(MessageType.compound).u8(messages.length);
  for (const message of messages) out.u16(message.length);
  for (const message of messages) out.raw(message);
  return out.finish();
}
