import { assert } from './assert.js';

/** The bytes end before the value does, or hold something that no writer writes. */
export class BytesError extends Error {
  override readonly name = 'BytesError';
}

const textEncoder = new TextEncoder();
// A byte order mark at the beginning is a character like any other: without it a name would be another's.
const textDecoder = new TextDecoder('utf-8', { ignoreBOM: true });
const strictTextDecoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

/** UTF-8 bytes of `text`. */
export function utf8(text: string): Uint8Array {
  return textEncoder.encode(text);
}

/** Text of UTF-8 `bytes`; what is not UTF-8 becomes U+FFFD. */
export function fromUtf8(bytes: Uint8Array): string {
  return textDecoder.decode(bytes);
}

/** Text of UTF-8 `bytes`, or undefined where they are not UTF-8. */
export function tryFromUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictTextDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** -1, 0 or 1 by the bytes' unsigned order, a prefix before what it is a prefix of. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference < 0 ? -1 : 1;
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1;
}

/** Whether both hold the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** One array of all parts in order; always a copy. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * Writes numbers and bytes into a buffer that grows by doubling. Multi-byte integers are big-endian; a varint is
 * LEB128 (7 bits a byte, low group first) of an integer below 2^53.
 *
 * `finish()` returns a view of the buffer, valid until the next write after a `reset()`; copy it to keep it longer.
 */
export class ByteWriter {
  #buffer: Uint8Array;
  #view: DataView;
  #at = 0;

  constructor(capacityBytes = 256) {
    this.#buffer = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#buffer.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at;
  }

  /** Forgets what was written and keeps the buffer. */
  reset(): void {
    this.#at = 0;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#at++] = value;
    return this;
  }

  u16(value: number): this {
    this.#reserve(2);
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
    return this;
  }

  u32(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
    return this;
  }

  /** Eight bytes of an integer from 0 to 2^53-1. */
  u64(value: number): this {
    // The text of an assertion costs more than what it guards: it is made only where it is needed.
    if (!Number.isSafeInteger(value) || value < 0)
      assert(false, `a u64 takes an integer from 0 to 2^53-1, got ${value}`);
    this.#reserve(8);
    this.#view.setUint32(this.#at, Math.floor(value / 0x1_0000_0000));
    this.#view.setUint32(this.#at + 4, value >>> 0);
    this.#at += 8;
    return this;
  }

  f64(value: number): this {
    this.#reserve(8);
    this.#view.setFloat64(this.#at, value);
    this.#at += 8;
    return this;
  }

  /** LEB128 of an integer from 0 to 2^53-1: 1 to 8 bytes. */
  varint(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0)
      assert(false, `a varint takes an integer from 0 to 2^53-1, got ${value}`);
    this.#reserve(8);
    const buffer = this.#buffer;
    let at = this.#at;
    // Bitwise operators would cut what has more than 32 bits.
    for (; value >= 0x8000_0000; value = Math.floor(value / 0x80)) buffer[at++] = (value % 0x80) | 0x80;
    for (; value >= 0x80; value >>>= 7) buffer[at++] = (value & 0x7f) | 0x80;
    buffer[at++] = value;
    this.#at = at;
    return this;
  }

  /** The bytes alone, without a length. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }

  /** A varint length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes);
  }

  /** A varint length, then UTF-8. */
  text(text: string): this {
    return this.bytes(utf8(text));
  }

  /** Overwrites four bytes at `at`, for a length or checksum known only later. */
  patchU32(at: number, value: number): this {
    if (at + 4 > this.#at) assert(false, `cannot patch at ${at}, only ${this.#at} bytes are written`);
    this.#view.setUint32(at, value);
    return this;
  }

  /** A view of what was written; valid until the next write after a `reset()`. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#at);
  }

  /** A copy of what was written. */
  copy(): Uint8Array {
    return this.#buffer.slice(0, this.#at);
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#buffer.length) return;
    let capacity = Math.max(64, this.#buffer.length);
    while (capacity < needed) capacity *= 2;
    const grown = new Uint8Array(capacity);
    grown.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/**
 * Reads what `ByteWriter` wrote. Anything that cannot be read throws a `BytesError` that says what was wanted and where.
 * Arrays it returns are views of the input: copy what is kept, so that a small slice does not pin a large buffer.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
  }

  /** Offset of the next byte. */
  get offset(): number {
    return this.#at;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    this.#need(1, 'a u8');
    return this.#bytes[this.#at++]!;
  }

  u16(): number {
    this.#need(2, 'a u16');
    const value = this.#view.getUint16(this.#at);
    this.#at += 2;
    return value;
  }

  u32(): number {
    this.#need(4, 'a u32');
    const value = this.#view.getUint32(this.#at);
    this.#at += 4;
    return value;
  }

  u64(): number {
    this.#need(8, 'a u64');
    const high = this.#view.getUint32(this.#at);
    const low = this.#view.getUint32(this.#at + 4);
    if (high >= 0x20_0000) throw new BytesError(`the u64 at offset ${this.#at} is 2^53 or more`);
    this.#at += 8;
    return high * 0x1_0000_0000 + low;
  }

  f64(): number {
    this.#need(8, 'an f64');
    const value = this.#view.getFloat64(this.#at);
    this.#at += 8;
    return value;
  }

  varint(): number {
    const start = this.#at;
    if (start < this.#bytes.length && this.#bytes[start]! < 0x80) return this.#bytes[this.#at++]!;
    let value = 0;
    let scale = 1;
    for (;;) {
      this.#need(1, 'a varint');
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw new BytesError(`the varint at offset ${start} is 2^53 or more`);
      if (byte < 0x80) return value;
      scale *= 0x80;
      if (this.#at - start >= 8) throw new BytesError(`the varint at offset ${start} is longer than 8 bytes`);
    }
  }

  /** The next `length` bytes as a view. */
  raw(length: number): Uint8Array {
    if (this.remaining < length) this.#need(length, `${length} bytes`);
    const view = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return view;
  }

  /** A varint length, then that many bytes as a view. */
  bytes(): Uint8Array {
    return this.raw(this.varint());
  }

  /** A varint length, then UTF-8. */
  text(): string {
    return fromUtf8(this.bytes());
  }

  /** Throws unless everything was read: a format with bytes left over is not the format we know. */
  end(): void {
    if (this.remaining > 0) throw new BytesError(`${this.remaining} bytes too many at offset ${this.#at}`);
  }

  #need(bytes: number, what: string): void {
    if (this.remaining < bytes)
      throw new BytesError(`wanted ${what} at offset ${this.#at}, but only ${this.remaining} bytes are left`);
  }
}
