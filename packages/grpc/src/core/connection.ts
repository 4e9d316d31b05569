import { defaultTableBytes, defaultWindow, Flag, FrameType, maxWindow, Setting } from './frame.js';
import { FrameReader } from './frame-reader.js';
import { HeaderBlocks } from './header-block.js';
import { HeaderDecoder, type HeaderList } from './header-decoder.js';
import type { FixedHeader } from './header-encoder.js';
import { broken, ErrorCode, Http2Error, wrongSize } from './http2-error.js';
import { Sender } from './sender.js';
import { Stream, type Trailers } from './stream.js';

export interface ConnectionLimits {
  /** Streams open at once; further ones are refused (RFC 9113 §5.1.2). Default 1,000. */
  readonly maxStreams: number;
  /** Bytes of a header block as sent, and of the list that it stands for. Default 65,536 and 65,536. */
  readonly maxBlockBytes: number;
  readonly maxListBytes: number;
  /** Bytes that may come on one stream before somebody consumes them. Default 1 MiB. */
  readonly streamWindow: number;
  /** Bytes that may be under way on all streams; what has come gives way to as much again. Default 4 MiB. */
  readonly connectionWindow: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  maxStreams: 1_000,
  maxBlockBytes: 65_536,
  maxListBytes: 65_536,
  streamWindow: 1_048_576,
  connectionWindow: 4_194_304,
};

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
  readonly #blocks: HeaderBlocks;
  readonly #decoder: HeaderDecoder;
  readonly #reader: FrameReader;
  readonly #sender: Sender<Owner>;
  readonly #streams = new Map<number, Stream<Owner>>();
  #hasSettings = false;
  #lastStream = 0;
  #consumed = 0;
  #isClosed = false;
  #isLeaving = false;
  #wasEmpty = false;

  constructor(events: ConnectionEvents<Owner>, limits: Partial<ConnectionLimits> = {}) {
    this.#events = events;
    this.#limits = { ...defaultConnectionLimits, ...limits };
    this.#blocks = new HeaderBlocks(this.#limits.maxBlockBytes, (stream, isEnd, block, start, end) =>
      this.#onBlock(stream, isEnd, block, start, end),
    );
    this.#decoder = new HeaderDecoder(defaultTableBytes, this.#limits.maxListBytes);
    this.#reader = new FrameReader((bytes, at, start, end) => {
      this.#onFrame(bytes, at, start, end);
      // The user may have closed it meanwhile.
      return !this.#isClosed;
    });
    this.#sender = new Sender({
      ended: (stream) => this.#endLocal(stream),
      drained: (stream) => this.#events.drained(stream),
    });
    const { maxStreams, streamWindow, connectionWindow, maxListBytes } = this.#limits;
    this.#sender.settings([
      [Setting.maxConcurrentStreams, maxStreams],
      [Setting.initialWindowSize, streamWindow],
      [Setting.maxHeaderListSize, maxListBytes],
    ]);
    this.#sender.windowUpdate(0, connectionWindow - defaultWindow);
  }

  /** Nothing more will be read; what is left of the output tells the client why. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Bytes of responses that the windows do not let out. */
  get waitingBytes(): number {
    return this.#sender.waitingBytes;
  }

  /** Streams that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /** Takes what came from the socket. What breaks the protocol closes the connection with a GOAWAY in the output. */
  receive(chunk: Uint8Array): void {
    if (this.#isClosed) return;
    try {
      this.#reader.read(chunk);
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error;
      this.#fail(error);
    }
    this.#noteOutput();
  }

  /** What is to be sent now, in order. */
  takeOutput(): readonly Uint8Array[] {
    this.#wasEmpty = true;
    return this.#sender.take();
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
    this.#sender.headers(stream, status, fixed, others, isEnd);
    if (isEnd) this.#endLocal(stream);
    this.#noteOutput();
  }

  /** A part of the response. The bytes must not change any more. Returns whether nothing of it waits. */
  send(stream: Stream<Owner>, bytes: Uint8Array): boolean {
    if (!this.#isOpen(stream)) return true;
    this.#sender.data(stream, bytes);
    this.#noteOutput();
    return stream.waitingBytes === 0;
  }

  /** Ends the response with a second header block, after what waits. */
  end(stream: Stream<Owner>, trailers: Trailers): void {
    if (!this.#isOpen(stream)) return;
    stream.isLocalEnded = true;
    this.#sender.trailers(stream, trailers);
    this.#noteOutput();
  }

  /** Gives a stream up. */
  reset(stream: Stream<Owner>, code: ErrorCode): void {
    if (this.#streams.get(stream.id) !== stream) return;
    this.#sender.resetStream(stream.id, code);
    this.#forget(stream);
    this.#noteOutput();
  }

  /** `bytes` that came on the stream are needed no more: as many may come again. */
  consume(stream: Stream<Owner>, bytes: number): void {
    stream.consumed += bytes;
    if (stream.isRemoteEnded || stream.consumed * 2 < this.#limits.streamWindow) return;
    if (this.#streams.get(stream.id) !== stream) return;
    this.#sender.windowUpdate(stream.id, stream.consumed);
    stream.receiveWindow += stream.consumed;
    stream.consumed = 0;
    this.#noteOutput();
  }

  /** Asks whether the other side is still there; every byte from it is an answer. */
  ping(): void {
    this.#sender.ping(0, new Uint8Array(8));
    this.#noteOutput();
  }

  /** No more streams are taken; those that are open go on. */
  leave(): void {
    if (this.#isLeaving || this.#isClosed) return;
    this.#isLeaving = true;
    this.#sender.goAway(this.#lastStream, ErrorCode.noError, '');
    this.#noteOutput();
  }

  #isOpen(stream: Stream<Owner>): boolean {
    return !stream.isLocalEnded && this.#streams.get(stream.id) === stream;
  }

  #noteOutput(): void {
    if (!this.#wasEmpty || this.#sender.isEmpty) return;
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
    this.#sender.goAway(this.#lastStream, error.code, error.message);
    this.#dropStreams(error.code);
  }

  #dropStreams(code: ErrorCode): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) {
      this.#sender.forget(stream);
      this.#events.reset(stream, code);
    }
  }

  #onFrame(bytes: Uint8Array, at: number, start: number, end: number): void {
    const type = bytes[at + 3]!;
    const flags = bytes[at + 4]!;
    const id = u32(bytes, at + 5) & maxWindow;
    if (!this.#hasSettings && type !== FrameType.settings) throw broken('the first frame is no SETTINGS');
    const { stream: unfinished } = this.#blocks;
    if (unfinished !== 0 && (type !== FrameType.continuation || id !== unfinished))
      throw broken('a header block is interrupted');
    switch (type) {
      case FrameType.data:
        return this.#onData(flags, id, bytes, start, end);
      case FrameType.headers:
        return this.#onHeaders(flags, id, bytes, start, end);
      case FrameType.continuation:
        return this.#blocks.onContinuation(flags, id, bytes.subarray(start, end));
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
      this.#sender.windowUpdate(0, this.#consumed);
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
    this.#blocks.onHeaders(flags, id, bytes, start, end);
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
      return this.#sender.resetStream(id, ErrorCode.refusedStream);
    const stream = new Stream<Owner>(id, this.#sender.streamWindow, this.#limits.streamWindow);
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
    this.#sender.acknowledgeSettings();
    this.#sender.flushAll();
  }

  #onSetting(setting: number, value: number): void {
    switch (setting) {
      case Setting.headerTableSize:
        return this.#sender.setTableLimit(value);
      case Setting.enablePush:
        if (value > 1) throw broken(`SETTINGS_ENABLE_PUSH ${value}; it is 0 or 1`);
        return;
      case Setting.initialWindowSize:
        return this.#sender.setStreamWindow(value, this.#streams.values());
      case Setting.maxFrameSize:
        return this.#sender.setFrameBytes(value);
      default:
        return;
    }
  }

  #onWindowUpdate(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (end - start !== 4) throw wrongSize('WINDOW_UPDATE', end - start);
    const more = u32(bytes, start) & maxWindow;
    if (id === 0) {
      if (more === 0) throw broken('a WINDOW_UPDATE of 0');
      this.#sender.openWindow(more);
      return;
    }
    const stream = this.#streams.get(id);
    if (!stream) {
      if (id > this.#lastStream) throw broken(`WINDOW_UPDATE on stream ${id}, which was never opened`);
      return;
    }
    if (more === 0) return this.#breakStream(stream, ErrorCode.protocolError);
    if (!this.#sender.openStreamWindow(stream, more)) this.#breakStream(stream, ErrorCode.flowControlError);
  }

  #onPing(flags: number, id: number, payload: Uint8Array): void {
    if (id !== 0) throw broken('a PING on a stream');
    if (payload.length !== 8) throw wrongSize('PING', payload.length);
    if ((flags & Flag.ack) !== 0) return;
    this.#sender.ping(Flag.ack, payload);
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
    this.#sender.resetStream(stream.id, code);
    this.#forget(stream);
    this.#events.reset(stream, code);
  }

  #endLocal(stream: Stream<Owner>): void {
    stream.isLocalEnded = true;
    // The answer is complete before the question: the rest of that is not wanted (RFC 9113 §8.1).
    if (!stream.isRemoteEnded) this.#sender.resetStream(stream.id, ErrorCode.noError);
    this.#forget(stream);
  }

  #forget(stream: Stream<Owner>): void {
    this.#streams.delete(stream.id);
    this.#sender.forget(stream);
  }
}

function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
