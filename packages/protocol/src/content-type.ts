import { concatBytes } from '@dcache/base';
import { DcacheError } from './errors.js';

/*
 * The media type of a value, kept as it was given. The usual ones cost nothing: their number is in the low eight bits of
 * the value's flags. Any other stands before the value in the store, told by one bit of the flags:
 *
 *   length:u8 | type, Latin-1 as in the header | value
 *
 * The state machine takes it off again when it reads, so every protocol sees the pure value.
 */

// Append only: the place of a type is its number in the log and in snapshots; 0 is "none was given".
const types: readonly string[] = [
  'application/octet-stream',
  'text/plain',
  'text/plain; charset=utf-8',
  'application/json',
  'application/json; charset=utf-8',
  'text/html',
  'text/html; charset=utf-8',
  'text/css',
  'text/css; charset=utf-8',
  'text/javascript',
  'text/javascript; charset=utf-8',
  'text/csv',
  'text/csv; charset=utf-8',
  'text/markdown',
  'text/markdown; charset=utf-8',
  'text/xml',
  'application/xml',
  'application/yaml',
  'application/toml',
  'application/x-ndjson',
  'application/ld+json',
  'application/problem+json',
  'application/xhtml+xml',
  'application/pdf',
  'application/zip',
  'application/gzip',
  'application/wasm',
  'application/cbor',
  'application/msgpack',
  'application/vnd.msgpack',
  'application/protobuf',
  'application/x-protobuf',
  'application/vnd.apache.avro',
  'application/vnd.apache.parquet',
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp',
  'image/avif',
  'image/svg+xml',
  'image/x-icon',
  'audio/mpeg',
  'audio/ogg',
  'audio/wav',
  'video/mp4',
  'video/webm',
  'font/woff',
  'font/woff2',
  'application/graphql',
  'application/sql',
  'application/x-www-form-urlencoded',
];

const numbers: ReadonlyMap<string, number> = new Map(types.map((type, number) => [type, number]));

/** In the flags: the type stands before the value. */
const typeInValue = 0x100;
/** Bytes of the longest type that is kept. */
const maxTypeBytes = 255;
/** What a type adds to its value in the store, at most. */
export const maxTypePrefixBytes: number = maxTypeBytes + 1;

/** How a value with this Content-Type is stored. Throws `bad-argument` for a type of more than 255 bytes. */
export function typedValue(
  contentType: string | undefined,
  value: Uint8Array,
): { readonly value: Uint8Array; readonly flags: number } {
  if (contentType === undefined || contentType === '') return { value, flags: 0 };
  const number = numbers.get(contentType);
  if (number !== undefined) return { value, flags: number };
  const { length } = contentType;
  if (length > maxTypeBytes)
    throw new DcacheError('bad-argument', `the Content-Type has ${length} bytes; at most ${maxTypeBytes} are allowed`);
  const prefix = new Uint8Array(length + 1);
  prefix[0] = length;
  for (let i = 0; i < length; i++) prefix[i + 1] = contentType.charCodeAt(i);
  return { value: concatBytes([prefix, value]), flags: typeInValue };
}

/** RFC 9110 §5.5. */
const headerText = /^[\t\x20-\x7e\x80-\xff]+$/;

/** Whether `splitTyped` has something to take off. */
export function hasTypePrefix(flags: number): boolean {
  return (flags & typeInValue) !== 0;
}

/** A stored value whose flags say that its type stands before it, as two; the value is a view. */
export function splitTyped(stored: Uint8Array): { readonly contentType: string; readonly value: Uint8Array } {
  const length = stored[0] ?? 0;
  const contentType = String.fromCharCode(...stored.subarray(1, length + 1));
  // A restored file may hold anything; what is no header must not get into one.
  return { contentType: headerText.test(contentType) ? contentType : types[0]!, value: stored.subarray(length + 1) };
}

/** The Content-Type of a value with these flags and none before it; bytes where none was given, or a newer version's. */
export function contentTypeOf(flags: number): string {
  return types[flags & 0xff] ?? 'application/octet-stream';
}
