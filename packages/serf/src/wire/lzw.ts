import { ByteWriter } from '@dcache/base';
import { WireError } from './msgpack.js';

/*
 * LZW as GIF packs it (Welch 1984): 8-bit literals, codes of 9 to 12 bits packed from the least significant bit.
 *
 *     0..255 literals │ 256 clear │ 257 end │ 258..4095 dictionary, in the order both sides find the same strings
 */
const clearCode = 256;
const endCode = 257;
const maxWidth = 12;
const maxCode = (1 << maxWidth) - 1;

/** Compresses; the same bytes as Go's encoder gives, which begins with a clear. */
export function lzwEncode(input: Uint8Array): Uint8Array {
  const out = new ByteWriter(input.length + 16);
  const bits = new BitWriter(out);
  // Keyed by (code << 8) | next byte.
  const dictionary = new Map<number, number>();
  let high = endCode;
  let width = 9;
  let overflow = 512;
  /** Counts the entry the decoder makes now; false when the table was full and both sides start again. */
  const advance = (): boolean => {
    high++;
    if (high === overflow) {
      width++;
      overflow *= 2;
    }
    if (high < maxCode) return true;
    bits.write(clearCode, maxWidth);
    high = endCode;
    width = 9;
    overflow = 512;
    dictionary.clear();
    return false;
  };

  bits.write(clearCode, width);
  let code = input[0];
  if (code === undefined) {
    bits.write(endCode, width);
    return bits.finish();
  }
  for (let i = 1; i < input.length; i++) {
    const byte = input[i]!;
    const key = (code << 8) | byte;
    const known = dictionary.get(key);
    if (known !== undefined) {
      code = known;
      continue;
    }
    bits.write(code, width);
    if (advance()) dictionary.set(key, high);
    code = byte;
  }
  bits.write(code, width);
  advance();
  bits.write(endCode, width);
  return bits.finish();
}

/** Decompresses at most `maxBytes`; more is refused, however small the input was. */
export function lzwDecode(input: Uint8Array, maxBytes: number): Uint8Array {
  const out = new ByteWriter(Math.min(maxBytes, 4 * input.length + 64));
  const prefix = new Uint16Array(maxCode + 1);
  const suffix = new Uint8Array(maxCode + 1);
  const expanded = new Uint8Array(maxCode + 1);
  let high = endCode;
  let width = 9;
  let overflow = 512;
  let last = -1;
  let bitBuffer = 0;
  let bitCount = 0;
  for (let at = 0; ; ) {
    while (bitCount < width) {
      if (at >= input.length) throw new WireError(`the compressed bytes end at ${at} without an end code`);
      bitBuffer |= input[at++]! << bitCount;
      bitCount += 8;
    }
    const code = bitBuffer & ((1 << width) - 1);
    bitBuffer >>>= width;
    bitCount -= width;

    if (code === clearCode) {
      high = endCode;
      width = 9;
      overflow = 512;
      last = -1;
      continue;
    }
    if (code === endCode) return out.copy();
    if (code > high) throw new WireError(`code ${code} at offset ${at} is not in the table of ${high}`);

    // Expands backwards into the end of `expanded`.
    let start = expanded.length;
    let walk = code;
    const usesEntryToCome = code === high && last >= 0;
    if (usesEntryToCome) walk = last;
    while (walk > endCode) {
      expanded[--start] = suffix[walk]!;
      walk = prefix[walk]!;
    }
    expanded[--start] = walk;
    const first = walk;
    const length = expanded.length - start + (usesEntryToCome ? 1 : 0);
    if (out.length + length > maxBytes)
      throw new WireError(`the compressed bytes hold more than the ${maxBytes} bytes allowed`);
    out.raw(expanded.subarray(start));
    if (usesEntryToCome) out.u8(first);
    if (last >= 0) {
      prefix[high] = last;
      suffix[high] = first;
    }

    last = code;
    high++;
    if (high >= overflow) {
      if (width === maxWidth) {
        // The table is full: nothing is added until the clear that the encoder sends.
        last = -1;
        high--;
      } else {
        width++;
        overflow = 1 << width;
      }
    }
  }
}

class BitWriter {
  readonly #out: ByteWriter;
  #buffer = 0;
  #count = 0;

  constructor(out: ByteWriter) {
    this.#out = out;
  }

  write(code: number, width: number): void {
    this.#buffer |= code << this.#count;
    this.#count += width;
    while (this.#count >= 8) {
      this.#out.u8(this.#buffer & 0xff);
      this.#buffer >>>= 8;
      this.#count -= 8;
    }
  }

  finish(): Uint8Array {
    if (this.#count > 0) this.#out.u8(this.#buffer & 0xff);
    return this.#out.copy();
  }
}
