import { crc32 } from 'node:zlib';
import { ByteReader, BytesError } from '@dcache/base';
import { StoreError } from './errors.js';
import type { EvictionPolicy } from './options.js';

/**
 * A snapshot is a row of frames; where the row is cut into chunks means nothing.
 *
 * ```
 * u32     length of the payload, at most MOST_PAYLOAD_BYTES
 * u8      kind
 * bytes   payload
 * u32     CRC-32 of kind and payload
 * ```
 *
 * One `header`, then entries in the order of their queues (small before main, oldest first), then the ghosts oldest
 * first, then `end` with the state hash, which proves that what was rebuilt is what was written.
 *
 * ```
 * header  u32 'dcst', u8 version, u8 policy, varint maxBytes, maxKeyBytes, maxValueBytes, nowMs,
 *         varint entries, varint number of the oldest ghost's place
 * entry   u8 EntryBit, varint revision, [varint expiry], [varint flags], varint-length key,
 *         varint value length, and the value unless it comes in parts
 * part    the next bytes of the value of the entry before
 * ghost   u32, u32
 * end     text: the state hash
 * ```
 *
 * Append only: these numbers are the format. Another layout is another version.
 */
export const MAGIC = 0x64637374;
export const VERSION = 1;
export const FrameKind = { header: 1, entries: 2, part: 3, ghosts: 4, end: 5 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];
export const EntryBit = {
  touches: 0x03,
  small: 0x04,
  hand: 0x08,
  expires: 0x10,
  flags: 0x20,
  parts: 0x40,
  /** Must be 0 in version 1. */
  unknown: 0x80,
} as const;
export const POLICIES: readonly EvictionPolicy[] = ['none', 'fifo', 'sieve', 's3fifo'];

/** A writer ends a payload before it gets near this. */
const MOST_PAYLOAD_BYTES = 1 << 20;
/** Values up to this many bytes travel whole in their entry. */
export const MOST_WHOLE_VALUE_BYTES: number = 64 * 1024;
/**
 * About what one chunk holds. Each is written, and read, in one go: thousands of small entries in a chunk would hold the
 * event loop for milliseconds.
 */
export const CHUNK_BYTES: number = 16 * 1024;
const HEAD_BYTES = 5;
const TAIL_BYTES = 4;

/** One frame around a payload. */
export function encodeFrame(kind: FrameKind, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEAD_BYTES + payload.length + TAIL_BYTES);
  const view = new DataView(frame.buffer);
  view.setUint32(0, payload.length);
  frame[4] = kind;
  frame.set(payload, HEAD_BYTES);
  view.setUint32(HEAD_BYTES + payload.length, crc32(frame.subarray(4, HEAD_BYTES + payload.length)));
  return frame;
}

/** Puts frames together from bytes that were cut anywhere. Holds at most one frame. */
export class FrameReader {
  #held: Uint8Array = new Uint8Array(HEAD_BYTES + TAIL_BYTES);
  #length = 0;
  #at = 0;

  /** Whether a frame has begun and not ended. */
  get isInside(): boolean {
    return this.#length > 0;
  }

  /** Calls `take` with each frame that `bytes` completes; the payload is valid during the call only. */
  write(bytes: Uint8Array, take: (kind: number, payload: Uint8Array) => void): void {
    for (let from = 0; from < bytes.length; ) {
      const needed = this.#length < HEAD_BYTES ? HEAD_BYTES : this.#frameBytes();
      const part = bytes.subarray(from, from + needed - this.#length);
      this.#held.set(part, this.#length);
      this.#length += part.length;
      from += part.length;
      this.#at += part.length;
      if (this.#length === HEAD_BYTES) this.#reserve();
      else if (this.#length > HEAD_BYTES && this.#length === this.#frameBytes()) {
        this.#check();
        const payload = this.#held.subarray(HEAD_BYTES, this.#length - TAIL_BYTES);
        this.#length = 0;
        take(this.#held[4]!, payload);
      }
    }
  }

  #frameBytes(): number {
    return HEAD_BYTES + new DataView(this.#held.buffer).getUint32(0) + TAIL_BYTES;
  }

  #reserve(): void {
    const bytes = this.#frameBytes();
    if (bytes > HEAD_BYTES + MOST_PAYLOAD_BYTES + TAIL_BYTES)
      throw corrupt(`a frame before byte ${this.#at} claims ${bytes} bytes, at most 1 MiB is allowed`);
    if (bytes <= this.#held.length) return;
    const grown = new Uint8Array(Math.min(MOST_PAYLOAD_BYTES + HEAD_BYTES + TAIL_BYTES, bytes * 2));
    grown.set(this.#held.subarray(0, HEAD_BYTES));
    this.#held = grown;
  }

  #check(): void {
    const end = this.#length - TAIL_BYTES;
    if (new DataView(this.#held.buffer).getUint32(end) !== crc32(this.#held.subarray(4, end)))
      throw corrupt(`the checksum of the frame that ends at byte ${this.#at} is wrong`);
  }
}

/** Runs `read` on a payload that it must use up: once, or until nothing is left. */
export function readPayload(payload: Uint8Array, repeat: boolean, read: (reader: ByteReader) => void): void {
  const reader = new ByteReader(payload);
  try {
    if (!repeat) read(reader);
    else while (reader.remaining > 0) read(reader);
    reader.end();
  } catch (cause) {
    if (!(cause instanceof BytesError)) throw cause;
    throw corrupt(`a frame does not hold what its kind says: ${cause.message}`, cause);
  }
}

export function corrupt(message: string, cause?: unknown): StoreError {
  return new StoreError('corrupt-snapshot', `the snapshot is damaged: ${message}`, { cause });
}
