import type { Socket } from 'node:net';
import type { Clock, Logger } from '@dcache/base';
import { adminService, type CommandHandler, cacheService, cacheServiceV1, type Limits } from '@dcache/protocol';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { RequestMetrics } from '../metrics-requests.js';
import { type Authorize, tokenInterceptor } from './access.js';
import { type AdminHandler, adminCalls } from './grpc-admin.js';
import { unaryCalls } from './grpc-answer.js';
import { cacheCalls, originalCacheCalls } from './grpc-cache.js';
import { addReflection, GrpcHealth } from './grpc-health.js';

export interface GrpcApiOptions {
  readonly handler: CommandHandler;
  readonly admin: AdminHandler;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Default: everybody may do everything. */
  readonly authorize?: Authorize;
  /** Where calls are counted; default nowhere. */
  readonly metrics?: RequestMetrics;
  /** Log time, in milliseconds. */
  readonly nowMs: () => number;
}

/** Calls under way on one connection; a client keeps further ones until one of them has ended. */
export const maxCalls = 1_000;

/**
 * Services `pb.Cache`, `dcache.v1.Cache`, `dcache.v1.Admin`, health and reflection, on sockets that somebody else
 * accepted.
 */
export class GrpcApi {
  readonly #server: Server;
  readonly #injector: ReturnType<Server['createConnectionInjector']>;
  readonly #health: GrpcHealth;

  constructor(options: GrpcApiOptions) {
    const { handler, admin, limits, logger, clock, nowMs, authorize, metrics } = options;
    this.#server = new Server({
      // Room for the key and the framing around the largest value, so that our own error answers what is just above.
      'grpc.max_receive_message_length': limits.maxValueBytes + limits.maxKeyBytes + 65_536,
      'grpc.max_send_message_length': -1,
      // Each may hold a request of the largest size.
      'grpc.max_concurrent_streams': maxCalls,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      ...(authorize ? { interceptors: [tokenInterceptor(authorize)] } : {}),
    });
    this.#server.addService(cacheService, unaryCalls(originalCacheCalls(handler, limits), logger, metrics));
    this.#server.addService(cacheServiceV1, unaryCalls(cacheCalls(handler, limits, nowMs), logger, metrics));
    this.#server.addService(adminService, adminCalls(admin, clock, logger));
    this.#health = new GrpcHealth(['pb.Cache', 'dcache.v1.Cache', 'dcache.v1.Admin'], () => admin.isReady(), clock);
    this.#health.addTo(this.#server);
    addReflection(this.#server);
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** Takes a paused socket whose first bytes are back in it; it must not be resumed. */
  accept(socket: Socket): void {
    // Who ends its side of an HTTP/2 connection has gone: nobody would ever end ours.
    socket.allowHalfOpen = false;
    this.#injector.injectConnection(socket);
  }

  /** Lets calls that are under way end within `graceMs`, then ends their connections. */
  close(graceMs: number): void {
    this.#health.stop();
    this.#injector.drain(graceMs);
    this.#injector.destroy();
    this.#server.forceShutdown();
  }
}
