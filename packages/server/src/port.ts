import type { Socket } from 'node:net';
import type { Logger } from '@dcache/base';
import { http1, http2, Mux, preface, type Route, tls } from '@dcache/mux';
import { peerPreface } from './handshake.js';
import type { Tls } from './tls.js';

export interface PortOptions {
  readonly peers: (socket: Socket) => void;
  /** Undefined where gRPC, or HTTP, is not served. */
  readonly grpc: ((socket: Socket) => void) | undefined;
  readonly http: ((socket: Socket) => void) | undefined;
  readonly tls: Tls | undefined;
  readonly maxKeyBytes: number;
  readonly logger: Logger;
}

/** What a plaintext request on a TLS port is told: a person with curl should not have to guess. */
const speaksTls =
  'HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 35\r\n\r\nthis port speaks TLS: use https://\n';

/** The one port: which protocol's server gets which connection. With TLS the same choice is made inside it, and only there. */
export function makePort(options: PortOptions): Mux {
  const routes: Route[] = [{ name: 'peer', matcher: preface(peerPreface), accept: options.peers }];
  if (options.grpc) routes.push({ name: 'grpc', matcher: http2, accept: options.grpc });
  if (options.http) routes.push({ name: 'http', matcher: http1, accept: options.http });
  const secure = options.tls;
  if (!secure) return new Mux({ routes, maxSniffBytes: options.maxKeyBytes * 3 + 16_384, logger: options.logger });
  const { logger } = options;
  const inside = secure.serve(
    options.http !== undefined,
    (socket) => {
      socket.on('error', (error) => logger.debug({ err: error }, 'a TLS connection failed'));
      mux.route(socket, routes);
    },
    (error) => logger.debug({ err: error }, 'a TLS handshake failed'),
  );
  const mux: Mux = new Mux({
    routes: [
      { name: 'tls', matcher: tls, accept: inside.accept },
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
    maxSniffBytes: options.maxKeyBytes * 3 + 16_384,
    logger,
  });
  return mux;
}
