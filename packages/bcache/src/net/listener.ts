import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { BytesError, type Clock } from '@dcache/base';
import { CacheError } from '../errors.js';
import { FrameReader, FrameSeal, frame } from './frame.js';
import { type Hello, type Identity, readHello, readProof, writeAnswer, writeRefusal } from './handshake.js';

/** What `node:tls` takes, PEM. Both sides show a certificate that `ca` signed. */
export interface TlsMaterial {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  readonly ca: string | Buffer;
}

export interface ListenerOptions {
  readonly own: Identity;
  readonly tls: TlsMaterial | undefined;
  readonly clock: Clock;
  /** A throw drops the peer. */
  readonly onMessage: (from: string, message: Uint8Array) => void;
  readonly onError: (error: Error) => void;
}

const handshakeMs = 5_000;
/** Streams that have not proved who they are. */
const maxStrangers = 64;

/** Where peers dial in; each stream brings the messages of one peer. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The stream of each peer; a new one takes the place of the old. */
  readonly #peers = new Map<string, Socket>();
  #strangers = 0;
  refusals = 0;
  bytesReceived = 0;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const onSocket = (socket: Socket): void => this.#accept(socket);
    const { tls } = options;
    this.#server =
      tls === undefined
        ? createServer(onSocket)
        : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: true }, onSocket);
    this.#server.on('tlsClientError', () => this.refusals++);
  }

  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', this.#options.onError);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Ends the stream of a peer that is gone, or talks nonsense. */
  drop(peer: string): void {
    this.#peers.get(peer)?.destroy();
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    if (this.#strangers >= maxStrangers) {
      this.refusals++;
      socket.destroy();
      return;
    }
    this.#strangers++;
    this.#sockets.add(socket);
    socket.setKeepAlive(true, 10_000);
    const stream = new Incoming(socket, this.#options.own);
    let isStranger = true;
    const known = (): void => {
      if (isStranger) this.#strangers--;
      isStranger = false;
      cancelTimeout();
    };
    const cancelTimeout = this.#options.clock.after(handshakeMs, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      this.bytesReceived += chunk.length;
      try {
        for (const message of stream.read(chunk)) {
          if (isStranger) {
            known();
            this.#peers.get(stream.peer)?.destroy();
            this.#peers.set(stream.peer, socket);
          }
          if (message !== undefined) this.#options.onMessage(stream.peer, message);
        }
      } catch (error) {
        this.#refuse(socket, stream, error as Error);
      }
    });
    socket.on('error', () => {});
    socket.once('close', () => {
      known();
      this.#sockets.delete(socket);
      if (this.#peers.get(stream.peer) === socket) this.#peers.delete(stream.peer);
    });
  }

  #refuse(socket: Socket, stream: Incoming, error: Error): void {
    this.refusals++;
    const isTheirs = error instanceof CacheError || error instanceof BytesError;
    if (!stream.isProved && isTheirs) socket.end(frame(writeRefusal(error.message)), () => socket.destroy());
    else socket.destroy();
    const code = error instanceof CacheError ? error.code : isTheirs ? 'nonsense' : undefined;
    const who = stream.peer === '' ? `a peer from ${socket.remoteAddress}` : `peer '${stream.peer}'`;
    const message = `${who} was dropped: ${error.message}`;
    this.#options.onError(code === undefined ? error : new CacheError(code, message, { cause: error }));
  }
}

/** One stream that comes in: the handshake, then messages. */
class Incoming {
  readonly #own: Identity;
  readonly #socket: Socket;
  #reader = new FrameReader(4096);
  #hello: Hello | undefined;
  #nonce = randomBytes(16);
  #seal: FrameSeal | undefined;
  isProved = false;

  constructor(socket: Socket, own: Identity) {
    this.#socket = socket;
    this.#own = own;
  }

  get peer(): string {
    return this.#hello?.node ?? '';
  }

  /** The messages that are whole now; one `undefined` when the peer has proved who it is. */
  *read(chunk: Buffer): Generator<Uint8Array | undefined> {
    this.#reader.push(chunk);
    for (;;) {
      const bytes = this.#reader.next();
      if (bytes === undefined) return;
      if (this.isProved) yield this.#seal === undefined ? bytes : this.#seal.open(bytes);
      else if (this.#hello === undefined) {
        this.#hello = readHello(this.#own, bytes);
        this.#socket.write(frame(writeAnswer(this.#own, this.#hello, this.#nonce)));
      } else {
        const key = readProof(this.#own, this.#hello, this.#nonce, bytes);
        this.#seal = key === undefined ? undefined : new FrameSeal(key);
        this.isProved = true;
        this.#reader = this.#reader.widened();
        yield undefined;
      }
    }
  }
}
