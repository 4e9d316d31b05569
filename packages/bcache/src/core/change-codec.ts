import { type ByteReader, BytesError, type ByteWriter } from '@dcache/base';
import { type Change, ChangeKind, noBytes, noTags } from './change.js';

/**
 * One change, inside a run of changes:
 *
 * ```
 * u8 head   bits 0-1 kind, 2 expires, 3 tags, 4 namespace as before, 5 filled, 6 grace
 * text      namespace                 unless bit 4
 * text      key or tag
 * varint    dot - the run's last dot  (runs are in the order of dots; a run's first "last dot" is 0)
 * varint    dot - stamp               if bit 5
 * varint    expiresAtMs               if bit 2
 * varint    graceMs                   if bit 6
 * varint n, n × text: tags            if bit 3
 * bytes     value                     for a set
 * ```
 */
export interface Run {
  dot: number;
  space: string | undefined;
}

const expiresBit = 4;
const tagsBit = 8;
const sameSpaceBit = 16;
const filledBit = 32;
const graceBit = 64;

/** Longest key, tag or namespace taken from a peer, in UTF-8 bytes. */
const maxNameBytes = 64 * 1024;
const maxTags = 1024;

export function writeChange(writer: ByteWriter, run: Run, change: Change): void {
  const sameSpace = change.space === run.space;
  writer.u8(
    change.kind |
      (change.expiresAtMs > 0 ? expiresBit : 0) |
      (change.tags.length > 0 ? tagsBit : 0) |
      (sameSpace ? sameSpaceBit : 0) |
      (change.dot !== change.stamp ? filledBit : 0) |
      (change.graceMs > 0 ? graceBit : 0),
  );
  if (!sameSpace) writer.text(change.space);
  writeText(writer, change.key);
  writer.varint(change.dot - run.dot);
  if (change.dot !== change.stamp) writer.varint(change.dot - change.stamp);
  if (change.expiresAtMs > 0) writer.varint(Math.ceil(change.expiresAtMs));
  if (change.graceMs > 0) writer.varint(Math.ceil(change.graceMs));
  if (change.tags.length > 0) {
    writer.varint(change.tags.length);
    for (const tag of change.tags) writer.text(tag);
  }
  if (change.kind === ChangeKind.set) writer.bytes(change.value);
  run.dot = change.dot;
  run.space = change.space;
}

/** The value is a view of the reader's bytes. */
export function readChange(reader: ByteReader, run: Run, origin: string): Change {
  const head = reader.u8();
  if (head >= 128) throw new BytesError(`a change at offset ${reader.offset - 1} has the unknown head ${head}`);
  const kind = (head & 3) as ChangeKind;
  const space = (head & sameSpaceBit) === 0 ? readName(reader, 'namespace') : run.space;
  if (space === undefined) throw new BytesError('the first change of a run names no namespace');
  const key = readName(reader, 'key');
  const dot = run.dot + reader.varint();
  const stamp = (head & filledBit) === 0 ? dot : dot - reader.varint();
  if (!Number.isSafeInteger(dot) || stamp < 0) throw new BytesError(`the dot ${dot} or the stamp ${stamp} is none`);
  const expiresAtMs = (head & expiresBit) === 0 ? 0 : reader.varint();
  const graceMs = (head & graceBit) === 0 ? 0 : reader.varint();
  const tags = (head & tagsBit) === 0 ? noTags : readTags(reader);
  const value = kind === ChangeKind.set ? reader.bytes() : noBytes;
  run.dot = dot;
  run.space = space;
  return { kind, space, key, stamp, dot, origin, expiresAtMs, graceMs, tags, value };
}

/** Short ASCII text is written byte by byte: an encoder call costs more than the bytes. */
function writeText(writer: ByteWriter, text: string): void {
  const length = text.length;
  if (length >= 64) {
    writer.text(text);
    return;
  }
  for (let i = 0; i < length; i++) {
    if (text.charCodeAt(i) >= 0x80) {
      writer.text(text);
      return;
    }
  }
  writer.varint(length);
  for (let i = 0; i < length; i++) writer.u8(text.charCodeAt(i));
}

function readName(reader: ByteReader, what: string): string {
  const start = reader.offset;
  const bytes = reader.varint();
  if (bytes > maxNameBytes)
    throw new BytesError(`a ${what} of ${bytes} bytes at offset ${start}; at most ${maxNameBytes} are allowed`);
  return decodeName(reader.raw(bytes));
}

// A byte order mark at the beginning belongs to the name.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function decodeName(bytes: Uint8Array): string {
  return bytes.length === 0 ? '' : decoder.decode(bytes);
}

function readTags(reader: ByteReader): string[] {
  const count = reader.varint();
  if (count > maxTags) throw new BytesError(`${count} tags; at most ${maxTags} are allowed`);
  return Array.from({ length: count }, () => readName(reader, 'tag'));
}
