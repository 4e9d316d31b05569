import { lzwDecode, lzwEncode } from './lzw.js';
import { MsgpackReader, MsgpackWriter, WireError } from './msgpack.js';
import { MessageType } from './swim-message.js';

const lzwAlgorithm = 0;

/** `09` and the map {Algo, Buf}; what is inside keeps its own type byte. */
export function compressMessage(message: Uint8Array): Uint8Array {
  const out = new MsgpackWriter().u8(MessageType.compress).map(2);
  return out.text('Algo').int(lzwAlgorithm).text('Buf').raw(lzwEncode(message)).copy();
}

/** The message inside, and how many bytes of `bytes` held it. Throws when it is cut or holds more than `maxBytes`. */
export function decompressMessage(
  bytes: Uint8Array,
  maxBytes: number,
): { readonly message: Uint8Array; readonly length: number } {
  const reader = new MsgpackReader(bytes, 1);
  let algorithm = lzwAlgorithm;
  let compressed = bytes.subarray(0, 0);
  reader.struct((key) => {
    if (key === 'Algo') algorithm = reader.uint(255);
    else if (key === 'Buf') compressed = reader.raw();
    else return false;
    return true;
  });
  if (algorithm !== lzwAlgorithm) throw new WireError(`Cannot decompress unknown algorithm ${algorithm}`);
  return { message: lzwDecode(compressed, maxBytes), length: reader.offset };
}
