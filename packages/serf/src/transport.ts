import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '@dcache/base';
import { formatAddress, parseAddress } from './core/address.js';
import type { Endpoint } from './core/message.js';
import { SerfError } from './errors.js';
import { describe } from './host.js';
import { WireError } from './wire/msgpack.js';
import type { PacketOptions } from './wire/packet.js';
import { encodeRefusal, encodeStream, type StreamMessage, StreamReader } from './wire/stream.js';

export interface TransportSetup extends PacketOptions {
  readonly compress: boolean;
  readonly streamTimeoutMs: number;
  readonly clock: Clock;
  readonly onPacket: (from: Endpoint, bytes: Uint8Array) => void;
  /** Answers a stream's message: the bytes of the reply's message, or undefined for none. */
  readonly onStream: (message: StreamMessage) => Uint8Array | undefined;
  readonly onFault: (where: 'packet' | 'stream', error: Error) => void;
}

/** Streams that come in at once; further ones are closed, as memberlist does. */
const maxStreams = 128;
/** Bytes collected over all streams that come in at once, and over one. */
const maxInboundBytes = 64 * 1024 * 1024;
const maxStreamBytes = 24 * 1024 * 1024;
/** Tries to find a port that is free for UDP and for TCP. */
const bindAttempts = 16;
const receiveBufferBytes = 2 * 1024 * 1024;

/** UDP and TCP on one port. Packets are bytes in and out; a stream is one message each way. */
export class Transport {
  readonly #setup: TransportSetup;
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  readonly #streams = new Set<Socket>();
  #isV6 = false;
  #inboundStreams = 0;
  #inboundBytes = 0;
  /** Packets that came in, for the driver to see whether more are waiting. */
  received = 0;

  constructor(setup: TransportSetup) {
    this.#setup = setup;
  }

  /** Binds both sockets and returns the port. */
  async bind(host: string, port: number): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      const server = await this.#listen(host, port);
      const bound = (server.address() as AddressInfo).port;
      try {
        this.#udp = await this.#bindUdp(host, bound);
        this.#tcp = server;
        this.#isV6 = host.includes(':');
        return bound;
      } catch (error) {
        await new Promise<void>((resolve) => server.close(() => resolve()));
        // The port that TCP got for 0 may be taken for UDP; another one will not be.
        if (port !== 0 || attempt >= bindAttempts) throw error;
      }
    }
  }

  send(to: Endpoint, bytes: Uint8Array): void {
    const address = formatAddress(to.addr);
    // A socket for IPv6 reaches IPv4 members by their mapped addresses.
    const host = this.#isV6 && !address.includes(':') ? `::ffff:${address}` : address;
    this.#udp?.send(bytes, to.port, host, (error) => {
      if (error !== null) this.#setup.onFault('packet', error);
    });
  }

  /** Sends a message over a new stream and returns the answer; `SerfError` says what went wrong. */
  exchange(to: Endpoint, message: Uint8Array, timeoutMs: number, signal?: AbortSignal): Promise<StreamMessage> {
    return new Promise((resolve, reject) => {
      const where = describe(to);
      const socket = createConnection({ host: formatAddress(to.addr), port: to.port, noDelay: true });
      this.#streams.add(socket);
      const reader = new StreamReader(this.#setup, maxStreamBytes);
      const settle = (finish: () => void): void => {
        cancel();
        signal?.removeEventListener('abort', onAbort);
        this.#streams.delete(socket);
        socket.destroy();
        finish();
      };
      const fail = (error: Error): void => settle(() => reject(error));
      const cancel = this.#setup.clock.after(timeoutMs, () =>
        fail(new SerfError('timeout', `${where} did not answer within ${timeoutMs} ms`)),
      );
      const onAbort = (): void => fail(signal!.reason as Error);
      if (signal?.aborted) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      socket.on('connect', () => socket.write(encodeStream(message, this.#setup)));
      // Node's message may end with the address, which is said already.
      socket.on('error', (cause) =>
        fail(new SerfError('refused', `${where}: ${cause.message.replace(` ${where}`, '')}`, { cause })),
      );
      socket.on('close', () => fail(new SerfError('refused', `${where} closed the stream without an answer`)));
      socket.on('data', (chunk) => {
        try {
          const answer = reader.push(chunk);
          if (answer === undefined) return;
          if (answer.type === 'error') fail(new SerfError('refused', `${where} refuses: ${answer.error}`));
          else settle(() => resolve(answer));
        } catch (cause) {
          fail(new SerfError('protocol', `${where} answered with ${(cause as Error).message}`, { cause }));
        }
      });
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#streams) socket.destroy();
    const [udp, tcp] = [this.#udp, this.#tcp];
    this.#udp = undefined;
    this.#tcp = undefined;
    if (udp !== undefined) await new Promise<void>((resolve) => udp.close(() => resolve()));
    if (tcp !== undefined) await new Promise<void>((resolve) => tcp.close(() => resolve()));
  }

  #listen(host: string, port: number): Promise<Server> {
    return new Promise((resolve, reject) => {
      const server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
      server.once('error', (cause) => reject(bindError('TCP', host, port, cause)));
      server.listen({ host, port, exclusive: true }, () => {
        server.removeAllListeners('error');
        server.on('error', (error) => this.#setup.onFault('stream', error));
        resolve(server);
      });
    });
  }

  #bindUdp(host: string, port: number): Promise<UdpSocket> {
    return new Promise((resolve, reject) => {
      const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
      socket.once('error', (cause) => reject(bindError('UDP', host, port, cause)));
      socket.bind({ address: host, port, exclusive: true }, () => {
        socket.removeAllListeners('error');
        socket.on('error', (error) => this.#setup.onFault('packet', error));
        try {
          socket.setRecvBufferSize(receiveBufferBytes);
        } catch {
          // The kernel's own limit is lower; what it gives is used.
        }
        socket.on('message', (bytes, remote) => {
          this.received++;
          const addr = parseAddress(remote.address.split('%')[0]!);
          if (addr !== undefined) this.#setup.onPacket({ addr, port: remote.port }, bytes);
        });
        resolve(socket);
      });
    });
  }

  #accept(socket: Socket): void {
    if (this.#inboundStreams >= maxStreams) {
      socket.destroy();
      return;
    }
    this.#inboundStreams++;
    this.#streams.add(socket);
    const { streamTimeoutMs, clock, onStream, onFault } = this.#setup;
    const reader = new StreamReader(this.#setup, maxStreamBytes);
    let counted = 0;
    const cancel = clock.after(2 * streamTimeoutMs, () => socket.destroy());
    socket.on('close', () => {
      cancel();
      this.#inboundStreams--;
      this.#inboundBytes -= counted;
      this.#streams.delete(socket);
    });
    socket.on('error', (error) => onFault('stream', error));
    socket.on('data', (chunk) => {
      counted += chunk.length;
      this.#inboundBytes += chunk.length;
      try {
        if (this.#inboundBytes > maxInboundBytes)
          throw new WireError(`all streams together hold more than ${maxInboundBytes} bytes`);
        const message = reader.push(chunk);
        if (message === undefined) return;
        socket.removeAllListeners('data');
        const reply = onStream(message);
        if (reply === undefined) socket.end();
        else socket.end(encodeStream(reply, this.#setup));
      } catch (error) {
        socket.removeAllListeners('data');
        onFault('stream', error as Error);
        socket.end(encodeStream(encodeRefusal((error as Error).message), this.#setup));
      }
    });
  }
}

function bindError(protocol: string, host: string, port: number, cause: Error): SerfError {
  const { code } = cause as NodeJS.ErrnoException;
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  if (code === 'EADDRINUSE')
    return new SerfError('address-in-use', `${where} is in use (${protocol}); choose another port`, { cause });
  return new SerfError('io', `cannot bind ${where} (${protocol}): ${cause.message}`, { cause });
}
