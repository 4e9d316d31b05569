import { ByteWriter } from '@dcache/base';
import type { PushPullState, SwimMessage } from '../core/message.js';
import { decodeMessage } from './codec.js';
import { compressMessage, decompressMessage } from './compress.js';
import { MsgpackReader, MsgpackWriter, TruncatedError, WireError } from './msgpack.js';
import { encodeLabel, type PacketOptions, stripLabel } from './packet.js';
import { PushPullReader } from './push-pull.js';
import { decodeSwim, MessageType } from './swim-message.js';

/*
 * A stream carries one message each way:
 *
 *     [f4 │ len:u8 │ label]
 *     plain        type:u8 │ body
 *     compressed   09 │ {Algo, Buf}
 *     encrypted    0a │ len:u32 │ ver │ nonce:12 │ ciphertext │ tag:16      AAD: 0a, len, label
 */
export type StreamMessage =
  | SwimMessage
  | { readonly type: 'push-pull'; readonly state: PushPullState }
  /** The peer refuses, and says why. */
  | { readonly type: 'error'; readonly error: string };

const maxSealedBytes = 20 * 1024 * 1024;
const maxUnfoldedBytes = 40 * 1024 * 1024;
/** Pings, acks and refusals are small. */
const maxSmallBytes = 64 * 1024;
const maxUserBytes = 20 * 1024 * 1024;

/** Bytes of a message for a stream. */
export function encodeStream(message: Uint8Array, options: PacketOptions & { readonly compress: boolean }): Uint8Array {
  const plain = options.compress ? compressMessage(message) : message;
  const { keyring, label } = options;
  const out = new ByteWriter(plain.length + 64).raw(encodeLabel(label));
  if (keyring === undefined) return out.raw(plain).finish();
  const sealedBytes = plain.length + 29;
  const head = new ByteWriter(5).u8(MessageType.encrypt).u32(sealedBytes).finish();
  return out
    .raw(head)
    .raw(keyring.encrypt(plain, Buffer.concat([head, label])))
    .finish();
}

/** `0d` and the reason. */
export function encodeRefusal(error: string): Uint8Array {
  return new MsgpackWriter().u8(MessageType.error).map(1).text('Error').text(error).copy();
}

/**
 * Collects what arrives until it is a whole message. Nobody half-closes a stream here, so the end has to be seen from
 * the bytes themselves. `maxBytes` bounds what is collected.
 */
export class StreamReader {
  readonly #options: PacketOptions;
  readonly #maxBytes: number;
  #buffer: Uint8Array = new Uint8Array(2048);
  #length = 0;
  #pushPull: PushPullReader | undefined;
  /** Below this length nothing new can be read, so small chunks cost little. */
  #neededBytes = 0;

  constructor(options: PacketOptions, maxBytes: number) {
    this.#options = options;
    this.#maxBytes = maxBytes;
  }

  /** Bytes collected. */
  get length(): number {
    return this.#length;
  }

  /** The message once all of it is there. Throws a `WireError` as soon as it cannot become one. */
  push(chunk: Uint8Array): StreamMessage | undefined {
    if (this.#length + chunk.length > this.#maxBytes)
      throw new WireError(`a stream of more than the ${this.#maxBytes} bytes allowed`);
    if (this.#length + chunk.length > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(2 * this.#buffer.length, this.#length + chunk.length));
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.#length);
    this.#length += chunk.length;
    return this.#length < this.#neededBytes ? undefined : this.#read();
  }

  #read(): StreamMessage | undefined {
    const { keyring, label } = this.#options;
    const all = this.#buffer.subarray(0, this.#length);
    // A label of another length shows in its second byte already.
    const headBytes = label.length === 0 ? 0 : 2 + label.length;
    if (all.length === 0 || (headBytes > 0 && all.length < 2)) return undefined;
    if (headBytes > 0 && all[0] === MessageType.label && all[1] === label.length && all.length <= headBytes)
      return undefined;
    const bytes = stripLabel(all, label);
    if (bytes[0] === MessageType.encrypt) {
      if (keyring === undefined) throw new WireError('Remote state is encrypted and encryption is not configured');
      if (bytes.length < 5) return undefined;
      const sealedBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
      if (sealedBytes > maxSealedBytes)
        throw new WireError(`an encrypted message of ${sealedBytes} bytes, allowed are ${maxSealedBytes}`);
      if (bytes.length < 5 + sealedBytes) return undefined;
      const aad = Buffer.concat([bytes.subarray(0, 5), label]);
      return readWhole(keyring.decrypt(bytes.subarray(5, 5 + sealedBytes), aad));
    }
    if (keyring !== undefined) throw new WireError('Encryption is configured but remote state is not encrypted');
    return this.#readPlain(bytes);
  }

  #readPlain(bytes: Uint8Array): StreamMessage | undefined {
    if (bytes[0] === MessageType.pushPull) {
      this.#pushPull ??= new PushPullReader();
      const read = this.#pushPull.read(bytes);
      if (read !== undefined) return { type: 'push-pull', state: read.state };
      return this.#await(bytes, this.#pushPull.neededBytes);
    }
    try {
      return readWhole(bytes);
    } catch (error) {
      const isSmall = bytes[0] !== MessageType.compress && bytes[0] !== MessageType.user;
      if (!(error instanceof TruncatedError) || (isSmall && bytes.length > maxSmallBytes)) throw error;
      return this.#await(bytes, isSmall ? 0 : error.neededBytes);
    }
  }

  /** `bytes` are all but the label, and of them so many are needed. */
  #await(bytes: Uint8Array, neededBytes: number): undefined {
    this.#neededBytes = this.#length - bytes.length + neededBytes;
    return undefined;
  }
}

/** A message of which all bytes are there. */
function readWhole(bytes: Uint8Array): StreamMessage {
  switch (bytes[0]) {
    case MessageType.compress: {
      const { message } = decompressMessage(bytes, maxUnfoldedBytes);
      if (message[0] === MessageType.compress) throw new WireError('a compressed message inside a compressed one');
      try {
        return readWhole(message);
      } catch (error) {
        // No more bytes can come for what was inside.
        if (error instanceof TruncatedError) throw new WireError(error.message, { cause: error });
        throw error;
      }
    }
    case MessageType.pushPull: {
      const read = new PushPullReader().read(bytes);
      if (read === undefined) throw new WireError('the push/pull is cut');
      return { type: 'push-pull', state: read.state };
    }
    case MessageType.ping:
    case MessageType.ack:
      return decodeSwim(bytes);
    case MessageType.user: {
      const reader = new MsgpackReader(bytes, 1);
      let length = 0;
      reader.struct((key) => {
        if (key !== 'UserMsgLen') return false;
        length = reader.uint(maxUserBytes);
        return true;
      });
      const body = reader.verbatim(length);
      return decodeMessage(Buffer.concat([Uint8Array.of(MessageType.user), body]));
    }
    case MessageType.error: {
      const reader = new MsgpackReader(bytes, 1);
      let error = '';
      reader.struct((key) => {
        if (key !== 'Error') return false;
        error = reader.text();
        return true;
      });
      return { type: 'error', error };
    }
    default:
      throw new WireError(`message type ${bytes[0]} is not taken over a stream`);
  }
}
