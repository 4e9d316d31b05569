import type { Socket } from 'node:net';
import { type Clock, type Logger, silentLogger, systemClock } from '@dcache/base';
import { Budget } from './message-reader.js';
import { type Implementation, Routes, type Service } from './service.js';
import { type Authorize, type OnFailure, Session } from './session.js';

export interface GrpcServerOptions {
  /** Bytes of one message. Default 4 MiB, as gRPC has it everywhere. */
  readonly maxMessageBytes?: number;
  /** Calls under way on one connection; a client keeps further ones until one of them has ended. Default 1,000. */
  readonly maxCalls?: number;
  /** Bytes held on all connections for messages of which only a part has come. Default 256 MiB. */
  readonly maxHeldBytes?: number;
  /** Silence after which a client is asked whether it is there, in milliseconds. Default 30,000; it has 10,000 to answer. */
  readonly keepaliveMs?: number;
  readonly authorize?: Authorize;
  /** Completes a failure before its client hears it, those of this server (`fault`) and those of handlers. Default as it is. */
  readonly onFailure?: OnFailure;
  readonly logger?: Logger;
  readonly clock?: Clock;
}

/** How often connections are looked at, in milliseconds: the time that an answer to a keepalive ping may take. */
const tickMs = 10_000;

/** A gRPC server on sockets that somebody else accepted. */
export class GrpcServer {
  readonly #routes = new Routes();
  readonly #options: GrpcServerOptions;
  readonly #sessions = new Set<Session>();
  readonly #budget: Budget;
  readonly #clock: Clock;
  readonly #stopTicks: () => void;

  constructor(options: GrpcServerOptions = {}) {
    this.#options = options;
    this.#budget = new Budget(options.maxHeldBytes ?? 256 * 1_048_576);
    this.#clock = options.clock ?? systemClock;
    const pingAfter = Math.max(1, Math.round((options.keepaliveMs ?? 30_000) / tickMs));
    this.#stopTicks = this.#clock.every(tickMs, () => {
      for (const session of this.#sessions) session.tick(pingAfter);
    });
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#sessions.size;
  }

  /** Adds a service; the shapes are those of grpc-js's `addService`. Throws for a method that nothing implements. */
  addService(service: Service, implementation: Implementation): void {
    this.#routes.add(service, implementation);
  }

  /** Takes a socket over, paused or not, with nothing of it read. */
  accept(socket: Socket): void {
    const {
      maxMessageBytes = 4_194_304,
      maxCalls = 1_000,
      authorize,
      onFailure,
      logger = silentLogger,
    } = this.#options;
    const onClose = (session: Session): void => void this.#sessions.delete(session);
    const bounds = { authorize, onFailure, maxMessageBytes, maxCalls, budget: this.#budget };
    const parts = { routes: this.#routes, ...bounds, clock: this.#clock, logger, onClose };
    this.#sessions.add(new Session(socket, parts));
  }

  /** Takes no more calls; connections close as theirs are answered, all of them after `graceMs`. */
  close(graceMs: number): void {
    this.#stopTicks();
    for (const session of this.#sessions) session.leave();
    this.#clock.after(graceMs, () => {
      for (const session of this.#sessions) session.destroy();
    });
  }
}
