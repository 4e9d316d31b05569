import { crc32 } from 'node:zlib';
import { BytesError, concatBytes } from '@dcache/base';

/*
 * A snapshot travels and lies on disk as a stream of bytes whose cuts mean nothing:
 *
 *   length:u32 | crc:u32 of the header | header of the state machine | the store's bytes to the end, with checks of their own
 */

const preludeBytes = 8;
const maxHeaderBytes = 0x1000_0000;

/** The stream of a header and what follows it. */
export function* writeSnapshotStream(header: Uint8Array, rest: Iterable<Uint8Array>): Generator<Uint8Array> {
  const prelude = new Uint8Array(preludeBytes);
  const view = new DataView(prelude.buffer);
  view.setUint32(0, header.length);
  view.setUint32(4, crc32(header));
  yield concatBytes([prelude, header]);
  yield* rest;
}

/** Gives the header, whole, to the first of the callbacks and every later byte to the second. Throws a `BytesError`. */
export async function readSnapshotStream(
  chunks: AsyncIterable<Uint8Array>,
  onHeader: (header: Uint8Array) => void,
  onRest: (chunk: Uint8Array) => void,
): Promise<void> {
  let parts: Uint8Array[] | undefined = [];
  let held = 0;
  let wanted = preludeBytes;
  for await (const chunk of chunks) {
    if (parts === undefined) {
      onRest(chunk);
      continue;
    }
    parts.push(chunk);
    held += chunk.length;
    if (held < wanted) continue;
    const bytes = concatBytes(parts);
    parts = [bytes];
    wanted = preludeBytes + headerBytes(bytes);
    if (held < wanted) continue;
    const header = bytes.subarray(preludeBytes, wanted);
    if (crc32(header) !== new DataView(bytes.buffer).getUint32(4))
      throw new BytesError(`the snapshot's header of ${header.length} bytes does not match its checksum`);
    onHeader(header);
    if (held > wanted) onRest(bytes.subarray(wanted));
    parts = undefined;
  }
  if (parts !== undefined) throw new BytesError(`the snapshot ends inside its header, after ${held} bytes`);
}

function headerBytes(bytes: Uint8Array): number {
  const length = new DataView(bytes.buffer).getUint32(0);
  if (length > maxHeaderBytes)
    throw new BytesError(`a snapshot header of ${length} bytes; at most ${maxHeaderBytes} are allowed`);
  return length;
}
