import { CacheError } from '../errors.js';
import { formatVersion, maxDepth, Tag, viewKinds } from './tag.js';

/**
 * Encodes what structured clone knows, by its rules: an object's own enumerable properties, whatever its class; shared
 * and circular references are kept. Throws a `CacheError` `not-cloneable` that says where in the value the fault lies.
 *
 * `u8 version`, then one value as tag.ts draws it. Own format, because V8's changes with V8 and nodes of several Node
 * versions share a cluster.
 */
export function encodeValue(value: unknown): Uint8Array {
  encoder.start();
  try {
    encoder.write(value, '', 0);
    return encoder.copy();
  } finally {
    encoder.end();
  }
}

const keepBytes = 1024 * 1024;

class Encoder {
  #buffer = Buffer.allocUnsafe(64 * 1024);
  #at = 0;
  /** Objects seen, for references. A list while there are few: most values hold a handful. */
  #seen: object[] = [];
  #index: Map<object, number> | undefined;
  #isBusy = false;

  start(): void {
    // A getter of the value might call `set` in the midst of this.
    if (this.#isBusy) throw new CacheError('not-cloneable', 'the value changes the cache while it is encoded');
    this.#isBusy = true;
    this.#at = 0;
    this.#reserve(16);
    this.#buffer[this.#at++] = formatVersion;
  }

  copy(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.#at));
  }

  end(): void {
    this.#isBusy = false;
    if (this.#seen.length > 0) this.#seen = [];
    this.#index = undefined;
    if (this.#buffer.length > keepBytes) this.#buffer = Buffer.allocUnsafe(64 * 1024);
  }

  write(value: unknown, path: string, depth: number): void {
    switch (typeof value) {
      case 'string':
        this.#text(value);
        return;
      case 'number':
        this.#number(value);
        return;
      case 'boolean':
        this.#tag(value ? Tag.true : Tag.false);
        return;
      case 'undefined':
        this.#tag(Tag.undefined);
        return;
      case 'bigint':
        this.#bigint(value);
        return;
      case 'object':
        if (value === null) this.#tag(Tag.null);
        else this.#object(value, path, depth);
        return;
      default:
        throw refusal(path, `a ${typeof value}`);
    }
  }

  #object(value: object, path: string, depth: number): void {
    if (depth > maxDepth) throw refusal(path, `an object nested more than ${maxDepth} deep`);
    if (this.#isReference(value)) return;
    if (Array.isArray(value)) {
      this.#array(value, path, depth);
      return;
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) {
      this.#plain(value, path, depth);
      return;
    }
    if (ArrayBuffer.isView(value)) {
      this.#view(value, path);
      return;
    }
    if (value instanceof Map) {
      this.#tag(Tag.map);
      this.#varint(value.size);
      for (const [key, held] of value) {
        this.write(key, `${path}<key>`, depth + 1);
        this.write(held, `${path}<value>`, depth + 1);
      }
      return;
    }
    if (value instanceof Set) {
      this.#tag(Tag.set);
      this.#varint(value.size);
      for (const held of value) this.write(held, `${path}<item>`, depth + 1);
      return;
    }
    if (value instanceof Date) {
      this.#tag(Tag.date);
      this.#f64(value.getTime());
      return;
    }
    if (value instanceof RegExp) {
      this.#tag(Tag.regexp);
      this.#text(value.source);
      this.#text(value.flags);
      return;
    }
    if (value instanceof ArrayBuffer) {
      this.#tag(Tag.arrayBuffer);
      this.#bytes(new Uint8Array(value));
      return;
    }
    if (value instanceof Error) {
      this.#error(value, path, depth);
      return;
    }
    if (isBoxed(value)) {
      this.#tag(Tag.boxed);
      this.write(value.valueOf(), path, depth + 1);
      return;
    }
    const refused = refusedClasses.find((type) => value instanceof type);
    if (refused !== undefined) throw refusal(path, `a ${refused.name}`);
    this.#plain(value, path, depth);
    return;
  }

  #plain(value: object, path: string, depth: number): void {
    const keys = Object.keys(value);
    this.#tag(Tag.object);
    this.#varint(keys.length);
    for (const key of keys) {
      this.#text(key);
      this.write((value as Record<string, unknown>)[key], `${path}.${key}`, depth + 1);
    }
  }

  #array(value: readonly unknown[], path: string, depth: number): void {
    this.#tag(Tag.array);
    this.#varint(value.length);
    for (let i = 0; i < value.length; i++) {
      if (value[i] === undefined && !(i in value)) this.#tag(Tag.hole);
      else this.write(value[i], `${path}[${i}]`, depth + 1);
    }
  }

  #view(value: ArrayBufferView, path: string): void {
    if (!(value.buffer instanceof ArrayBuffer)) throw refusal(path, 'shared memory');
    const kind = viewKinds.findIndex((type) => value instanceof type);
    if (kind < 0) throw refusal(path, `a ${value.constructor.name}`);
    this.#tag(Tag.view);
    this.#tag(kind);
    this.#bytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }

  #error(value: Error, path: string, depth: number): void {
    this.#tag(Tag.error);
    this.#text(value.name);
    this.#text(value.message);
    this.write(value.stack, path, depth + 1);
    const hasCause = 'cause' in value;
    this.#tag(hasCause ? Tag.true : Tag.false);
    if (hasCause) this.write(value.cause, `${path}.cause`, depth + 1);
  }

  /** Writes a reference where this object was written before; else takes note of it. */
  #isReference(value: object): boolean {
    let at = -1;
    if (this.#index !== undefined) {
      at = this.#index.get(value) ?? -1;
      if (at < 0) this.#index.set(value, this.#seen.length);
    } else {
      at = this.#seen.indexOf(value);
      if (at < 0 && this.#seen.length === 16) {
        this.#index = new Map(this.#seen.map((seen, index) => [seen, index]));
        this.#index.set(value, 16);
      }
    }
    if (at < 0) {
      this.#seen.push(value);
      return false;
    }
    this.#tag(Tag.reference);
    this.#varint(at);
    return true;
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      this.#tag(Tag.float);
      this.#f64(value);
    } else {
      this.#tag(value >= 0 ? Tag.positive : Tag.negative);
      this.#varint(value >= 0 ? value : -1 - value);
    }
  }

  #bigint(value: bigint): void {
    this.#tag(value >= 0n ? Tag.bigPositive : Tag.bigNegative);
    let hex = (value >= 0n ? value : -value).toString(16);
    if (hex.length % 2 === 1) hex = `0${hex}`;
    this.#bytes(Buffer.from(hex, 'hex'));
  }

  #text(text: string): void {
    const length = text.length;
    this.#reserve(length * 3 + 16);
    const start = this.#at;
    this.#tag(Tag.latin1);
    this.#varint(length);
    if (length < 32) {
      let i = 0;
      let at = this.#at;
      for (; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code > 0xff) break;
        this.#buffer[at++] = code;
      }
      if (i === length) {
        this.#at = at;
        return;
      }
    } else if (isLatin1(text)) {
      this.#at += this.#buffer.write(text, this.#at, 'latin1');
      return;
    }
    this.#at = start;
    const isWhole = text.isWellFormed();
    const bytes = isWhole ? Buffer.byteLength(text) : length * 2;
    this.#tag(isWhole ? Tag.utf8 : Tag.utf16);
    this.#varint(bytes);
    this.#at += this.#buffer.write(text, this.#at, isWhole ? 'utf8' : 'utf16le');
  }

  #bytes(bytes: Uint8Array): void {
    this.#varint(bytes.length);
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #tag(tag: number): void {
    this.#reserve(1);
    this.#buffer[this.#at++] = tag;
  }

  #f64(value: number): void {
    this.#reserve(8);
    this.#at = this.#buffer.writeDoubleBE(value, this.#at);
  }

  #varint(value: number): void {
    this.#reserve(8);
    while (value >= 0x80) {
      this.#buffer[this.#at++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    this.#buffer[this.#at++] = value;
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = grown;
  }
}

const encoder = new Encoder();

/** Objects whose meaning is not in their properties. */
const refusedClasses = [
  Promise,
  WeakMap,
  WeakSet,
  WeakRef,
  SharedArrayBuffer,
  FinalizationRegistry,
  AbortSignal,
  ReadableStream,
  MessagePort,
] as readonly (new (
  ...args: never[]
) => object)[];

function isBoxed(value: object): boolean {
  return value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt;
}

function refusal(path: string, what: string): CacheError {
  return new CacheError(
    'not-cloneable',
    `the value${path === '' ? '' : ` at ${path}`} is ${what}; it cannot be cached`,
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the range of Latin-1 starts with them
const latin1 = /^[\u0000-\u00ff]*$/;

function isLatin1(text: string): boolean {
  return latin1.test(text);
}
