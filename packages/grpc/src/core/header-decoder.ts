import { ErrorCode, Http2Error } from './http2-error.js';
import { huffmanDecode } from './huffman.js';
import { staticTable } from './static-table.js';

/** Names and values in turn. Bytes above 127 are Latin-1. Never to be changed: a list may be given out many times. */
export type HeaderList = readonly string[];

/** What a block was that asks for more than the limit; it is decoded all the same, because the table goes on. */
export const tooLong: HeaderList = [];

/** Bytes that RFC 7541 §4.1 counts for an entry beyond its name and value. */
const entryOverhead = 32;

/** A block up to this size is remembered: the next one on a connection is mostly the same. */
const maxRemembered = 64;

/**
 * Header blocks to header lists (RFC 7541). A table of its own size is the decoder's whole memory; the list it gives is
 * bounded by `maxListBytes`, however little the block that stands for it.
 */
export class HeaderDecoder {
  readonly #maxTableBytes: number;
  readonly #maxListBytes: number;
  /** Oldest first, those before `#from` evicted. */
  #entries: (readonly [name: string, value: string])[] = [];
  #from = 0;
  #tableBytes = 0;
  #tableLimit: number;
  /** The last short block that neither changed the table nor was followed by one that did, and its list. */
  readonly #lastBlock = new Uint8Array(maxRemembered);
  #lastLength = 0;
  #lastList: HeaderList = [];

  /** Of one block. */
  #bytes: Uint8Array = this.#lastBlock;
  #at = 0;
  #end = 0;
  #changed = false;

  constructor(maxTableBytes: number, maxListBytes: number) {
    this.#maxTableBytes = maxTableBytes;
    this.#tableLimit = maxTableBytes;
    this.#maxListBytes = maxListBytes;
  }

  /** Decodes `bytes[start, end)`; throws an `Http2Error` that ends the connection where they are no header block. */
  decode(bytes: Uint8Array, start: number, end: number): HeaderList {
    if (this.#isLast(bytes, start, end)) return this.#lastList;
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#changed = false;
    const list = this.#list();
    if (this.#changed) this.#lastLength = 0;
    else if (end - start <= maxRemembered && list !== tooLong) {
      for (let i = start; i < end; i++) this.#lastBlock[i - start] = bytes[i]!;
      this.#lastLength = end - start;
      this.#lastList = list;
    }
    return list;
  }

  #isLast(bytes: Uint8Array, start: number, end: number): boolean {
    const length = end - start;
    if (length !== this.#lastLength || length === 0) return false;
    for (let i = 0; i < length; i++) if (bytes[start + i] !== this.#lastBlock[i]) return false;
    return true;
  }

  #list(): HeaderList {
    let list: string[] | undefined = [];
    let listBytes = 0;
    while (this.#at < this.#end) {
      const first = this.#bytes[this.#at]!;
      let entry: readonly [string, string];
      if (first >= 0x80) {
        entry = this.#entry(this.#integer(7));
      } else if (first >= 0x40) {
        entry = this.#literal(6);
        this.#insert(entry);
      } else if (first >= 0x20) {
        if (list?.length !== 0) throw broken('a table size that is changed in the middle of a block');
        this.#resize(this.#integer(5));
        continue;
      } else {
        entry = this.#literal(4);
      }
      listBytes += entry[0].length + entry[1].length + entryOverhead;
      if (listBytes > this.#maxListBytes) list = undefined;
      list?.push(entry[0], entry[1]);
    }
    return list ?? tooLong;
  }

  #literal(prefixBits: number): readonly [string, string] {
    const index = this.#integer(prefixBits);
    const name = index === 0 ? this.#string() : this.#entry(index)[0];
    return [name, this.#string()];
  }

  #entry(index: number): readonly [string, string] {
    const fixed = index === 0 ? undefined : staticTable[index - 1];
    if (fixed) return fixed;
    const at = this.#entries.length - (index - staticTable.length);
    const entry = index > staticTable.length && at >= this.#from ? this.#entries[at] : undefined;
    if (!entry) throw broken(`an entry ${index} that the table does not have`);
    return entry;
  }

  /** RFC 7541 §5.1; more than 2^28 is nothing that any limit here allows. */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#bytes[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= this.#end) throw broken('a number that the block cuts off');
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw broken('a number above 2^28');
  }

  #string(): string {
    if (this.#at >= this.#end) throw broken('a string that the block cuts off');
    const isHuffman = this.#bytes[this.#at]! >= 0x80;
    const length = this.#integer(7);
    const start = this.#at;
    const end = start + length;
    if (end > this.#end) throw broken('a string longer than its block');
    this.#at = end;
    if (isHuffman) {
      const text = huffmanDecode(this.#bytes, start, end);
      if (text === undefined) throw broken('a string that is no Huffman code');
      return text;
    }
    let text = '';
    for (let i = start; i < end; i++) text += String.fromCharCode(this.#bytes[i]!);
    return text;
  }

  #insert(entry: readonly [string, string]): void {
    this.#changed = true;
    const bytes = entry[0].length + entry[1].length + entryOverhead;
    this.#shrinkTo(this.#tableLimit - bytes);
    // An entry larger than the table empties it and is not kept (RFC 7541 §4.4).
    if (bytes > this.#tableLimit) return;
    this.#entries.push(entry);
    this.#tableBytes += bytes;
  }

  #resize(limit: number): void {
    this.#changed = true;
    if (limit > this.#maxTableBytes)
      throw broken(`a table of ${limit} bytes; at most ${this.#maxTableBytes} are allowed`);
    this.#tableLimit = limit;
    this.#shrinkTo(limit);
  }

  #shrinkTo(bytes: number): void {
    while (this.#tableBytes > bytes && this.#from < this.#entries.length) {
      const [name, value] = this.#entries[this.#from++]!;
      this.#tableBytes -= name.length + value.length + entryOverhead;
    }
    if (this.#from <= 256 && this.#from < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#from);
    this.#from = 0;
  }
}

function broken(what: string): Http2Error {
  return new Http2Error(ErrorCode.compressionError, `a header block holds ${what}`);
}
