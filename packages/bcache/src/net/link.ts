import { randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '@dcache/base';
import { CacheError } from '../errors.js';
import { FrameReader, FrameSeal, frame } from './frame.js';
import { type Identity, readAnswer, writeHello } from './handshake.js';
import type { TlsMaterial } from './listener.js';

export interface LinkOptions {
  readonly own: Identity;
  readonly peer: string;
  readonly host: string;
  readonly port: number;
  readonly tls: TlsMaterial | undefined;
  readonly clock: Clock;
  /** Between 0 and 1, to spread the redials. */
  readonly random: () => number;
  readonly maxQueueBytes: number;
  readonly onOpen: () => void;
  readonly onError: (error: Error) => void;
}

const firstRedialMs = 50;
const lastRedialMs = 3_000;
const handshakeMs = 5_000;
const maxKeptBytes = 256 * 1024;

/** The stream on which this node sends to one peer; dials, and dials again, until it is closed. */
export class Link {
  readonly #options: LinkOptions;
  #socket: Socket | undefined;
  #seal: FrameSeal | undefined;
  #isOpen = false;
  #isClosed = false;
  #attempts = 0;
  #cancelRedial: () => void = () => {};
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  overflows = 0;
  bytesSent = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#dial();
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Bytes that wait for the peer to read. */
  get queuedBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  /** Sends, or counts an overflow. `framed` is the same message in its frame, where someone has made it already. */
  send(message: Uint8Array, framed?: Buffer): void {
    const socket = this.#socket;
    if (!this.#isOpen || socket === undefined) {
      this.#keep(message);
      return;
    }
    if (socket.writableLength > this.#options.maxQueueBytes) {
      this.overflows++;
      return;
    }
    const bytes = this.#seal === undefined ? (framed ?? frame(message)) : frame(this.#seal.seal(message));
    this.bytesSent += bytes.length;
    socket.write(bytes);
  }

  /** Until the stream is open a little is kept; what a peer missed beyond that it pulls. */
  #keep(message: Uint8Array): void {
    if (this.#keptBytes + message.length > maxKeptBytes) {
      this.overflows++;
      return;
    }
    this.#kept.push(message);
    this.#keptBytes += message.length;
  }

  #sendKept(): void {
    const kept = this.#kept;
    this.#kept = [];
    this.#keptBytes = 0;
    for (const message of kept) this.send(message);
  }

  close(): void {
    this.#isClosed = true;
    this.#isOpen = false;
    this.#cancelRedial();
    this.#socket?.destroy();
  }

  #dial(): void {
    const { host, port, tls, own, peer } = this.#options;
    const socket = tls === undefined ? connectTcp({ host, port }) : connectTls({ ...tls, host, port, servername: '' });
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 10_000);
    const nonce = randomBytes(16);
    const reader = new FrameReader(4096);
    let hello: ReturnType<typeof writeHello>;
    const cancelTimeout = this.#options.clock.after(handshakeMs, () =>
      socket.destroy(new CacheError('handshake-refused', `no answer within ${handshakeMs} ms`)),
    );
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      hello = writeHello(own, nonce);
      socket.write(frame(hello.bytes));
    });
    socket.on('data', (chunk: Buffer) => {
      // After the handshake the other side has nothing to say here.
      if (this.#isOpen) return;
      try {
        reader.push(chunk);
        const answer = reader.next();
        if (answer === undefined) return;
        const { proof, streamKey } = readAnswer(peer, { ...hello, nonce }, answer);
        socket.write(frame(proof));
        cancelTimeout();
        this.#seal = streamKey === undefined ? undefined : new FrameSeal(streamKey);
        this.#isOpen = true;
        this.#attempts = 0;
        this.#sendKept();
        this.#options.onOpen();
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    let fault: Error | undefined;
    socket.on('error', (error) => {
      fault = error;
    });
    socket.once('close', () => {
      cancelTimeout();
      this.#isOpen = false;
      if (this.#isClosed) return;
      this.#attempts++;
      if (fault !== undefined)
        this.#options.onError(
          new CacheError(
            fault instanceof CacheError ? fault.code : 'unreachable',
            `peer '${peer}' at ${host}:${port}: ${fault.message}`,
            { cause: fault },
          ),
        );
      const waitMs = Math.min(lastRedialMs, firstRedialMs * 2 ** Math.min(this.#attempts, 10));
      this.#cancelRedial = this.#options.clock.after(waitMs * (0.5 + this.#options.random() / 2), () => this.#dial());
    });
  }
}
