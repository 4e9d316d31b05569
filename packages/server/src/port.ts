import type { Socket } from 'node:net';
import type { Logger } from '@dcache/base';
import { http1, http2, Mux, preface, type Route, tls } from '@dcache/mux';
import { refusal } from './api/refusal.js';
import { peerPreface } from './peers/handshake.js';
import type { Tls } from './security/tls.js';

export interface PortOptions {
  /** Takes a connection whose other side says it is a peer; `onProven` is called once it has proved it. */
  readonly peers: (socket: Socket, onProven: () => void) => void;
  /** Undefined where gRPC, or HTTP, is not served. */
  readonly grpc: ((socket: Socket) => void) | undefined;
  readonly http: ((socket: Socket) => void) | undefined;
  readonly tls: Tls | undefined;
  readonly maxKeyBytes: number;
  /** Connections open at once. Default 10,000. */
  readonly maxConnections?: number;
  readonly logger: Logger;
}

/** What a plaintext request on a TLS port is told: a person with curl should not have to guess. */
const speaksTls = refusal('400 Bad Request', 'bad-argument', 'this port speaks TLS: use https://');

/** Connections of which clients may not take the last: peers share the port, and the cluster needs theirs. */
const peerShare = 0.05;

const tooMany = refusal(
  '503 Service Unavailable',
  'overloaded',
  'too many connections are open; try again in a moment',
  'retry-after: 1\r\n',
);

/** Hands clients on as long as they leave room for peers; says so to the others where they can read it. */
class ClientShare {
  readonly #max: number;
  readonly #logger: Logger;
  #open = 0;
  #hasSaid = false;

  constructor(maxConnections: number, logger: Logger) {
    this.#max = maxConnections - Math.max(1, Math.ceil(maxConnections * peerShare));
    this.#logger = logger;
  }

  limit(accept: (socket: Socket) => void, refusal: string): (socket: Socket) => void {
    return (socket) => {
      if (this.#open >= this.#max) {
        if (!this.#hasSaid) this.#logger.warn({ open: this.#open }, 'clients hold as many connections as they may');
        this.#hasSaid = true;
        socket.on('error', () => socket.destroy());
        socket.end(refusal);
        socket.destroySoon();
        return;
      }
      this.#open++;
      socket.once('close', () => {
        this.#open--;
        this.#hasSaid = false;
      });
      accept(socket);
    };
  }
}

/** The one port: which protocol's server gets which connection. With TLS the same choice is made inside it, and only there. */
export function makePort(options: PortOptions): Mux {
  let mux: Mux;
  const peer = (socket: Socket): void => options.peers(socket, () => mux.settle(socket));
  const routes: Route[] = [{ name: 'peer', matcher: preface(peerPreface), accept: peer, isProvisional: true }];
  const maxConnections = options.maxConnections ?? 10_000;
  const clients = new ClientShare(maxConnections, options.logger);
  if (options.grpc) routes.push({ name: 'grpc', matcher: http2, accept: clients.limit(options.grpc, '') });
  if (options.http) routes.push({ name: 'http', matcher: http1, accept: clients.limit(options.http, tooMany) });
  const secure = options.tls;
  const { logger } = options;
  const bounds = { maxSniffBytes: options.maxKeyBytes * 3 + 16_384, maxConnections, logger };
  if (!secure) {
    mux = new Mux({ routes, ...bounds });
    return mux;
  }
  const inside = secure.serve(
    options.http !== undefined,
    (socket) => {
      socket.on('error', (error) => logger.debug({ err: error }, 'a TLS connection failed'));
      mux.route(socket, routes);
    },
    (error) => logger.debug({ err: error }, 'a TLS handshake failed'),
  );
  mux = new Mux({
    routes: [
      { name: 'tls', matcher: tls, accept: inside.accept, isProvisional: true },
      {
        name: 'plaintext',
        matcher: http1,
        accept: (socket) => {
          socket.on('error', () => socket.destroy());
          socket.end(speaksTls);
          socket.destroySoon();
        },
      },
    ],
    ...bounds,
  });
  return mux;
}
