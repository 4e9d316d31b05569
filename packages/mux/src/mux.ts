import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, type Logger, silentLogger, systemClock } from '@dcache/base';
import { MuxError } from './errors.js';
import type { Matcher } from './matchers.js';

/** One protocol of the port. */
export interface Route {
  /** For logs and counters. */
  readonly name: string;
  readonly matcher: Matcher;
  /**
   * Takes the connection over. It is paused, its first bytes are back in it, and it has no listeners of the mux left.
   * What throws here closes the connection.
   */
  readonly accept: (socket: Socket) => void;
  /**
   * The first bytes say too little: a connection that this route took over stays a newcomer, which gives its place to
   * others when the port is full, until `settle` is called for it or `route` for what was made of it. Default false.
   */
  readonly isProvisional?: boolean;
}

export interface MuxOptions {
  /** Asked in order; the first `yes` wins, provided that every route before it said `no`. */
  readonly routes: readonly Route[];
  /** Bytes looked at before a connection that nobody wants is closed. Default 16,384. */
  readonly maxSniffBytes?: number;
  /** Time for the first bytes to come, in milliseconds. Default 10,000. */
  readonly sniffTimeoutMs?: number;
  /**
   * Connections open at once, of all protocols. When the port is full a new one takes the place of the oldest newcomer,
   * one whose protocol is not known yet; where there is none it is closed. Default 10,000.
   */
  readonly maxConnections?: number;
  /** Sent to a connection that nobody wants before it is closed. Default nothing. */
  readonly refusal?: Uint8Array;
  readonly logger?: Logger;
  /** Measures `sniffTimeoutMs`. Default the machine's. */
  readonly clock?: Clock;
}

/** Counters since the start. */
export interface MuxStats {
  readonly open: number;
  /** Connections taken over, by route name. */
  readonly accepted: Readonly<Record<string, number>>;
  /** Closed because no route wanted their first bytes. */
  readonly refused: number;
  /** Closed because their first bytes did not come in time. */
  readonly timedOut: number;
  /** Closed because the port was full: newcomers that others came after. */
  readonly dropped: number;
}

/**
 * One TCP port for many protocols. Each connection's first bytes are held back until a route says yes, within a bound
 * and a time limit; then the route gets the socket as if it had accepted it.
 */
export class Mux {
  readonly #routes: readonly Route[];
  readonly #maxSniffBytes: number;
  readonly #sniffTimeoutMs: number;
  readonly #refusal: Uint8Array | undefined;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #maxConnections: number;
  readonly #sockets = new Set<Socket>();
  /**
   * Of them those whose protocol is not known yet, the oldest first. Who speaks at once is one for a moment, so that it
   * takes as many others in that moment to push him out: a bound for each address would stop less, and proxies too.
   */
  readonly #newcomers = new Set<Socket>();
  /** Newcomers that a provisional route has, by their other end: what it makes of them has the same. */
  readonly #provisional = new Map<string, Socket>();
  readonly #accepted = new Map<string, number>();
  #refused = 0;
  #timedOut = 0;
  #dropped = 0;

  constructor(options: MuxOptions) {
    this.#routes = options.routes;
    this.#maxSniffBytes = options.maxSniffBytes ?? 16_384;
    this.#sniffTimeoutMs = options.sniffTimeoutMs ?? 10_000;
    this.#refusal = options.refusal;
    this.#logger = options.logger ?? silentLogger;
    this.#clock = options.clock ?? systemClock;
    for (const route of this.#routes) this.#accepted.set(route.name, 0);
    // Half-open is for the routes to allow: HTTP clients may end their side after the request.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 15_000 });
    this.#maxConnections = options.maxConnections ?? 10_000;
    this.#server.on('connection', (socket) => this.#take(socket));
  }

  /** Binds; port 0 takes a free one. Rejects with a `MuxError` that names the address. */
  listen(host: string, port: number): Promise<{ readonly host: string; readonly port: number }> {
    return new Promise((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException): void => {
        const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
        const inUse = error.code === 'EADDRINUSE';
        reject(
          new MuxError(
            inUse ? 'address-in-use' : 'bind-failed',
            inUse
              ? `${address} is taken by another process; choose another port or stop that process`
              : `cannot listen on ${address}: ${error.message}`,
            { cause: error },
          ),
        );
      };
      this.#server.once('error', fail);
      this.#server.listen({ host, port, exclusive: true }, () => {
        this.#server.off('error', fail);
        this.#server.on('error', (error) => this.#logger.warn({ err: error }, 'accepting a connection failed'));
        const bound = this.#server.address();
        resolve({ host, port: typeof bound === 'object' && bound ? bound.port : port });
      });
    });
  }

  stats(): MuxStats {
    return {
      open: this.#sockets.size,
      accepted: Object.fromEntries(this.#accepted),
      refused: this.#refused,
      timedOut: this.#timedOut,
      dropped: this.#dropped,
    };
  }

  /** Frees the port: no more connections are accepted, those that are open go on until `destroyConnections`. */
  close(): void {
    if (this.#server.listening) this.#server.close();
  }

  /** Ends every connection that is still open, whoever took it over. */
  destroyConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /**
   * Looks at the first bytes of a stream that a route made of its connection, such as the inside of TLS, and gives it to
   * one of `routes`, with the same bounds.
   */
  route(socket: Socket, routes: readonly Route[]): void {
    this.#sniff(socket, routes);
  }

  /** A connection that a provisional route took over, or a stream that it made of it, is what it claims to be. */
  settle(socket: Socket): void {
    const end = endOf(socket);
    this.#newcomers.delete(this.#provisional.get(end) ?? socket);
    this.#provisional.delete(end);
  }

  #take(socket: Socket): void {
    const end = endOf(socket);
    this.#sockets.add(socket);
    this.#newcomers.add(socket);
    socket.once('close', () => {
      this.#forget(socket);
      if (this.#provisional.get(end) === socket) this.#provisional.delete(end);
    });
    this.#sniff(socket, this.#routes);
    if (this.#sockets.size <= this.#maxConnections) return;
    const [oldest = socket] = this.#newcomers;
    this.#dropped++;
    const which =
      oldest === socket ? 'the newest connection, as all others are known,' : 'the oldest unknown connection';
    this.#logger.debug({ from: oldest.remoteAddress }, `the port is full: ${which} is closed`);
    // At once, and not when it is closed: the next one may be here before.
    this.#forget(oldest);
    oldest.destroy();
  }

  #forget(socket: Socket): void {
    this.#sockets.delete(socket);
    this.#newcomers.delete(socket);
  }

  #sniff(socket: Socket, routes: readonly Route[]): void {
    let prefix: Buffer = Buffer.alloc(0);
    const done = (): void => {
      cancelTimeout();
      socket.off('readable', look);
      socket.off('end', leave);
      socket.off('error', leave);
      socket.off('close', done);
    };
    const leave = (): void => {
      done();
      socket.destroy();
    };
    const cancelTimeout = this.#clock.after(this.#sniffTimeoutMs, () => {
      this.#timedOut++;
      leave();
    });
    const look = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      prefix = prefix.length === 0 ? chunk : Buffer.concat([prefix, chunk]);
      const route = this.#choose(prefix, routes);
      if (route === 'more') return;
      done();
      if (route === 'none') {
        this.#refused++;
        this.#logger.debug({ from: socket.remoteAddress, bytes: prefix.length }, 'a connection of no known protocol');
        socket.on('error', () => socket.destroy());
        socket.end(this.#refusal ?? '');
        socket.destroySoon();
        return;
      }
      this.#hand(socket, prefix, route);
    };
    socket.on('error', leave);
    socket.on('end', leave);
    socket.on('close', done);
    socket.on('readable', look);
  }

  #hand(socket: Socket, prefix: Buffer, route: Route): void {
    if (socket.destroyed) return;
    // Removing the last `readable` listener leaves the stream neither flowing nor paused by request: say which.
    socket.pause();
    socket.unshift(prefix);
    if (!route.isProvisional) this.settle(socket);
    else if (this.#newcomers.has(socket)) this.#provisional.set(endOf(socket), socket);
    this.#accepted.set(route.name, (this.#accepted.get(route.name) ?? 0) + 1);
    try {
      route.accept(socket);
    } catch (error) {
      this.#logger.error({ err: error, route: route.name }, 'a protocol could not take a connection over');
      socket.destroy();
    }
  }

  #choose(prefix: Uint8Array, routes: readonly Route[]): Route | 'more' | 'none' {
    for (const route of routes) {
      const match = route.matcher(prefix);
      if (match === 'yes') return route;
      if (match === 'more') return prefix.length >= this.#maxSniffBytes ? 'none' : 'more';
    }
    return 'none';
  }
}

/** What tells a connection from all others of its port, and a stream within it has too. */
function endOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
