import type { Socket } from 'node:net';
import type { Clock, Logger } from '@dcache/base';
import { GrpcServer } from '@dcache/grpc';
import {
  adminService,
  type CommandHandler,
  cacheService,
  cacheServiceV1,
  keepByteOrderMarks,
  type Limits,
} from '@dcache/protocol';
import type { RequestMetrics } from '../observe/metrics-requests.js';
import { type Authorize, checkTokens } from './access.js';
import { type AdminHandler, adminCalls } from './grpc-admin.js';
import { unaryCalls } from './grpc-answer.js';
import { cacheCalls, originalCacheCalls } from './grpc-cache.js';
import { nameFailure } from './grpc-failure.js';
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
  readonly #server: GrpcServer;
  readonly #health: GrpcHealth;

  constructor(options: GrpcApiOptions) {
    const { handler, admin, limits, logger, clock, nowMs, authorize, metrics } = options;
    keepByteOrderMarks();
    this.#server = new GrpcServer({
      // Room for the key and the framing around the largest value, so that our own error answers what is just above.
      maxMessageBytes: limits.maxValueBytes + limits.maxKeyBytes + 65_536,
      maxCalls,
      // At least one of the largest.
      maxHeldBytes: Math.max(256 * 1_048_576, 2 * limits.maxValueBytes),
      ...(authorize ? { authorize: checkTokens(authorize) } : {}),
      onFailure: nameFailure,
      logger,
      clock,
    });
    this.#server.addService(cacheService, unaryCalls(originalCacheCalls(handler, limits), logger, metrics));
    this.#server.addService(cacheServiceV1, unaryCalls(cacheCalls(handler, limits, nowMs), logger, metrics));
    this.#server.addService(adminService, adminCalls(admin, clock, logger));
    this.#health = new GrpcHealth(['pb.Cache', 'dcache.v1.Cache', 'dcache.v1.Admin'], () => admin.isReady(), clock);
    this.#health.addTo(this.#server);
    addReflection(this.#server);
  }

  accept(socket: Socket): void {
    this.#server.accept(socket);
  }

  /** Lets calls that are under way end within `graceMs`, then ends their connections. */
  close(graceMs: number): void {
    this.#health.stop();
    this.#server.close(graceMs);
  }
}
