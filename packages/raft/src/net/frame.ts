import { RaftError } from '../errors.js';

/**
 * How peers cut a byte stream into frames:
 *
 * ```text
 *  0        4      5
 *  +--------+------+-----------------+
 *  | length | kind | payload         |
 *  | u32 be | u8   | length - 1 bytes|
 *  +--------+------+-----------------+
 * ```
 *
 * `length` counts the kind and the payload. A frame longer than the reader's limit ends the connection: nothing of it is
 * kept, and nothing is allocated because a header claims it.
 */

// Append only: these numbers are the protocol.
export const FrameKind = {
  /** A batch of Raft messages: see `codec.ts`. */
  raft: 1,
  /** A piece of a snapshot: see `snapshot/snapshot-frame.ts`. */
  snapshot: 2,
  /** How far a snapshot got: see `snapshot/snapshot-frame.ts`. */
  snapshotAck: 3,
  /** Asks for a pong, to find half-open sockets. */
  ping: 4,
  pong: 5,
  /** From here to 255 the frames are the application's. */
  application: 64,
} as const;

/** Bytes before the payload. */
export const frameHeaderBytes = 5;

/** The bytes of one frame. */
export function encodeFrame(kind: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(frameHeaderBytes + payload.length);
  writeFrameHeader(frame, kind, payload.length);
  frame.set(payload, frameHeaderBytes);
  return frame;
}

/** Fills the first five bytes of `frame`. */
export function writeFrameHeader(frame: Uint8Array, kind: number, payloadBytes: number): void {
  const length = payloadBytes + 1;
  frame[0] = length >>> 24;
  frame[1] = length >>> 16;
  frame[2] = length >>> 8;
  frame[3] = length;
  frame[4] = kind;
}

/** Puts frames together from chunks cut anywhere. */
export class FrameReader {
  readonly #maxFrameBytes: number;
  readonly #onFrame: (kind: number, payload: Uint8Array) => void;
  /** What has come of a frame that is not whole yet. Invariant: shorter than that frame. */
  #parts: Uint8Array[] = [];
  #bytes = 0;
  /** Bytes of the frame begun, header included, or 0 while its header is not whole. */
  #wanted = 0;

  /**
   * `onFrame` gets a view of the chunk where the frame lies within one, else of a fresh array: copy what is kept, so
   * that a small frame does not pin a large chunk.
   */
  constructor(maxFrameBytes: number, onFrame: (kind: number, payload: Uint8Array) => void) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#onFrame = onFrame;
  }

  /** Bytes held for a frame that is not whole yet. */
  get heldBytes(): number {
    return this.#bytes;
  }

  /** Throws a `RaftError` `corrupt` or `too-large` where the stream is not one of frames; end the connection then. */
  push(chunk: Uint8Array): void {
    if (this.#bytes > 0) {
      const rest = this.#complete(chunk);
      if (rest === undefined) return;
      chunk = rest;
    }
    let at = 0;
    while (chunk.length - at >= 4) {
      const length = this.#lengthAt(chunk, at);
      if (chunk.length - at < 4 + length) {
        this.#wanted = 4 + length;
        break;
      }
      this.#onFrame(chunk[at + 4]!, chunk.subarray(at + frameHeaderBytes, at + 4 + length));
      at += 4 + length;
    }
    if (at < chunk.length) {
      this.#parts = [chunk.subarray(at)];
      this.#bytes = chunk.length - at;
    }
  }

  /** Adds to the frame begun; the rest of the chunk once that frame is whole. */
  #complete(chunk: Uint8Array): Uint8Array | undefined {
    if (this.#wanted === 0) {
      // The header itself was cut: at most three bytes are held, so gluing them on costs one small copy.
      const glued = Buffer.concat([...this.#parts, chunk]);
      this.#parts = [];
      this.#bytes = 0;
      return glued;
    }
    const missing = this.#wanted - this.#bytes;
    if (chunk.length < missing) {
      this.#parts.push(chunk);
      this.#bytes += chunk.length;
      // Many tiny chunks would cost more in array slots than in bytes.
      if (this.#parts.length >= 1024) this.#parts = [Buffer.concat(this.#parts)];
      return undefined;
    }
    this.#parts.push(chunk.subarray(0, missing));
    const whole = Buffer.concat(this.#parts, this.#wanted);
    this.#parts = [];
    this.#bytes = 0;
    this.#wanted = 0;
    this.#onFrame(whole[4]!, whole.subarray(frameHeaderBytes));
    return chunk.subarray(missing);
  }

  #lengthAt(chunk: Uint8Array, at: number): number {
    const length = ((chunk[at]! << 24) | (chunk[at + 1]! << 16) | (chunk[at + 2]! << 8) | chunk[at + 3]!) >>> 0;
    if (length === 0) throw new RaftError('corrupt', 'a frame of length 0: every frame has a kind');
    if (length > this.#maxFrameBytes)
      throw new RaftError('too-large', `a frame of ${length} bytes; at most ${this.#maxFrameBytes} are allowed`);
    return length;
  }
}
