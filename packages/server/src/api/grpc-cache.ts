import {
  type CommandHandler,
  type cacheService,
  type cacheServiceV1,
  checkReply,
  consistencyMetadata,
  grpcDeleteCommand,
  grpcEmpty,
  grpcGetResponse,
  grpcKey,
  grpcServers,
  grpcSetCommand,
  type Limits,
  v1CloseSessionCommand,
  v1CloseSessionResponse,
  v1DeleteCommand,
  v1DeleteResponse,
  v1GetManyResponse,
  v1GetResponse,
  v1Keys,
  v1OpenSessionCommand,
  v1OpenSessionResponse,
  v1ReadLevel,
  v1SetCommand,
  v1SetManyCommand,
  v1SetManyResponse,
  v1SetResponse,
} from '@dcache/protocol';
import type { Metadata } from '@grpc/grpc-js';
import type { UnaryCalls } from './grpc-answer.js';

/** Service `pb.Cache`: the original's calls, and `Delete`. */
export function originalCacheCalls(handler: CommandHandler, limits: Limits): UnaryCalls<typeof cacheService> {
  return {
    set: async (request, call) => {
      checkReply(await handler.write(grpcSetCommand(request, limits), call));
      return grpcEmpty();
    },
    get: async (request, { metadata, deadlineMs }) => {
      const level = v1ReadLevel(0, textOf(metadata, consistencyMetadata));
      return grpcGetResponse(await handler.read(grpcKey(request.key, limits), { level, deadlineMs }));
    },
    getServers: async () => grpcServers(handler.servers()),
    delete: async (request, call) => {
      checkReply(await handler.write(grpcDeleteCommand(request, limits), call));
      return grpcEmpty();
    },
  };
}

/** Service `dcache.v1.Cache`. `nowMs` is log time, for the time that an entry has left. */
export function cacheCalls(
  handler: CommandHandler,
  limits: Limits,
  nowMs: () => number,
): UnaryCalls<typeof cacheServiceV1> {
  return {
    get: async (request, { metadata, deadlineMs }) => {
      const [key] = v1Keys([request.key], limits) as [Uint8Array];
      const level = v1ReadLevel(request.consistency, textOf(metadata, consistencyMetadata));
      return v1GetResponse(await handler.read(key, { level, deadlineMs }), nowMs());
    },
    getMany: async (request, { metadata, deadlineMs }) => {
      const keys = v1Keys(request.keys, limits);
      const level = v1ReadLevel(request.consistency, textOf(metadata, consistencyMetadata));
      return v1GetManyResponse(await handler.readMany(keys, { level, deadlineMs }), nowMs());
    },
    set: async (request, call) => v1SetResponse(await handler.write(v1SetCommand(request, limits), call)),
    setMany: async (request, call) =>
      v1SetManyResponse(await handler.write(v1SetManyCommand(request, limits), call), request.sets.length),
    delete: async (request, call) => v1DeleteResponse(await handler.write(v1DeleteCommand(request, limits), call)),
    openSession: async (request, call) => {
      const command = v1OpenSessionCommand(request);
      return v1OpenSessionResponse(await handler.write(command, call), command.ttlMs);
    },
    closeSession: async (request, call) => {
      // A session that is gone already is what was asked for.
      await handler.write(v1CloseSessionCommand(request.session), call);
      return v1CloseSessionResponse();
    },
  };
}

function textOf(metadata: Metadata, name: string): string | undefined {
  const value = metadata.get(name)[0];
  return value === undefined ? undefined : String(value);
}
