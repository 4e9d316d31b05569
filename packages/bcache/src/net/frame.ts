import { type CipherGCM, createCipheriv, createDecipheriv, type DecipherGCM } from 'node:crypto';
import { CacheError } from '../errors.js';

/** Largest message on a stream. */
const maxFrameBytes = 40 * 1024 * 1024;
const tagBytes = 16;

/** `u32 length, message`. One buffer serves all peers, where streams are not sealed. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(4 + message.length);
  framed.writeUInt32BE(message.length, 0);
  framed.set(message, 4);
  return framed;
}

/** Cuts a stream into frames, however it was chunked. Takes no more memory than what has come and one frame. */
export class FrameReader {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number = maxFrameBytes) {
    this.#maxBytes = maxBytes;
  }

  /** The same stream, from now on with frames of any allowed size. */
  widened(): FrameReader {
    const wide = new FrameReader();
    for (const chunk of this.#chunks) wide.push(chunk);
    return wide;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** The next whole frame's message, in memory of its own; undefined until it is there. Throws at one too large. */
  next(): Uint8Array | undefined {
    if (this.#bytes < 4) return undefined;
    if (this.#chunks[0]!.length < 4) this.#chunks = [Buffer.concat(this.#chunks)];
    const length = this.#chunks[0]!.readUInt32BE(0);
    if (length > this.#maxBytes)
      throw new CacheError('nonsense', `a frame of ${length} bytes; at most ${this.#maxBytes} are allowed`);
    if (this.#bytes < 4 + length) return undefined;
    const message = new Uint8Array(length);
    let at = 0;
    let skip = 4;
    while (at < length || skip > 0) {
      const chunk = this.#chunks[0]!;
      const take = Math.min(chunk.length - skip, length - at);
      if (take > 0) message.set(chunk.subarray(skip, skip + take), at);
      at += Math.max(0, take);
      if (skip + take === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(skip + take);
      skip = 0;
    }
    this.#bytes -= 4 + length;
    return message;
  }
}

/**
 * Seals and opens the frames of one stream with AES-256-GCM. The nonce is the frame's number: a frame left out, doubled
 * or moved does not open. A stream has a key of its own, so no nonce is used twice.
 */
export class FrameSeal {
  readonly #key: Buffer;
  #number = 0;

  constructor(key: Buffer) {
    this.#key = key;
  }

  seal(message: Uint8Array): Buffer {
    const cipher: CipherGCM = createCipheriv('aes-256-gcm', this.#key, this.#nonce());
    return Buffer.concat([cipher.update(message), cipher.final(), cipher.getAuthTag()]);
  }

  open(sealed: Uint8Array): Uint8Array {
    if (sealed.length < tagBytes) throw new CacheError('nonsense', `a sealed frame of ${sealed.length} bytes`);
    const decipher: DecipherGCM = createDecipheriv('aes-256-gcm', this.#key, this.#nonce());
    decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
    const body = decipher.update(sealed.subarray(0, sealed.length - tagBytes));
    try {
      decipher.final();
    } catch (error) {
      throw new CacheError('nonsense', 'a frame does not open with the stream key', { cause: error });
    }
    return new Uint8Array(body);
  }

  #nonce(): Buffer {
    const nonce = Buffer.alloc(12);
    nonce.writeUIntBE(this.#number++, 6, 6);
    return nonce;
  }
}
