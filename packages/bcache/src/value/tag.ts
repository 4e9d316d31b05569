/** First byte of each encoded value. Append only: these numbers are the protocol. */
export const Tag = {
  undefined: 0,
  null: 1,
  true: 2,
  false: 3,
  /** varint */
  positive: 4,
  /** varint of `-1 - n` */
  negative: 5,
  float: 6,
  /** varint length, magnitude big-endian */
  bigPositive: 7,
  bigNegative: 8,
  /** varint count of characters, one byte each */
  latin1: 9,
  /** varint length in bytes, UTF-8 */
  utf8: 10,
  /** varint length in bytes, UTF-16LE: text with a lone surrogate */
  utf16: 11,
  /** varint length, elements; a hole is the tag `hole` */
  array: 12,
  hole: 13,
  /** varint count, (text, value)* */
  object: 14,
  map: 15,
  set: 16,
  /** f64 milliseconds */
  date: 17,
  /** source, flags */
  regexp: 18,
  /** varint length, bytes */
  arrayBuffer: 19,
  /** u8 kind (`viewKinds`), varint length in bytes, bytes */
  view: 20,
  /** name, message, stack (text or undefined), has cause, [cause] */
  error: 21,
  /** a primitive in an object: Number, String, Boolean, BigInt */
  boxed: 22,
  /** varint: the n-th object of this value, counted in the order in which they begin */
  reference: 23,
} as const;

/** Typed arrays by number. Append only. */
export const viewKinds: readonly ViewConstructor[] = [
  Uint8Array,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
];

export interface ViewConstructor {
  readonly name: string;
  new (buffer: ArrayBuffer, byteOffset?: number, length?: number): ArrayBufferView;
}

/** Version of the format: the byte before the value. */
export const formatVersion = 1;
/** Values nested deeper than this are refused, when encoded and when decoded. */
export const maxDepth = 500;
