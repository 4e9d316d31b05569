import { crc32 } from 'node:zlib';
import { ByteReader, BytesError, ByteWriter } from '@dcache/base';
import { decoding, readSnapshotMetadata, writeSnapshotMetadata } from '../codec.js';
import type { SnapshotMetadata } from '../core/message.js';

/**
 * A snapshot travels as numbered pieces: 0 says what it is, 1 to n carry the state, n + 1 ends it.
 *
 * ```text
 *  piece  u8 version | u8 type | varint transfer | varint sequence | u32 crc32 of the body | body
 *         body of begin: varint term | u8 reason | metadata        of data: bytes        of end: varint state bytes
 *  ack    u8 version | u8 status | varint transfer | varint next
 * ```
 */
export type SnapshotPiece =
  | {
      readonly type: 'begin';
      readonly transfer: number;
      readonly sequence: 0;
      /** The sender's term. */
      readonly term: number;
      /** Whether the sender's core asked for it, or the receiver did because its state was lost half-way. */
      readonly requested: boolean;
      readonly metadata: SnapshotMetadata;
    }
  | { readonly type: 'data'; readonly transfer: number; readonly sequence: number; readonly data: Uint8Array }
  | { readonly type: 'end'; readonly transfer: number; readonly sequence: number; readonly stateBytes: number };

/** The receiver's answer to a piece, or its question for a snapshot. */
export interface SnapshotAck {
  /** 0 where `status` is `wanted`. */
  readonly transfer: number;
  /** The first sequence that the receiver has not taken: all before it need never be sent again. */
  readonly next: number;
  /**
   * `progress`: go on from `next`. `done`: restored. `refused`: not wanted, or it could not be restored.
   * `unknown`: the receiver knows nothing of this transfer; begin again. `wanted`: send me a snapshot, my state is lost.
   */
  readonly status: SnapshotAckStatus;
}

// Append only: the places in these lists are the protocol.
const pieceTypes = ['begin', 'data', 'end'] as const;
const ackStatuses = ['progress', 'done', 'refused', 'unknown', 'wanted'] as const;
export type SnapshotAckStatus = (typeof ackStatuses)[number];

const version = 1;

/** Bytes of a piece. */
export function encodeSnapshotPiece(piece: SnapshotPiece): Uint8Array {
  const writer = new ByteWriter(64 + (piece.type === 'data' ? piece.data.length : 0));
  writer.u8(version).u8(pieceTypes.indexOf(piece.type)).varint(piece.transfer).varint(piece.sequence);
  const crcAt = writer.length;
  writer.u32(0);
  const bodyAt = writer.length;
  switch (piece.type) {
    case 'begin':
      writer.varint(piece.term).u8(piece.requested ? 1 : 0);
      writeSnapshotMetadata(writer, piece.metadata);
      break;
    case 'data':
      writer.raw(piece.data);
      break;
    case 'end':
      writer.varint(piece.stateBytes);
      break;
  }
  writer.patchU32(crcAt, crc32(writer.finish().subarray(bodyAt)));
  // The writer is not used again: its buffer is the piece's own.
  return writer.finish();
}

/** The piece in `bytes`; `data` is a view of them. Throws a `RaftError` `corrupt` for anything else. */
export function decodeSnapshotPiece(bytes: Uint8Array): SnapshotPiece {
  return decoding('snapshot piece', () => {
    const reader = opened(bytes);
    const type = pieceTypes[reader.u8()];
    const transfer = reader.varint();
    const sequence = reader.varint();
    const crc = reader.u32();
    const body = bytes.subarray(reader.offset);
    if (crc32(body) !== crc) throw new BytesError(`the checksum of piece ${sequence} is wrong`);
    switch (type) {
      case 'begin': {
        if (sequence !== 0) throw new BytesError(`a begin has sequence 0, not ${sequence}`);
        const term = reader.varint();
        const requested = reader.u8() === 1;
        const metadata = readSnapshotMetadata(reader);
        reader.end();
        return { type, transfer, sequence, term, requested, metadata };
      }
      case 'data':
        return { type, transfer, sequence, data: body };
      case 'end': {
        const stateBytes = reader.varint();
        reader.end();
        return { type, transfer, sequence, stateBytes };
      }
      default:
        throw new BytesError('unknown type of piece');
    }
  });
}

/** Bytes of an ack. */
export function encodeSnapshotAck(ack: SnapshotAck): Uint8Array {
  return new ByteWriter(32)
    .u8(version)
    .u8(ackStatuses.indexOf(ack.status))
    .varint(ack.transfer)
    .varint(ack.next)
    .copy();
}

/** The ack in `bytes`. Throws a `RaftError` `corrupt` for anything else. */
export function decodeSnapshotAck(bytes: Uint8Array): SnapshotAck {
  return decoding('snapshot ack', () => {
    const reader = opened(bytes);
    const status = ackStatuses[reader.u8()];
    if (status === undefined) throw new BytesError('unknown status');
    const transfer = reader.varint();
    const next = reader.varint();
    reader.end();
    return { transfer, next, status };
  });
}

function opened(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(bytes);
  const got = reader.u8();
  if (got !== version) throw new BytesError(`version ${got}, only ${version} is known`);
  return reader;
}
