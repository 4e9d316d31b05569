import { clientPreface, defaultFrameBytes, frameHeaderBytes } from './frame.js';
import { broken, ErrorCode, Http2Error } from './http2-error.js';

/**
 * Takes a whole frame: its nine bytes begin at `at`, its payload is from `start` to `end`. False stops the reading. The
 * bytes are never written again.
 */
export type OnFrame = (bytes: Uint8Array, at: number, start: number, end: number) => boolean;

/**
 * Cuts what comes from a client into frames, after the preface that it begins with (RFC 9113 §3.4, §4.1). A frame that is
 * whole in its chunk is read where it lies; one that comes in parts gets a buffer of its own size.
 */
export class FrameReader {
  readonly #onFrame: OnFrame;
  #prefaceBytes = 0;
  /** A frame, or the nine bytes of its head, of which a part is here. */
  #part: { bytes: Uint8Array; length: number } | undefined;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** Throws an `Http2Error` for another preface and for a frame above the size that we take. */
  read(bytes: Uint8Array): void {
    let at = 0;
    for (; at < bytes.length && this.#prefaceBytes < clientPreface.length; at++, this.#prefaceBytes++)
      if (bytes[at] !== clientPreface[this.#prefaceBytes]) throw broken('the connection does not begin as HTTP/2 does');
    while (at < bytes.length) {
      if (this.#part) {
        const used = this.#gather(this.#part, bytes, at);
        if (used === undefined) return;
        at += used;
        continue;
      }
      const start = at + frameHeaderBytes;
      const length = start <= bytes.length ? frameLength(bytes, at) : 0;
      if (start + length > bytes.length) this.#part = { bytes: new Uint8Array(frameHeaderBytes + length), length: 0 };
      else if (!this.#onFrame(bytes, at, start, start + length)) return;
      else at = start + length;
    }
  }

  /** Adds to the frame of which a part is here, and hands it on once it is whole; undefined where that stopped it. */
  #gather(part: { bytes: Uint8Array; length: number }, bytes: Uint8Array, from: number): number | undefined {
    const length = Math.min(part.bytes.length - part.length, bytes.length - from);
    part.bytes.set(bytes.subarray(from, from + length), part.length);
    part.length += length;
    if (part.length < part.bytes.length) return length;
    const whole = frameHeaderBytes + frameLength(part.bytes, 0);
    if (part.length < whole) {
      const grown = new Uint8Array(whole);
      grown.set(part.bytes);
      part.bytes = grown;
      return length;
    }
    this.#part = undefined;
    return this.#onFrame(part.bytes, 0, frameHeaderBytes, whole) ? length : undefined;
  }
}

/** A frame's length; more than we said that we take ends the connection (RFC 9113 §4.2). */
function frameLength(bytes: Uint8Array, at: number): number {
  const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
  if (length > defaultFrameBytes)
    throw new Http2Error(
      ErrorCode.frameSizeError,
      `a frame of ${length} bytes; at most ${defaultFrameBytes} are allowed`,
    );
  return length;
}
