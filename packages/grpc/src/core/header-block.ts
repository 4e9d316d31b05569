import { Flag } from './frame.js';
import { broken, ErrorCode, Http2Error } from './http2-error.js';

/** Frames of one block. Empty ones cost nothing but time: they count as well. */
const maxFrames = 64;

/** Takes a block that is whole: the bytes from `start` to `end`, valid until it returns. */
export type TakeBlock = (stream: number, isEnd: boolean, bytes: Uint8Array, start: number, end: number) => void;

/**
 * Header blocks from the frames that they come in: a HEADERS frame, and CONTINUATION frames where it does not end the
 * block (RFC 9113 §6.2, §6.10). Nothing else may come in between, on any stream.
 *
 *     HEADERS  [pad length 1]? [priority 5]? fragment [padding]?
 */
export class HeaderBlocks {
  readonly #maxBytes: number;
  readonly #take: TakeBlock;
  /** A block whose last part is not here yet. */
  #open: { readonly stream: number; readonly isEnd: boolean; readonly parts: Uint8Array[]; bytes: number } | undefined;

  constructor(maxBytes: number, take: TakeBlock) {
    this.#maxBytes = maxBytes;
    this.#take = take;
  }

  /** The stream whose block goes on in the next frame; 0 where no block is open. */
  get stream(): number {
    return this.#open?.stream ?? 0;
  }

  onHeaders(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      from += 1;
      to -= start < end ? bytes[start]! : 0;
    }
    if ((flags & Flag.priority) !== 0) from += 5;
    if (from > to) throw broken('padding longer than its frame');
    const isEnd = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0) this.#take(id, isEnd, bytes, from, to);
    else this.#open = { stream: id, isEnd, parts: [bytes.slice(from, to)], bytes: to - from };
  }

  onContinuation(flags: number, id: number, part: Uint8Array): void {
    const open = this.#open;
    if (!open) throw broken(`CONTINUATION on stream ${id} without HEADERS`);
    open.bytes += part.length;
    if (open.bytes > this.#maxBytes || open.parts.length >= maxFrames)
      throw new Http2Error(
        ErrorCode.enhanceYourCalm,
        `a header block of more than ${this.#maxBytes} bytes or ${maxFrames} frames`,
      );
    open.parts.push(part.slice());
    if ((flags & Flag.endHeaders) === 0) return;
    this.#open = undefined;
    const joined = new Uint8Array(open.bytes);
    let at = 0;
    for (const piece of open.parts) {
      joined.set(piece, at);
      at += piece.length;
    }
    this.#take(id, open.isEnd, joined, 0, joined.length);
  }
}
