import { BytesError, concatBytes } from '@dcache/base';

/*
 * A snapshot travels and lies on disk as a stream of bytes whose cuts mean nothing:
 *
 *   length:u32 | header of the state machine | the store's bytes to the end
 */

const maxHeaderBytes = 0x1000_0000;

/** The stream of a header and what follows it. */
export function* writeSnapshotStream(header: Uint8Array, rest: Iterable<Uint8Array>): Generator<Uint8Array> {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, header.length);
  yield concatBytes([length, header]);
  yield* rest;
}

/** Gives the header, whole, to the first of the callbacks and every later byte to the second. Throws a `BytesError`. */
export async function readSnapshotStream(
  chunks: AsyncIterable<Uint8Array>,
  onHeader: (header: Uint8Array) => void,
  onRest: (chunk: Uint8Array) => void,
): Promise<void> {
  let held: Uint8Array | undefined = new Uint8Array();
  for await (const chunk of chunks) {
    if (held === undefined) {
      onRest(chunk);
      continue;
    }
    held = concatBytes([held, chunk]);
    if (held.length < 4) continue;
    const length = new DataView(held.buffer).getUint32(0);
    if (length > maxHeaderBytes)
      throw new BytesError(`a snapshot header of ${length} bytes; at most ${maxHeaderBytes} are allowed`);
    if (held.length < 4 + length) continue;
    onHeader(held.subarray(4, 4 + length));
    if (held.length > 4 + length) onRest(held.subarray(4 + length));
    held = undefined;
  }
  if (held !== undefined) throw new BytesError(`the snapshot ends inside its header, after ${held.length} bytes`);
}
