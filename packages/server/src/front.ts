import type { Clock, Logger } from '@dcache/base';
import type { Mux, MuxStats } from '@dcache/mux';
import type { CommandHandler, Limits } from '@dcache/protocol';
import type { Authorize } from './api/access.js';
import { GrpcApi } from './api/grpc.js';
import type { AdminHandler } from './api/grpc-admin.js';
import { HttpApi } from './api/http.js';
import { answerInternal, type SelfKnowledge } from './api/internal.js';
import { hostCheck } from './api/origin.js';
import type { LogTime } from './log/log-time.js';
import type { RequestMetrics } from './observe/metrics-requests.js';
import type { Peers } from './peers/peers.js';
import { makePort } from './port.js';
import { isLoopback, type Security } from './security/security.js';
import type { ResolvedOptions } from './settings/options.js';

export interface FrontParts {
  readonly options: ResolvedOptions;
  readonly limits: Limits;
  readonly security: Security;
  readonly handler: CommandHandler;
  readonly self: SelfKnowledge;
  readonly admin: AdminHandler;
  readonly peers: Peers;
  readonly metrics: RequestMetrics;
  readonly time: LogTime;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What the world meets: the protocols that are served, and the one port that they share with the peers. */
export class Front {
  readonly #mux: Mux;
  readonly #http: HttpApi | undefined;
  readonly #grpc: GrpcApi | undefined;

  constructor(parts: FrontParts) {
    const { options, limits, security, self, admin, peers, time, clock, logger } = parts;
    const { tokens, tls } = security;
    const authorize: Authorize = (authorization, access) => tokens?.check(authorization, access);
    const api = {
      ...{ handler: parts.handler, limits, logger, metrics: parts.metrics },
      ...(tokens ? { authorize } : {}),
    };
    if (options.http)
      this.#http = new HttpApi({
        ...api,
        internal: (path) => answerInternal(path, self),
        ...(isOpenToPages(options, security) ? { checkHost: hostCheck(ownNames(options)) } : {}),
      });
    if (options.grpc) this.#grpc = new GrpcApi({ ...api, admin, clock, nowMs: () => time.nowMs() });
    this.#mux = makePort({
      peers: (socket, onProven) => peers.accept(socket, onProven),
      grpc: this.#grpc?.accept.bind(this.#grpc),
      http: this.#http?.accept.bind(this.#http),
      tls,
      maxKeyBytes: limits.maxKeyBytes,
      logger,
    });
  }

  /** Binds; gives the port, which may have been left to the system. Rejects with an error that names the address. */
  async listen(host: string, port: number): Promise<number> {
    return (await this.#mux.listen(host, port)).port;
  }

  stats(): MuxStats {
    return this.#mux.stats();
  }

  /** Frees the port; connections that are open go on. */
  close(): void {
    this.#mux.close();
  }

  /** Ends every connection. */
  end(): void {
    this.#grpc?.close(0);
    this.#http?.close();
    this.#mux.destroyConnections();
  }
}

/** Whether nothing but the name in `Host` keeps a web page on this machine from reading the cache. */
function isOpenToPages(options: ResolvedOptions, { tokens, tls }: Security): boolean {
  return isLoopback(options.serfAddress.host) && !tokens && !tls && !options.insecure;
}

function ownNames({ advertise }: ResolvedOptions): readonly string[] {
  return advertise ? [advertise.host] : [];
}
