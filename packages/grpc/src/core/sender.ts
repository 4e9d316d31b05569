import { defaultFrameBytes, defaultWindow, Flag, FrameType, maxWindow } from './frame.js';
import { type FixedHeader, HeaderEncoder } from './header-encoder.js';
import { broken, ErrorCode, Http2Error, windowTooLarge } from './http2-error.js';
import { Output } from './output.js';
import type { Stream, Trailers } from './stream.js';

/** What a sender tells the connection whose output it makes. */
export interface SenderEvents<Owner> {
  /** The response is out, with all that waited. */
  ended(stream: Stream<Owner>): void;
  /** All that waited is out, and the response goes on. */
  drained(stream: Stream<Owner>): void;
}

/** What goes to the client: control frames at once, responses as its windows and settings let them (RFC 9113 §5.2, §6). */
export class Sender<Owner> {
  readonly #out = new Output();
  readonly #encoder = new HeaderEncoder();
  readonly #events: SenderEvents<Owner>;
  /** Streams with something that waits, in the order of their turn. */
  readonly #blocked = new Set<Stream<Owner>>();
  readonly #encoded: number[] = [];
  #window = defaultWindow;
  #streamWindow = defaultWindow;
  #frameBytes = defaultFrameBytes;
  #waitingBytes = 0;

  constructor(events: SenderEvents<Owner>) {
    this.#events = events;
  }

  get isEmpty(): boolean {
    return this.#out.isEmpty;
  }

  /** Bytes of responses that the windows do not let out. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** The window of a stream that begins. */
  get streamWindow(): number {
    return this.#streamWindow;
  }

  take(): readonly Uint8Array[] {
    return this.#out.take();
  }

  settings(settings: readonly (readonly [setting: number, value: number])[]): void {
    this.#out.frame(settings.length * 6, FrameType.settings, 0, 0);
    for (const [setting, value] of settings) {
      this.#out.u16(setting);
      this.#out.u32(value);
    }
  }

  acknowledgeSettings(): void {
    this.#out.frame(0, FrameType.settings, Flag.ack, 0);
  }

  ping(flags: number, payload: Uint8Array): void {
    this.#out.frame(8, FrameType.ping, flags, 0);
    this.#out.small(payload);
  }

  windowUpdate(id: number, more: number): void {
    this.#out.frame(4, FrameType.windowUpdate, 0, id);
    this.#out.u32(more);
  }

  resetStream(id: number, code: ErrorCode): void {
    this.#out.frame(4, FrameType.resetStream, 0, id);
    this.#out.u32(code);
  }

  goAway(lastStream: number, code: ErrorCode, why: string): void {
    const text = Uint8Array.from(why, (char) => char.charCodeAt(0) & 127);
    this.#out.frame(8 + text.length, FrameType.goAway, 0, 0);
    this.#out.u32(lastStream);
    this.#out.u32(code);
    this.#out.small(text);
  }

  /** The client's header table; see `HeaderEncoder`. */
  setTableLimit(bytes: number): void {
    this.#encoder.setTableLimit(bytes);
  }

  /** What a stream's window is at first, for all streams that are open too (RFC 9113 §6.9.2). */
  setStreamWindow(window: number, open: Iterable<Stream<Owner>>): void {
    if (window > maxWindow)
      throw new Http2Error(ErrorCode.flowControlError, `SETTINGS_INITIAL_WINDOW_SIZE ${window}; at most ${maxWindow}`);
    const more = window - this.#streamWindow;
    this.#streamWindow = window;
    for (const stream of open) {
      stream.sendWindow += more;
      if (stream.sendWindow > maxWindow) throw windowTooLarge();
    }
  }

  setFrameBytes(bytes: number): void {
    if (bytes < defaultFrameBytes || bytes >= 2 ** 24)
      throw broken(`SETTINGS_MAX_FRAME_SIZE ${bytes}; it is 16384 to 16777215`);
    this.#frameBytes = bytes;
  }

  /** The connection's window opens. */
  openWindow(more: number): void {
    this.#window += more;
    if (this.#window > maxWindow) throw windowTooLarge();
    this.flushAll();
  }

  /** One stream's window opens; false where it would be too large. */
  openStreamWindow(stream: Stream<Owner>, more: number): boolean {
    stream.sendWindow += more;
    if (stream.sendWindow > maxWindow) return false;
    if (this.#blocked.has(stream)) this.#flush(stream);
    return true;
  }

  /** A frame of each stream in turn, while the connection's window lasts. */
  flushAll(): void {
    for (const stream of [...this.#blocked]) {
      if (this.#window <= 0) return;
      this.#flush(stream);
    }
  }

  headers(
    stream: Stream<Owner>,
    status: number,
    fixed: readonly FixedHeader[],
    others: readonly string[],
    isEnd: boolean,
  ): void {
    const block = this.#encoded;
    block.length = 0;
    this.#encoder.encode(block, status, fixed, others);
    const ends = isEnd ? Flag.endStream : 0;
    if (block.length <= this.#frameBytes) {
      this.#out.frame(block.length, FrameType.headers, ends | Flag.endHeaders, stream.id);
      this.#out.small(block);
      return;
    }
    for (let at = 0; at < block.length; at += this.#frameBytes) {
      const part = block.slice(at, at + this.#frameBytes);
      const last = at + part.length === block.length ? Flag.endHeaders : 0;
      if (at === 0) this.#out.frame(part.length, FrameType.headers, ends | last, stream.id);
      else this.#out.frame(part.length, FrameType.continuation, last, stream.id);
      this.#out.small(part);
    }
  }

  /** Sends what the windows let out; the rest waits. */
  data(stream: Stream<Owner>, bytes: Uint8Array): void {
    let at = 0;
    if (stream.waitingBytes === 0) {
      while (at < bytes.length) {
        const length = Math.min(bytes.length - at, this.#window, stream.sendWindow, this.#frameBytes);
        if (length <= 0) break;
        this.#dataFrame(stream, at === 0 && length === bytes.length ? bytes : bytes.subarray(at, at + length));
        at += length;
      }
    }
    if (at === bytes.length) return;
    stream.waiting.push(at === 0 ? bytes : bytes.subarray(at));
    stream.waitingBytes += bytes.length - at;
    this.#waitingBytes += bytes.length - at;
    this.#blocked.add(stream);
  }

  /** Ends the response, once nothing of it waits any more. */
  trailers(stream: Stream<Owner>, trailers: Trailers): void {
    if (stream.waitingBytes > 0) {
      stream.trailers = trailers;
      return;
    }
    this.headers(stream, 0, trailers.fixed, trailers.others, true);
    this.#events.ended(stream);
  }

  /** Lets go of what waits on a stream that is over. */
  forget(stream: Stream<Owner>): void {
    if (stream.waitingBytes === 0) return;
    this.#blocked.delete(stream);
    this.#waitingBytes -= stream.waitingBytes;
    stream.waiting = [];
    stream.waitingBytes = 0;
  }

  #dataFrame(stream: Stream<Owner>, bytes: Uint8Array): void {
    this.#window -= bytes.length;
    stream.sendWindow -= bytes.length;
    this.#out.frame(bytes.length, FrameType.data, 0, stream.id);
    this.#out.bytes(bytes);
  }

  #flush(stream: Stream<Owner>): void {
    while (stream.waitingBytes > 0) {
      const first = stream.waiting[0]!;
      const length = Math.min(first.length, this.#window, stream.sendWindow, this.#frameBytes);
      if (length <= 0) {
        // To the end of the row, so that one large answer does not keep the others.
        this.#blocked.delete(stream);
        this.#blocked.add(stream);
        return;
      }
      this.#dataFrame(stream, first.subarray(0, length));
      stream.waitingBytes -= length;
      this.#waitingBytes -= length;
      if (length === first.length) stream.waiting.shift();
      else stream.waiting[0] = first.subarray(length);
    }
    this.#blocked.delete(stream);
    if (stream.trailers) this.trailers(stream, stream.trailers);
    else this.#events.drained(stream);
  }
}
