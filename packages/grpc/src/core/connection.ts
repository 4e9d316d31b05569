import {
  clientPreface,
  defaultFrameBytes,
  defaultTableBytes,
  defaultWindow,
  Flag,
  FrameType,
  frameHeaderBytes,
  maxWindow,
  Setting,
} from './frame.js';
import { HeaderDecoder, type HeaderList } from './header-decoder.js';
import { type FixedHeader, HeaderEncoder } from './header-encoder.js';
import { ErrorCode, Http2Error } from './http2-error.js';
import { Output } from './output.js';
import { Stream, type Trailers } from './stream.js';

export interface ConnectionLimits {
  /** Streams open at once; further ones are refused (RFC 9113 §5.1.2). Default 1,000. */
  readonly maxStreams: number;
  /** Bytes of a header block as sent, and of the list that it stands for. Default 65,536 and 65,536. */
  readonly maxBlockBytes: number;
  readonly maxListBytes: number;
  /** Bytes that may come on one stream, and on all, before somebody consumes them. Default 1 MiB and 4 MiB. */
  readonly streamWindow: number;
  readonly connectionWindow: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  maxStreams: 1_000,
  maxBlockBytes: 65_536,
  maxListBytes: 65_536,
  streamWindow: 1_048_576,
  connectionWindow: 4_194_304,
};

interface Part {
  bytes: Uint8Array;
  length: number;
}

/** What a connection tells its user. Bytes that it gives are never written again. */
export interface ConnectionEvents<Owner> {
  /** A request begins; `isEnd` where it has no body. A list above the limit is `tooLong`. */
  headers(stream: Stream<Owner>, headers: HeaderList, isEnd: boolean): void;
  data(stream: Stream<Owner>, bytes: Uint8Array, isEnd: boolean): void;
  /** The client gave the stream up, or broke it; it is gone. */
  reset(stream: Stream<Owner>, code: number): void;
  /** All that waited on this stream is out. */
  drained(stream: Stream<Owner>): void;
  /** There is output where there was none. */
  output(): void;
}

/**
 * The server's side of an HTTP/2 connection (RFC 9113), as bytes in and bytes out: no sockets, no time. Push and
 * priorities are not used; padding is read and not written.
 *
 * Memory is bounded whatever a client sends: streams, header blocks and lists have limits, bodies have windows, and what
 * waits to be sent is what the user gave. Control frames are answered one for one, so the user must not feed a
 * connection whose output is not taken.
 */
export class Connection<Owner> {
  readonly #limits: ConnectionLimits;
  readonly #events: ConnectionEvents<Owner>;
  readonly #decoder: HeaderDecoder;
  readonly #encoder = new HeaderEncoder();
  readonly #out = new Output();
  readonly #streams = new Map<number, Stream<Owner>>();
  /** Streams with something that waits, in the order of their turn. */
  readonly #blocked = new Set<Stream<Owner>>();
  /** A frame of which only a part is here. */
  #part: Part | undefined;
  #prefaceBytes = 0;
  #hasSettings = false;
  #lastStream = 0;
  #sendWindow = defaultWindow;
  #consumed = 0;
  #peerStreamWindow = defaultWindow;
  #peerFrameBytes = defaultFrameBytes;
  /** A header block whose last part is not here yet. */
  #block: { readonly stream: number; readonly isEnd: boolean; readonly parts: Uint8Array[]; bytes: number } | undefined;
  #isClosed = false;
  #isLeaving = false;
  #encoded: number[] = [];
  #wasEmpty = true;
  #waitingBytes = 0;

  constructor(events: ConnectionEvents<Owner>, limits: Partial<ConnectionLimits> = {}) {
    this.#events = events;
    this.#limits = { ...defaultConnectionLimits, ...limits };
    this.#decoder = new HeaderDecoder(defaultTableBytes, this.#limits.maxListBytes);
    const { maxStreams, streamWindow, connectionWindow, maxListBytes } = this.#limits;
    this.#out.frame(18, FrameType.settings, 0, 0);
    this.#setting(Setting.maxConcurrentStreams, maxStreams);
    this.#setting(Setting.initialWindowSize, streamWindow);
    this.#setting(Setting.maxHeaderListSize, maxListBytes);
    this.#windowUpdate(0, connectionWindow - defaultWindow);
    this.#wasEmpty = false;
  }

  /** Nothing more will be read; what is left of the output tells the client why. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Bytes of responses that the windows do not let out. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Streams that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /** Takes what came from the socket. What breaks the protocol closes the connection with a GOAWAY in the output. */
  receive(chunk: Uint8Array): void {
    if (this.#isClosed) return;
    try {
      this.#read(chunk);
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      this.#fail(error);
    }
    this.#noteOutput();
  }

  /** What is to be sent now, in order. */
  takeOutput(): readonly Uint8Array[] {
    this.#wasEmpty = true;
    return this.#out.take();
  }

  /** The response's headers; `status` is HTTP's. With `isEnd` they are all of it. */
  respond(
    stream: Stream<Owner>,
    status: number,
    fixed: readonly FixedHeader[],
    others: readonly string[],
    isEnd: boolean,
  ): void {
    if (!this.#isOpen(stream)) return;
    this.#headerBlock(stream, status, fixed, others, isEnd);
    if (isEnd) this.#endLocal(stream);
    this.#noteOutput();
  }

  /** A part of the response. The bytes must not change any more. Returns whether nothing of it waits. */
  send(stream: Stream<Owner>, bytes: Uint8Array): boolean {
    if (!this.#isOpen(stream)) return true;
    this.#write(stream, bytes);
    this.#noteOutput();
    return stream.waitingBytes === 0;
  }

  /** Ends the response with a second header block, after what waits. */
  end(stream: Stream<Owner>, trailers: Trailers): void {
    if (!this.#isOpen(stream)) return;
    if (stream.waitingBytes > 0) {
      stream.isLocalEnded = true;
      stream.trailers = trailers;
      return;
    }
    this.#headerBlock(stream, 0, trailers.fixed, trailers.others, true);
    this.#endLocal(stream);
    this.#noteOutput();
  }

  /** Gives a stream up. */
  reset(stream: Stream<Owner>, code: ErrorCode): void {
    if (this.#streams.get(stream.id) !== stream) return;
    this.#resetFrame(stream.id, code);
    this.#forget(stream);
    this.#noteOutput();
  }

  /** `bytes` that came on the stream are needed no more: as many may come again. */
  consume(stream: Stream<Owner>, bytes: number): void {
    stream.consumed += bytes;
    if (stream.isRemoteEnded || stream.consumed * 2 < this.#limits.streamWindow) return;
    if (this.#streams.get(stream.id) !== stream) return;
    this.#windowUpdate(stream.id, stream.consumed);
    stream.receiveWindow += stream.consumed;
    stream.consumed = 0;
    this.#noteOutput();
  }

  /** Asks whether the other side is still there; every byte from it is an answer. */
  ping(): void {
    this.#out.frame(8, FrameType.ping, 0, 0);
    this.#out.u32(0);
    this.#out.u32(0);
    this.#noteOutput();
  }

  /** No more streams are taken; those that are open go on. */
  leave(): void {
    if (this.#isLeaving || this.#isClosed) return;
    this.#isLeaving = true;
    this.#goAway(ErrorCode.noError, '');
    this.#noteOutput();
  }

  #isOpen(stream: Stream<Owner>): boolean {
    return !stream.isLocalEnded && this.#streams.get(stream.id) === stream;
  }

  #noteOutput(): void {
    if (!this.#wasEmpty || this.#out.isEmpty) return;
    this.#wasEmpty = false;
    this.#events.output();
  }

  /** The socket is gone, and all streams with it. */
  abandon(): void {
    this.#isClosed = true;
    this.#dropStreams(ErrorCode.cancel);
  }

  #fail(error: Http2Error): void {
    this.#isClosed = true;
    this.#goAway(error.code, error.message);
    this.#dropStreams(error.code);
  }

  #dropStreams(code: ErrorCode): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#blocked.clear();
    this.#waitingBytes = 0;
    for (const stream of streams) this.#events.reset(stream, code);
  }

  // Reading.

  #read(bytes: Uint8Array): void {
    let at = 0;
    if (this.#prefaceBytes < clientPreface.length) {
      for (; at < bytes.length && this.#prefaceBytes < clientPreface.length; at++, this.#prefaceBytes++)
        if (bytes[at] !== clientPreface[this.#prefaceBytes])
          throw broken('the connection does not begin as HTTP/2 does');
    }
    while (at < bytes.length) {
      // A frame of which a part came before goes on in a buffer of its own; what is whole is read where it lies.
      if (this.#part) {
        at = this.#readPart(this.#part, bytes, at);
        if (this.#isClosed) return;
        continue;
      }
      const left = bytes.length - at;
      const start = at + frameHeaderBytes;
      if (left < frameHeaderBytes) {
        this.#part = { bytes: new Uint8Array(frameHeaderBytes), length: 0 };
        continue;
      }
      const length = frameLength(bytes, at);
      if (left - frameHeaderBytes < length) {
        this.#part = { bytes: new Uint8Array(frameHeaderBytes + length), length: 0 };
        continue;
      }
      this.#frame(bytes, at, start, start + length);
      // Its user may have closed it.
      if (this.#isClosed) return;
      at = start + length;
    }
  }

  /** Adds to a frame that began in an earlier chunk, and reads it once it is whole; returns how far `bytes` are used. */
  #readPart(part: Part, bytes: Uint8Array, from: number): number {
    const length = Math.min(part.bytes.length - part.length, bytes.length - from);
    part.bytes.set(bytes.subarray(from, from + length), part.length);
    part.length += length;
    if (part.length < part.bytes.length) return from + length;
    const payload = frameLength(part.bytes, 0);
    if (part.length < frameHeaderBytes + payload) {
      const grown = new Uint8Array(frameHeaderBytes + payload);
      grown.set(part.bytes);
      part.bytes = grown;
      return from + length;
    }
    this.#part = undefined;
    this.#frame(part.bytes, 0, frameHeaderBytes, part.length);
    return from + length;
  }

  #frame(bytes: Uint8Array, at: number, start: number, end: number): void {
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const id = u32(bytes, at + 5) & maxWindow;
    if (!this.#hasSettings && type !== FrameType.settings) throw broken('the first frame is no SETTINGS');
    if (this.#block && (type !== FrameType.continuation || id !== this.#block.stream))
      throw broken('a header block is interrupted');
    switch (type) {
      case FrameType.data:
        return this.#onData(flags, id, bytes, start, end);
      case FrameType.headers:
        return this.#onHeaders(flags, id, bytes, start, end);
      case FrameType.continuation:
        return this.#onContinuation(flags, id, bytes.subarray(start, end));
      case FrameType.settings:
        return this.#onSettings(flags, id, bytes, start, end);
      case FrameType.windowUpdate:
        return this.#onWindowUpdate(id, bytes, start, end);
      case FrameType.ping:
        return this.#onPing(flags, id, bytes.subarray(start, end));
      case FrameType.resetStream:
        return this.#onReset(id, bytes, start, end);
      case FrameType.priority:
        if (id === 0) throw broken('a PRIORITY for no stream');
        if (end - start !== 5) throw wrongSize('PRIORITY', end - start);
        return;
      case FrameType.goAway:
        if (id !== 0) throw broken('a GOAWAY on a stream');
        if (end - start < 8) throw wrongSize('GOAWAY', end - start);
        return;
      case FrameType.pushPromise:
        throw broken('a client that pushes');
      default:
        // Unknown types are to be ignored (RFC 9113 §4.1).
        return;
    }
  }

  #onData(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    const stream = this.#streams.get(id);
    if (!stream && (id === 0 || id > this.#lastStream)) throw broken(`DATA on stream ${id}, which was never opened`);
    // Padding counts for the windows too (RFC 9113 §6.1). The connection's window is given back at once: each stream has one.
    const length = end - start;
    this.#consumed += length;
    if (this.#consumed * 2 >= this.#limits.connectionWindow) {
      this.#windowUpdate(0, this.#consumed);
      this.#consumed = 0;
    }
    // What is still under way on a stream that was given up is nobody's.
    if (!stream) return;
    if (stream.isRemoteEnded) return this.#breakStream(stream, ErrorCode.streamClosed);
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0) return this.#breakStream(stream, ErrorCode.flowControlError);
    const from = (flags & Flag.padded) === 0 ? start : start + 1;
    const to = (flags & Flag.padded) === 0 ? end : end - bytes[start]!;
    if (from > to || from > end) throw broken('padding longer than its frame');
    if (to - from !== length) this.consume(stream, length - (to - from));
    const isEnd = (flags & Flag.endStream) !== 0;
    stream.isRemoteEnded = isEnd;
    this.#events.data(stream, bytes.subarray(from, to), isEnd);
  }

  #onHeaders(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id % 2 === 0) throw broken(`HEADERS on stream ${id}: a client's streams have odd numbers`);
    let from = start;
    let to = end;
    if ((flags & Flag.padded) !== 0) {
      from += 1;
      to -= start < end ? bytes[start]! : 0;
    }
    if ((flags & Flag.priority) !== 0) from += 5;
    if (from > to) throw broken('padding longer than its frame');
    const isEnd = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0) return this.#onBlock(id, isEnd, bytes, from, to);
    this.#block = { stream: id, isEnd, parts: [bytes.slice(from, to)], bytes: to - from };
  }

  #onContinuation(flags: number, id: number, part: Uint8Array): void {
    const block = this.#block;
    if (!block) throw broken(`CONTINUATION on stream ${id} without HEADERS`);
    block.bytes += part.length;
    // Empty parts cost nothing but time: they count as well.
    if (block.bytes > this.#limits.maxBlockBytes || block.parts.length > 64)
      throw new Http2Error(
        ErrorCode.enhanceYourCalm,
        `a header block of more than ${this.#limits.maxBlockBytes} bytes or 64 frames`,
      );
    block.parts.push(part.slice());
    if ((flags & Flag.endHeaders) === 0) return;
    this.#block = undefined;
    const joined = new Uint8Array(block.bytes);
    let at = 0;
    for (const piece of block.parts) {
      joined.set(piece, at);
      at += piece.length;
    }
    this.#onBlock(id, block.isEnd, joined, 0, joined.length);
  }

  #onBlock(id: number, isEnd: boolean, bytes: Uint8Array, start: number, end: number): void {
    // Also where nobody wants the list: the next block stands on the table that this one leaves.
    const headers = this.#decoder.decode(bytes, start, end);
    const open = this.#streams.get(id);
    if (open) return this.#onTrailers(open, isEnd);
    // A stream that was given up while its trailers were under way.
    if (id <= this.#lastStream) return;
    this.#lastStream = id;
    if (this.#isLeaving || this.#streams.size >= this.#limits.maxStreams)
      return this.#resetFrame(id, ErrorCode.refusedStream);
    const stream = new Stream<Owner>(id, this.#peerStreamWindow, this.#limits.streamWindow);
    stream.isRemoteEnded = isEnd;
    this.#streams.set(id, stream);
    this.#events.headers(stream, headers, isEnd);
  }

  #onTrailers(stream: Stream<Owner>, isEnd: boolean): void {
    if (stream.isRemoteEnded) return this.#breakStream(stream, ErrorCode.streamClosed);
    if (!isEnd) return this.#breakStream(stream, ErrorCode.protocolError);
    stream.isRemoteEnded = true;
    this.#events.data(stream, new Uint8Array(0), true);
  }

  #onSettings(flags: number, id: number, bytes: Uint8Array, start: number, end: number): void {
    if (id !== 0) throw broken('SETTINGS on a stream');
    this.#hasSettings = true;
    const length = end - start;
    if ((flags & Flag.ack) !== 0) {
      if (length !== 0) throw wrongSize('SETTINGS with ACK', length);
      return;
    }
    if (length % 6 !== 0) throw wrongSize('SETTINGS', length);
    for (let at = start; at < end; at += 6) this.#onSetting((bytes[at]! << 8) | bytes[at + 1]!, u32(bytes, at + 2));
    this.#out.frame(0, FrameType.settings, Flag.ack, 0);
    this.#flushBlocked();
  }

  #onSetting(setting: number, value: number): void {
    switch (setting) {
      case Setting.headerTableSize:
        return this.#encoder.setTableLimit(value);
      case Setting.enablePush:
        if (value > 1) throw broken(`SETTINGS_ENABLE_PUSH ${value}; it is 0 or 1`);
        return;
      case Setting.initialWindowSize: {
        if (value > maxWindow)
          throw new Http2Error(
            ErrorCode.flowControlError,
            `SETTINGS_INITIAL_WINDOW_SIZE ${value}; at most ${maxWindow}`,
          );
        const more = value - this.#peerStreamWindow;
        this.#peerStreamWindow = value;
        for (const stream of this.#streams.values()) {
          stream.sendWindow += more;
          if (stream.sendWindow > maxWindow)
            throw new Http2Error(ErrorCode.flowControlError, 'a window above 2^31 - 1');
        }
        return;
      }
      case Setting.maxFrameSize:
        if (value < defaultFrameBytes || value >= 2 ** 24)
          throw broken(`SETTINGS_MAX_FRAME_SIZE ${value}; it is 16384 to 16777215`);
        this.#peerFrameBytes = value;
        return;
      default:
        return;
    }
  }

  #onWindowUpdate(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) throw wrongSize('WINDOW_UPDATE', end - start);
    const more = u32(bytes, start) & maxWindow;
    if (id === 0) {
      if (more === 0) throw broken('a WINDOW_UPDATE of 0');
      this.#sendWindow += more;
      if (this.#sendWindow > maxWindow) throw new Http2Error(ErrorCode.flowControlError, 'a window above 2^31 - 1');
      this.#flushBlocked();
      return;
    }
    const stream = this.#streams.get(id);
    if (!stream) {
      if (id > this.#lastStream) throw broken(`WINDOW_UPDATE on stream ${id}, which was never opened`);
      return;
    }
    if (more === 0) return this.#breakStream(stream, ErrorCode.protocolError);
    stream.sendWindow += more;
    if (stream.sendWindow > maxWindow) return this.#breakStream(stream, ErrorCode.flowControlError);
    if (this.#blocked.has(stream)) this.#flush(stream);
  }

  #onPing(flags: number, id: number, payload: Uint8Array): void {
    if (id !== 0) throw broken('a PING on a stream');
    if (payload.length !== 8) throw wrongSize('PING', payload.length);
    if ((flags & Flag.ack) !== 0) return;
    this.#out.frame(8, FrameType.ping, Flag.ack, 0);
    this.#out.small(payload);
  }

  #onReset(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) throw wrongSize('RST_STREAM', end - start);
    const stream = this.#streams.get(id);
    if (!stream) {
      if (id === 0 || id > this.#lastStream) throw broken(`RST_STREAM on stream ${id}, which was never opened`);
      return;
    }
    this.#forget(stream);
    this.#events.reset(stream, u32(bytes, start));
  }

  /** The client broke one stream only (RFC 9113 §5.4.2). */
  #breakStream(stream: Stream<Owner>, code: ErrorCode): void {
    this.#resetFrame(stream.id, code);
    this.#forget(stream);
    this.#events.reset(stream, code);
  }

  // Writing.

  #setting(setting: number, value: number): void {
    this.#out.u16(setting);
    this.#out.u32(value);
  }

  #windowUpdate(id: number, more: number): void {
    this.#out.frame(4, FrameType.windowUpdate, 0, id);
    this.#out.u32(more);
  }

  #resetFrame(id: number, code: ErrorCode): void {
    this.#out.frame(4, FrameType.resetStream, 0, id);
    this.#out.u32(code);
  }

  #goAway(code: ErrorCode, why: string): void {
    const text = Uint8Array.from(why, (char) => char.charCodeAt(0) & 127);
    this.#out.frame(8 + text.length, FrameType.goAway, 0, 0);
    this.#out.u32(this.#lastStream);
    this.#out.u32(code);
    this.#out.small(text);
  }

  #headerBlock(
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
    if (block.length <= this.#peerFrameBytes) {
      this.#out.frame(block.length, FrameType.headers, ends | Flag.endHeaders, stream.id);
      this.#out.small(block);
      return;
    }
    for (let at = 0; at < block.length; at += this.#peerFrameBytes) {
      const part = block.slice(at, at + this.#peerFrameBytes);
      const last = at + part.length === block.length ? Flag.endHeaders : 0;
      this.#out.frame(
        part.length,
        at === 0 ? FrameType.headers : FrameType.continuation,
        at === 0 ? ends | last : last,
        stream.id,
      );
      this.#out.small(part);
    }
  }

  /** Sends what the windows let out; the rest waits. */
  #write(stream: Stream<Owner>, bytes: Uint8Array): void {
    let at = 0;
    if (stream.waitingBytes === 0) {
      while (at < bytes.length) {
        const length = Math.min(bytes.length - at, this.#sendWindow, stream.sendWindow, this.#peerFrameBytes);
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

  #dataFrame(stream: Stream<Owner>, bytes: Uint8Array): void {
    this.#sendWindow -= bytes.length;
    stream.sendWindow -= bytes.length;
    this.#out.frame(bytes.length, FrameType.data, 0, stream.id);
    this.#out.bytes(bytes);
  }

  /** A frame of each stream in turn, while the connection's window lasts. */
  #flushBlocked(): void {
    for (const stream of [...this.#blocked]) {
      if (this.#sendWindow <= 0) return;
      this.#flush(stream);
    }
  }

  #flush(stream: Stream<Owner>): void {
    while (stream.waitingBytes > 0) {
      const first = stream.waiting[0]!;
      const length = Math.min(first.length, this.#sendWindow, stream.sendWindow, this.#peerFrameBytes);
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
    if (stream.trailers) {
      this.#headerBlock(stream, 0, stream.trailers.fixed, stream.trailers.others, true);
      this.#endLocal(stream);
    } else this.#events.drained(stream);
  }

  #endLocal(stream: Stream<Owner>): void {
    stream.isLocalEnded = true;
    // The answer is complete before the question: the rest of that is not wanted (RFC 9113 §8.1).
    if (!stream.isRemoteEnded) this.#resetFrame(stream.id, ErrorCode.noError);
    this.#forget(stream);
  }

  #forget(stream: Stream<Owner>): void {
    this.#streams.delete(stream.id);
    if (stream.waitingBytes === 0) return;
    this.#blocked.delete(stream);
    this.#waitingBytes -= stream.waitingBytes;
    stream.waiting = [];
    stream.waitingBytes = 0;
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

function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function broken(what: string): Http2Error {
  return new Http2Error(ErrorCode.protocolError, what);
}

function wrongSize(what: string, length: number): Http2Error {
  return new Http2Error(ErrorCode.frameSizeError, `${what} of ${length} bytes`);
}
