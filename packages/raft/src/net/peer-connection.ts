import type { Duplex } from 'node:stream';
import { ByteWriter, type Clock, systemClock } from '@dcache/base';
import { decodeMessages, messageSize, writeMessages } from '../codec.js';
import type { Message } from '../core/message.js';
import { RaftError } from '../errors.js';
import {
  decodeSnapshotAck,
  decodeSnapshotPiece,
  encodeSnapshotAck,
  encodeSnapshotPiece,
  type SnapshotAck,
  type SnapshotPiece,
} from '../snapshot/snapshot-frame.js';
import { encodeFrame, FrameKind, FrameReader, frameHeaderBytes, writeFrameHeader } from './frame.js';

/** What comes out of a connection. */
export interface PeerConnectionHandler {
  onMessages(messages: readonly Message[]): void;
  onSnapshotPiece(piece: SnapshotPiece): void;
  onSnapshotAck(ack: SnapshotAck): void;
  /** `kind` is 64 to 255. `payload` is a view that is valid until the call returns: copy what is kept. */
  onApplicationFrame(kind: number, payload: Uint8Array): void;
  /** Raft messages were dropped because too much was waiting to be sent. */
  onDropped(): void;
  /** Once, after which nothing comes any more. `error` is undefined after an orderly end. */
  onClose(error: Error | undefined): void;
}

export interface PeerConnectionOptions {
  /** Longest frame taken from the peer and given to it, in bytes. Default 64 MiB. */
  readonly maxFrameBytes?: number;
  /** Bytes waiting to be sent past which Raft messages are dropped and application frames are refused. Default 32 MiB. */
  readonly maxOutboundBytes?: number;
  /** How often silence is looked for; a silent peer is sent a ping each time. In milliseconds. Default 1000. */
  readonly pingIntervalMs?: number;
  /** The connection is given up when nothing came for this long, in milliseconds. Default 5000. */
  readonly silenceTimeoutMs?: number;
  readonly clock?: Clock;
}

/** Counts since the connection was made. */
export interface PeerConnectionStats {
  readonly sentBytes: number;
  readonly sentFrames: number;
  readonly receivedBytes: number;
  readonly droppedMessages: number;
}

/** A piece of a snapshot of this size is worth a second buffer in the write instead of a copy. */
const largePieceBytes = 16 * 1024;
/** Above this many bytes a batch is cut into several frames, so that one frame never comes near the limit. */
const maxBatchBytes = 4 * 1024 * 1024;

/**
 * Frames over one `Duplex` (a socket, a TLS socket, a pipe) whose two ends already know and trust each other. All Raft
 * messages that are sent in one turn of the event loop leave in one frame and one write.
 *
 * Bounded: what waits to be sent counts against `maxOutboundBytes`, what comes in against `maxFrameBytes`. A peer that
 * sends what it may not, or nothing at all for `silenceTimeoutMs`, is disconnected.
 */
export class PeerConnection {
  readonly #stream: Duplex;
  readonly #handler: PeerConnectionHandler;
  readonly #maxFrameBytes: number;
  readonly #maxOutboundBytes: number;
  readonly #pingIntervalMs: number;
  readonly #silenceTimeoutMs: number;
  readonly #clock: Clock;
  readonly #stopPings: () => void;
  #writer = new ByteWriter(4096);
  #queued: Message[] = [];
  #queuedBytes = 0;
  #flushing = false;
  #lastHeardMs: number;
  #watchedMs: number;
  #isOpen = true;
  #error: Error | undefined;
  #sentBytes = 0;
  #sentFrames = 0;
  #receivedBytes = 0;
  #droppedMessages = 0;

  constructor(stream: Duplex, handler: PeerConnectionHandler, options: PeerConnectionOptions = {}) {
    this.#stream = stream;
    this.#handler = handler;
    this.#maxFrameBytes = options.maxFrameBytes ?? 64 * 1024 * 1024;
    this.#maxOutboundBytes = options.maxOutboundBytes ?? 32 * 1024 * 1024;
    this.#pingIntervalMs = options.pingIntervalMs ?? 1000;
    this.#silenceTimeoutMs = options.silenceTimeoutMs ?? 5000;
    this.#clock = options.clock ?? systemClock;
    this.#lastHeardMs = this.#clock.monotonicMs();
    this.#watchedMs = this.#lastHeardMs;
    const frames = new FrameReader(this.#maxFrameBytes, (kind, payload) => this.#onFrame(kind, payload));
    stream.on('data', (chunk: Uint8Array) => {
      if (!this.#isOpen) return;
      this.#lastHeardMs = this.#clock.monotonicMs();
      this.#receivedBytes += chunk.length;
      try {
        frames.push(chunk);
      } catch (error) {
        this.destroy(error as Error);
        // What the peer did wrong ends the connection; a fault of this process must not hide behind that.
        if (!(error instanceof RaftError)) throw error;
      }
    });
    stream.on('error', (error) => {
      this.#error ??= error;
    });
    stream.on('end', () => this.close());
    stream.on('close', () => this.#closed());
    this.#stopPings = this.#clock.every(this.#pingIntervalMs, () => this.#watch());
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Bytes that wait to be sent. */
  get outboundBytes(): number {
    return this.#queuedBytes + this.#stream.writableLength;
  }

  stats(): PeerConnectionStats {
    return {
      sentBytes: this.#sentBytes,
      sentFrames: this.#sentFrames,
      receivedBytes: this.#receivedBytes,
      droppedMessages: this.#droppedMessages,
    };
  }

  /** Sends messages with all others of this turn, or drops them and calls `onDropped` where too much is waiting. */
  send(messages: readonly Message[]): void {
    if (!this.#isOpen) return;
    let dropped = 0;
    for (const message of messages) {
      const bytes = messageSize(message);
      // With nothing waiting, even a message above the bound goes: else it could never go.
      if (this.outboundBytes > 0 && this.outboundBytes + bytes > this.#maxOutboundBytes) {
        dropped++;
        continue;
      }
      this.#queued.push(message);
      this.#queuedBytes += bytes;
    }
    if (this.#queued.length > 0 && !this.#flushing) {
      this.#flushing = true;
      process.nextTick(() => this.#flush());
    }
    if (dropped > 0) {
      this.#droppedMessages += dropped;
      this.#handler.onDropped();
    }
  }

  /** False where too much is waiting. */
  sendSnapshotPiece(piece: SnapshotPiece): boolean {
    const payload = encodeSnapshotPiece(piece);
    if (!this.#takes(payload.length)) return false;
    if (payload.length < largePieceBytes) this.#write(encodeFrame(FrameKind.snapshot, payload));
    else this.#writeLarge(FrameKind.snapshot, payload);
    return true;
  }

  /** False where too much is waiting. */
  sendSnapshotAck(ack: SnapshotAck): boolean {
    return this.#offer(FrameKind.snapshotAck, encodeSnapshotAck(ack));
  }

  /**
   * Sends a frame of the application, in order with its other frames; `payload` is copied. Throws a `RaftError`: `busy`
   * where too much is waiting, `too-large` above the frame limit, `stopped` on a closed connection.
   */
  sendApplicationFrame(kind: number, payload: Uint8Array): void {
    if (!Number.isInteger(kind) || kind < FrameKind.application || kind > 255)
      throw new TypeError(`kind takes an integer from ${FrameKind.application} to 255, got ${kind}`);
    if (payload.length + 1 > this.#maxFrameBytes)
      throw new RaftError(
        'too-large',
        `a frame of ${payload.length + 1} bytes; at most ${this.#maxFrameBytes} are allowed`,
      );
    if (!this.#isOpen) throw new RaftError('stopped', 'the connection to the peer is closed');
    if (!this.#offer(kind, payload))
      throw new RaftError('busy', `${this.outboundBytes} bytes wait to be sent; at most ${this.#maxOutboundBytes} may`);
  }

  /** Ends the connection after what was written. */
  close(): void {
    if (!this.#isOpen) return;
    this.#flush();
    this.#isOpen = false;
    this.#stopPings();
    this.#stream.end();
    // A peer that does not read would keep an ending stream open for ever.
    this.#clock.after(this.#silenceTimeoutMs, () => this.#stream.destroy());
  }

  /** Ends the connection at once. */
  destroy(error?: Error): void {
    this.#error ??= error;
    this.#isOpen = false;
    this.#stopPings();
    this.#stream.destroy();
  }

  #offer(kind: number, payload: Uint8Array): boolean {
    if (!this.#takes(payload.length)) return false;
    this.#write(encodeFrame(kind, payload));
    return true;
  }

  #takes(payloadBytes: number): boolean {
    return this.#isOpen && this.outboundBytes + payloadBytes + frameHeaderBytes <= this.#maxOutboundBytes;
  }

  #flush(): void {
    this.#flushing = false;
    const messages = this.#queued;
    if (messages.length === 0 || !this.#isOpen) return;
    this.#queued = [];
    this.#queuedBytes = 0;
    for (let from = 0; from < messages.length; ) {
      let to = from;
      for (let bytes = 0; to < messages.length && (to === from || bytes < maxBatchBytes); to++)
        bytes += messageSize(messages[to]!);
      this.#writeBatch(from === 0 && to === messages.length ? messages : messages.slice(from, to));
      from = to;
    }
  }

  #writeBatch(messages: readonly Message[]): void {
    const writer = this.#writer;
    writer.reset();
    writer.u32(0).u8(FrameKind.raft);
    writeMessages(writer, messages);
    const frame = writer.copy();
    writeFrameHeader(frame, FrameKind.raft, frame.length - frameHeaderBytes);
    this.#write(frame);
    // One large batch does not hold its memory for ever.
    if (frame.length > maxBatchBytes) this.#writer = new ByteWriter(4096);
  }

  /** Without a copy: the payload must not change any more. */
  #writeLarge(kind: number, payload: Uint8Array): void {
    const header = new Uint8Array(frameHeaderBytes);
    writeFrameHeader(header, kind, payload.length);
    this.#sentBytes += header.length + payload.length;
    this.#sentFrames++;
    this.#stream.cork();
    this.#stream.write(header);
    this.#stream.write(payload);
    this.#stream.uncork();
  }

  #write(frame: Uint8Array): void {
    this.#sentBytes += frame.length;
    this.#sentFrames++;
    this.#stream.write(frame);
  }

  #onFrame(kind: number, payload: Uint8Array): void {
    if (!this.#isOpen) return;
    if (kind >= FrameKind.application) {
      this.#handler.onApplicationFrame(kind, payload);
      return;
    }
    switch (kind) {
      case FrameKind.raft:
        this.#handler.onMessages(decodeMessages(owned(payload)));
        return;
      case FrameKind.snapshot:
        this.#handler.onSnapshotPiece(decodeSnapshotPiece(owned(payload)));
        return;
      case FrameKind.snapshotAck:
        this.#handler.onSnapshotAck(decodeSnapshotAck(payload));
        return;
      case FrameKind.ping:
        this.#offer(FrameKind.pong, new Uint8Array(0));
        return;
      case FrameKind.pong:
        return;
      default:
        throw new RaftError('corrupt', `a frame of unknown kind ${kind}`);
    }
  }

  #watch(): void {
    const nowMs = this.#clock.monotonicMs();
    // A process that was stopped finds its timers due before it reads what came meanwhile: let it read first.
    if (nowMs - this.#watchedMs > 2 * this.#pingIntervalMs) this.#lastHeardMs = nowMs;
    this.#watchedMs = nowMs;
    const silentMs = nowMs - this.#lastHeardMs;
    if (silentMs >= this.#silenceTimeoutMs)
      this.destroy(new RaftError('io', `the peer said nothing for ${Math.round(silentMs)} ms`));
    else if (silentMs >= this.#pingIntervalMs / 2) this.#offer(FrameKind.ping, new Uint8Array(0));
  }

  #closed(): void {
    this.#isOpen = false;
    this.#stopPings();
    this.#queued = [];
    this.#queuedBytes = 0;
    this.#handler.onClose(this.#error);
  }
}

/**
 * The payload to keep: as it is where its frame has a buffer of its own, as a large one does that came in several parts,
 * else a copy, so that an entry pins its frame and not a socket's buffer. (The `slice` of a Buffer would be no copy.)
 */
function owned(payload: Uint8Array): Uint8Array {
  return payload.buffer.byteLength <= payload.length + frameHeaderBytes ? payload : new Uint8Array(payload);
}
