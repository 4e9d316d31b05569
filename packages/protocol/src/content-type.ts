/*
 * The media type of a value, in the low eight bits of its flags: so every protocol reads the pure value, a type costs no
 * bytes of its own, and what edits a value need not know of it. A type that is not in the table is not kept.
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
];

const numbers: ReadonlyMap<string, number> = new Map(types.map((type, number) => [type, number]));

/** The flags of a value with this Content-Type; 0 for one that is not kept. */
export function contentTypeFlags(header: string | undefined): number {
  if (header === undefined) return 0;
  const exact = numbers.get(header);
  if (exact !== undefined) return exact;
  const normal = header
    .toLowerCase()
    .replace(/\s*;\s*/g, '; ')
    .replace(/charset="?utf-?8"?/, 'charset=utf-8')
    .trim();
  return numbers.get(normal) ?? 0;
}

/** The Content-Type of a value with these flags; bytes where none was given, or a newer version's. */
export function contentTypeOf(flags: number): string {
  return types[flags & 0xff] ?? 'application/octet-stream';
}
