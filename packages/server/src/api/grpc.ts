import type { Socket } from 'node:net';
import type { Logger } from '@dcache/base';
import {
  type CommandHandler,
  cacheService,
  checkReply,
  grpcEmpty,
  grpcGetKey,
  grpcGetResponse,
  grpcServers,
  grpcSetCommand,
  type Limits,
  toDcacheError,
} from '@dcache/protocol';
import { Server, ServerCredentials, type ServiceError, type sendUnaryData } from '@grpc/grpc-js';

export interface GrpcApiOptions {
  readonly handler: CommandHandler;
  readonly limits: Limits;
  readonly logger: Logger;
}

/** Service `pb.Cache` on sockets that somebody else accepted. */
export class GrpcApi {
  readonly #server: Server;
  readonly #injector: ReturnType<Server['createConnectionInjector']>;

  constructor(options: GrpcApiOptions) {
    const { handler, limits, logger } = options;
    this.#server = new Server({
      // Room for the key and the framing around the largest value, so that our own error answers what is just above.
      'grpc.max_receive_message_length': limits.maxValueBytes + limits.maxKeyBytes + 65_536,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
    });
    const answer = <Request, Response>(run: (request: Request) => Promise<Response>) => {
      return (call: { readonly request: Request }, callback: sendUnaryData<Response>): void => {
        run(call.request).then(
          (response) => callback(null, response),
          (thrown) => {
            const error = toDcacheError(thrown);
            if (error.code === 'internal') logger.error({ err: thrown }, 'a call failed');
            callback({ code: error.grpcStatus, details: error.message } as ServiceError);
          },
        );
      };
    };
    this.#server.addService(cacheService, {
      set: answer(async (request: Parameters<typeof grpcSetCommand>[0]) => {
        checkReply(await handler.write(grpcSetCommand(request, limits)));
        return grpcEmpty();
      }),
      get: answer(async (request: Parameters<typeof grpcGetKey>[0]) =>
        grpcGetResponse(await handler.read(grpcGetKey(request, limits))),
      ),
      getServers: answer(async () => grpcServers(handler.servers())),
    });
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** Takes a paused socket whose first bytes are back in it; it must not be resumed. */
  accept(socket: Socket): void {
    this.#injector.injectConnection(socket);
  }

  /** Lets calls that are under way end within `graceMs`, then ends their connections. */
  close(graceMs: number): void {
    this.#injector.drain(graceMs);
    this.#injector.destroy();
    this.#server.forceShutdown();
  }
}
