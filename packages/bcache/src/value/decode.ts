import { BytesError } from '@dcache/base';
import { formatVersion, maxDepth, Tag, viewKinds } from './tag.js';

/** A decoded value, and whether some part of it could not be frozen. */
export interface Decoded {
  readonly value: unknown;
  readonly hasMutable: boolean;
}

/**
 * Decodes what `encodeValue` wrote; nothing in the result shares memory with `bytes`. With `freeze`, objects and arrays
 * are frozen as they are built; Map, Set, Date and bytes cannot be, and `hasMutable` says that there are some.
 * Anything else throws a `BytesError`.
 */
export function decodeValue(bytes: Uint8Array, freeze = false): Decoded {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer[0] !== formatVersion)
    throw new BytesError(`a value of format ${buffer[0] ?? 'none'}; this version reads ${formatVersion}`);
  const decoder = new Decoder(buffer, freeze);
  const value = decoder.read(0);
  decoder.end();
  return { value, hasMutable: decoder.hasMutable };
}

class Decoder {
  readonly #buffer: Buffer;
  readonly #freeze: boolean;
  #at = 1;
  #objects: object[] | undefined;
  hasMutable = false;

  constructor(buffer: Buffer, freeze: boolean) {
    this.#buffer = buffer;
    this.#freeze = freeze;
  }

  end(): void {
    if (this.#at !== this.#buffer.length)
      throw new BytesError(`${this.#buffer.length - this.#at} bytes too many at offset ${this.#at} of a value`);
  }

  read(depth: number): unknown {
    if (depth > maxDepth + 2) throw new BytesError(`a value nested more than ${maxDepth} deep`);
    const tag = this.#u8();
    switch (tag) {
      case Tag.undefined:
        return undefined;
      case Tag.null:
        return null;
      case Tag.true:
        return true;
      case Tag.false:
        return false;
      case Tag.positive:
        return this.#varint();
      case Tag.negative:
        return -1 - this.#varint();
      case Tag.float:
        return this.#f64();
      case Tag.bigPositive:
      case Tag.bigNegative:
        return this.#bigint(tag === Tag.bigNegative);
      case Tag.latin1:
      case Tag.utf8:
      case Tag.utf16:
        return this.#text(tag);
      case Tag.reference:
        return this.#reference();
      default:
        return this.#object(tag, depth);
    }
  }

  #object(tag: number, depth: number): object {
    switch (tag) {
      case Tag.object:
        return this.#plain(depth);
      case Tag.array:
        return this.#array(depth);
      case Tag.map: {
        const map = this.#note(new Map<unknown, unknown>());
        for (let i = this.#count(2); i > 0; i--) {
          const key = this.read(depth + 1);
          map.set(key, this.read(depth + 1));
        }
        return this.#mutable(map);
      }
      case Tag.set: {
        const set = this.#note(new Set<unknown>());
        for (let i = this.#count(1); i > 0; i--) set.add(this.read(depth + 1));
        return this.#mutable(set);
      }
      case Tag.date:
        return this.#mutable(this.#note(new Date(this.#f64())));
      case Tag.regexp:
        return this.#regexp();
      case Tag.arrayBuffer:
        return this.#mutable(this.#note(this.#copy()));
      case Tag.view:
        return this.#view();
      case Tag.error:
        return this.#error(depth);
      case Tag.boxed:
        return this.#boxed(depth);
      default:
        throw new BytesError(`a value has the unknown tag ${tag} at offset ${this.#at - 1}`);
    }
  }

  #plain(depth: number): object {
    const count = this.#count(2);
    const object = this.#note(newObject(count));
    for (let i = count; i > 0; i--) {
      const key = this.#text(this.#u8());
      const value = this.read(depth + 1);
      // Assigned, it would set the prototype.
      if (key === '__proto__')
        Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      else object[key] = value;
    }
    return this.#freeze ? Object.freeze(object) : object;
  }

  #array(depth: number): unknown[] {
    const length = this.#count(1);
    const array = this.#note<unknown[]>([]);
    for (let i = 0; i < length; i++) {
      if (this.#buffer[this.#at] === Tag.hole) {
        this.#at++;
        array.length = i + 1;
      } else array.push(this.read(depth + 1));
    }
    return this.#freeze ? (Object.freeze(array) as unknown[]) : array;
  }

  #view(): object {
    const kind = viewKinds[this.#u8()];
    if (kind === undefined) throw new BytesError(`a typed array of unknown kind at offset ${this.#at - 1} of a value`);
    const bytes = this.#copy();
    try {
      return this.#mutable(this.#note(new kind(bytes)));
    } catch (error) {
      throw new BytesError(`${bytes.byteLength} bytes are no ${kind.name}`, { cause: error });
    }
  }

  #regexp(): object {
    const source = this.#text(this.#u8());
    const flags = this.#text(this.#u8());
    try {
      // A RegExp has a `lastIndex` that its use changes.
      return this.#mutable(this.#note(new RegExp(source, flags)));
    } catch (error) {
      throw new BytesError('a value holds a regular expression that is none', { cause: error });
    }
  }

  #error(depth: number): object {
    const error = this.#note(new Error(''));
    const name = this.#text(this.#u8());
    const message = this.#text(this.#u8());
    const stack = this.read(depth + 1);
    define(error, 'message', message);
    define(error, 'stack', stack);
    if (name !== 'Error') define(error, 'name', name);
    if (this.#u8() === Tag.true) define(error, 'cause', this.read(depth + 1));
    return this.#freeze ? Object.freeze(error) : error;
  }

  #boxed(depth: number): object {
    // Its number comes before that of what it holds, which is no object.
    const objects = this.#noteLater();
    const boxed = Object(this.read(depth + 1)) as object;
    objects.fill(boxed);
    return this.#freeze ? Object.freeze(boxed) : boxed;
  }

  #reference(): unknown {
    const index = this.#varint();
    const object = this.#objects?.[index];
    if (object === undefined) throw new BytesError(`a value refers to its object ${index}, which there is not`);
    return object;
  }

  #note<T extends object>(object: T): T {
    if (this.#objects === undefined) this.#objects = [object];
    else this.#objects.push(object);
    return object;
  }

  #noteLater(): { fill: (object: object) => void } {
    this.#objects ??= [];
    const objects = this.#objects;
    const index = objects.length;
    objects.push({});
    return {
      fill: (object) => {
        objects[index] = object;
      },
    };
  }

  #mutable<T extends object>(object: T): T {
    this.hasMutable = true;
    return object;
  }

  #bigint(isNegative: boolean): bigint {
    const hex = this.#raw().toString('hex');
    const magnitude = hex === '' ? 0n : BigInt(`0x${hex}`);
    return isNegative ? -magnitude : magnitude;
  }

  #text(tag: number): string {
    const bytes = this.#raw();
    if (tag === Tag.latin1) return bytes.toString('latin1');
    if (tag === Tag.utf8) return bytes.toString('utf8');
    if (tag === Tag.utf16) return bytes.toString('utf16le');
    throw new BytesError(`wanted a text at offset ${this.#at} of a value, got the tag ${tag}`);
  }

  /** An own copy of the next bytes, in memory of its own. */
  #copy(): ArrayBuffer {
    const bytes = this.#raw();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  }

  #raw(): Buffer {
    const length = this.#varint();
    this.#need(length);
    this.#at += length;
    return this.#buffer.subarray(this.#at - length, this.#at);
  }

  /** A count of parts that take at least `least` bytes each: a lie about it costs nothing. */
  #count(least: number): number {
    const count = this.#varint();
    this.#need(count * least);
    return count;
  }

  #u8(): number {
    this.#need(1);
    return this.#buffer[this.#at++]!;
  }

  #f64(): number {
    this.#need(8);
    this.#at += 8;
    return this.#buffer.readDoubleBE(this.#at - 8);
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.#u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new BytesError(`the varint before offset ${this.#at} of a value is 2^53 or more`);
  }

  #need(bytes: number): void {
    if (this.#buffer.length - this.#at < bytes)
      throw new BytesError(`a value ends at ${this.#buffer.length}, but ${bytes} bytes are due at ${this.#at}`);
  }
}

type Plain = Record<string, unknown>;

/** By number of properties, up to 8. */
const makers: (new () => Plain)[] = [];

/**
 * An empty object with room for `count` properties. V8 gives `{}` room for four. Of a constructor it learns from the
 * first objects how many they come to have, and gives later ones just that room: with one constructor for each number
 * no object has too much of it.
 */
function newObject(count: number): Plain {
  if (count > 8) return {};
  let maker = makers[count];
  if (maker === undefined) {
    maker = function maker() {} as unknown as new () => Plain;
    // So that they are objects like any other.
    maker.prototype = Object.prototype;
    makers[count] = maker;
  }
  return new maker();
}

function define(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, writable: true, configurable: true, enumerable: false });
}
