import { ByteWriter } from '@dcache/base';
import { decodeText, encodeText } from './text.js';

/**
 * The msgpack of Go's old codec, as Serf speaks it: strings and bytes both in the "raw" family (`a0..bf da db`), maps
 * with sorted keys, integers in the fewest bytes. The reader also takes what newer peers write: `d9`, `c4..c6`, signed
 * forms of positive numbers. Numbers are held as JavaScript numbers; one beyond 2^53 is refused.
 */
export class WireError extends Error {
  override readonly name: string = 'WireError';
}

/** The bytes end inside a value: on a stream, wait for more; in a datagram, it is cut. */
export class TruncatedError extends WireError {
  override readonly name: string = 'TruncatedError';
  /** Bytes from the beginning without which it makes no sense to read again. */
  readonly neededBytes: number;

  constructor(message: string, neededBytes: number) {
    super(message);
    this.neededBytes = neededBytes;
  }
}

const maxDepth = 32;
/** Keys of a struct, and values that are skipped in one message; ours have at most eleven keys. */
const maxKeys = 256;
const maxSkipped = 16_384;

export class MsgpackWriter {
  readonly #out: ByteWriter;

  constructor(out: ByteWriter = new ByteWriter()) {
    this.#out = out;
  }

  get length(): number {
    return this.#out.length;
  }

  /** A copy of what was written. */
  copy(): Uint8Array {
    return this.#out.copy();
  }

  /** A byte that is not msgpack: a message's type. */
  u8(value: number): this {
    this.#out.u8(value);
    return this;
  }

  /** Bytes that are not msgpack. */
  verbatim(bytes: Uint8Array): this {
    this.#out.raw(bytes);
    return this;
  }

  nil(): this {
    this.#out.u8(0xc0);
    return this;
  }

  bool(value: boolean): this {
    this.#out.u8(value ? 0xc3 : 0xc2);
    return this;
  }

  int(value: number): this {
    const out = this.#out;
    if (value >= 0) {
      if (value < 0x80) out.u8(value);
      else if (value < 0x100) out.u8(0xcc).u8(value);
      else if (value < 0x1_0000) out.u8(0xcd).u16(value);
      else if (value < 0x1_0000_0000) out.u8(0xce).u32(value);
      else out.u8(0xcf).u64(value);
    } else if (value >= -0x20) out.u8(value & 0xff);
    else if (value >= -0x80) out.u8(0xd0).u8(value & 0xff);
    else if (value >= -0x8000) out.u8(0xd1).u16(value & 0xffff);
    else if (value >= -0x8000_0000) out.u8(0xd2).u32(value >>> 0);
    else throw new WireError(`${value} is below what is written here`);
    return this;
  }

  float(value: number): this {
    this.#out.u8(0xcb).f64(value);
    return this;
  }

  raw(bytes: Uint8Array): this {
    const { length } = bytes;
    if (length < 32) this.#out.u8(0xa0 | length);
    else if (length < 0x1_0000) this.#out.u8(0xda).u16(length);
    else this.#out.u8(0xdb).u32(length);
    this.#out.raw(bytes);
    return this;
  }

  /** A Go byte slice: an empty one is written as nil, the way Go holds it. */
  bytes(bytes: Uint8Array): this {
    return bytes.length === 0 ? this.nil() : this.raw(bytes);
  }

  text(text: string): this {
    return this.raw(encodeText(text));
  }

  map(size: number): this {
    if (size < 16) this.#out.u8(0x80 | size);
    else if (size < 0x1_0000) this.#out.u8(0xde).u16(size);
    else this.#out.u8(0xdf).u32(size);
    return this;
  }

  array(length: number): this {
    if (length < 16) this.#out.u8(0x90 | length);
    else if (length < 0x1_0000) this.#out.u8(0xdc).u16(length);
    else this.#out.u8(0xdd).u32(length);
    return this;
  }
}

/** Reads one value after the other. What it returns as bytes are views: copy what is kept. */
export class MsgpackReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;
  #skipped = 0;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = at;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#advance(1)]!;
  }

  /** The next `length` bytes, not msgpack. */
  verbatim(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** Whether the next value is nil, which it then reads. */
  nil(): boolean {
    if (this.#peek() !== 0xc0) return false;
    this.#at++;
    return true;
  }

  bool(): boolean {
    const type = this.u8();
    if (type === 0xc3) return true;
    if (type === 0xc2 || type === 0xc0) return false;
    throw this.#unexpected('a boolean', type);
  }

  int(): number {
    const type = this.u8();
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 0x100;
    switch (type) {
      case 0xc0:
        return 0;
      case 0xcc:
        return this.u8();
      case 0xcd:
        return this.#view.getUint16(this.#advance(2));
      case 0xce:
        return this.#view.getUint32(this.#advance(4));
      case 0xcf:
      case 0xd3: {
        const at = this.#advance(8);
        const value = type === 0xcf ? this.#view.getBigUint64(at) : this.#view.getBigInt64(at);
        const number = Number(value);
        if (!Number.isSafeInteger(number)) throw new WireError(`the integer at offset ${at - 1} is beyond 2^53`);
        return number;
      }
      case 0xd0:
        return this.#view.getInt8(this.#advance(1));
      case 0xd1:
        return this.#view.getInt16(this.#advance(2));
      case 0xd2:
        return this.#view.getInt32(this.#advance(4));
      default:
        throw this.#unexpected('an integer', type);
    }
  }

  /** An integer from 0 to `max`. */
  uint(max: number): number {
    const value = this.int();
    if (value < 0 || value > max)
      throw new WireError(`the integer before offset ${this.#at} is ${value}, allowed is 0 to ${max}`);
    return value;
  }

  float(): number {
    const type = this.#peek();
    if (type === 0xcb) return this.#view.getFloat64(this.#advance(9) + 1);
    if (type === 0xca) return this.#view.getFloat32(this.#advance(5) + 1);
    return this.int();
  }

  /** Bytes of any string or binary form; nil is empty. */
  raw(): Uint8Array {
    const type = this.u8();
    if (type >= 0xa0 && type <= 0xbf) return this.verbatim(type & 0x1f);
    switch (type) {
      case 0xc0:
        return this.verbatim(0);
      case 0xc4:
      case 0xd9:
        return this.verbatim(this.u8());
      case 0xc5:
      case 0xda:
        return this.verbatim(this.#view.getUint16(this.#advance(2)));
      case 0xc6:
      case 0xdb:
        return this.verbatim(this.#view.getUint32(this.#advance(4)));
      default:
        throw this.#unexpected('a string or bytes', type);
    }
  }

  text(): string {
    return decodeText(this.raw());
  }

  /** Entries of the map that begins here; nil is empty. */
  map(): number {
    const type = this.u8();
    if (type >= 0x80 && type <= 0x8f) return type & 0x0f;
    if (type === 0xc0) return 0;
    if (type === 0xde) return this.#view.getUint16(this.#advance(2));
    if (type === 0xdf) return this.#view.getUint32(this.#advance(4));
    throw this.#unexpected('a map', type);
  }

  /** Elements of the array that begins here; nil is empty. */
  array(): number {
    const type = this.u8();
    if (type >= 0x90 && type <= 0x9f) return type & 0x0f;
    if (type === 0xc0) return 0;
    if (type === 0xdc) return this.#view.getUint16(this.#advance(2));
    if (type === 0xdd) return this.#view.getUint32(this.#advance(4));
    throw this.#unexpected('an array', type);
  }

  /** Reads a struct: `field` reads the value of a key it knows and returns true; other values are skipped. */
  struct(field: (key: string) => boolean): void {
    const size = this.map();
    if (size > maxKeys) throw new WireError(`a struct of ${size} keys, allowed are ${maxKeys}`);
    for (let i = 0; i < size; i++) if (!field(this.text())) this.skip();
  }

  /** Reads past one value of any kind. */
  skip(depth = 0): void {
    if (depth > maxDepth) throw new WireError(`values nest deeper than ${maxDepth} at offset ${this.#at}`);
    if (++this.#skipped > maxSkipped) throw new WireError(`more than ${maxSkipped} values that nobody asked for`);
    const type = this.#peek();
    if (type < 0x80 || type >= 0xe0) this.#at++;
    else if (type <= 0x8f || type === 0xde || type === 0xdf) {
      for (let left = 2 * this.map(); left > 0; left--) this.skip(depth + 1);
    } else if (type <= 0x9f || type === 0xdc || type === 0xdd) {
      for (let left = this.array(); left > 0; left--) this.skip(depth + 1);
    } else if (type <= 0xbf || (type >= 0xd9 && type <= 0xdb) || (type >= 0xc4 && type <= 0xc6)) this.raw();
    else if (type === 0xc0 || type === 0xc2 || type === 0xc3) this.#at++;
    else if (type === 0xca || type === 0xcb) this.float();
    else if ((type >= 0xcc && type <= 0xcf) || (type >= 0xd0 && type <= 0xd3)) {
      // The value does not matter, so one beyond 2^53 does no harm.
      this.#advance(1 + 2 ** (type & 0x03));
    } else throw this.#unexpected('a value', type);
  }

  #peek(): number {
    if (this.#at >= this.#bytes.length)
      throw new TruncatedError(`the bytes end at offset ${this.#at}, inside a value`, this.#at + 1);
    return this.#bytes[this.#at]!;
  }

  #advance(length: number): number {
    if (this.#bytes.length - this.#at < length)
      throw new TruncatedError(
        `wanted ${length} bytes at offset ${this.#at}, but only ${this.#bytes.length - this.#at} are left`,
        this.#at + length,
      );
    const at = this.#at;
    this.#at += length;
    return at;
  }

  #unexpected(wanted: string, type: number): WireError {
    return new WireError(`wanted ${wanted} at offset ${this.#at - 1}, found type ${hex(type)}`);
  }
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
