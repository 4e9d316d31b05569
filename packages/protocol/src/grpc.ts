import { create } from '@bufbuild/protobuf';
import { utf8 } from '@dcache/base';
import { type Command, CommandType, type ServerInfo } from './command.js';
import { DcacheError } from './errors.js';
import {
  Cache,
  type DeleteRequest,
  DeleteRequestSchema,
  type Empty,
  EmptySchema,
  type GetRequest,
  GetRequestSchema,
  type GetResponse,
  GetResponseSchema,
  type GetServer,
  GetServerSchema,
  type SetRequest,
  SetRequestSchema,
} from './gen/cache_pb.js';
import { type GrpcMethods, grpcMethods } from './grpc-method.js';
import { checkKey, checkValueBytes, type Limits } from './limits.js';

/** Service `pb.Cache`: wire-identical to the original's, and `Delete` beside it. */
export const cacheService: GrpcMethods<typeof Cache> = grpcMethods(Cache);

/** Metadata of a request that says how fresh a read must be. */
export const consistencyMetadata = 'dcache-consistency';
/** Trailing metadata of a failed call: the error's code, which is finer than the gRPC status. */
export const errorMetadata = 'dcache-error';

/** The command of a `Set`. Throws `DcacheError` for a key or value beyond the limits. */
export function grpcSetCommand(request: SetRequest, limits: Limits): Command {
  const key = grpcKey(request.key, limits);
  checkValueBytes(request.value.length, limits);
  return {
    type: CommandType.set,
    key,
    value: request.value,
    ttlMs: 0,
    flags: 0,
    condition: undefined,
    session: undefined,
    idempotency: undefined,
  };
}

export function grpcDeleteCommand(request: DeleteRequest, limits: Limits): Command {
  return { type: CommandType.delete, key: grpcKey(request.key, limits) };
}

/** The bytes of a key. Throws `DcacheError` for one beyond the limits. */
export function grpcKey(text: string, limits: Limits): Uint8Array {
  const key = utf8(text);
  checkKey(key, limits);
  return key;
}

/** The answer of a `Get`; a miss is `not-found`. */
export function grpcGetResponse(found: { readonly value: Uint8Array } | undefined): GetResponse {
  if (!found) throw new DcacheError('not-found', 'no such key');
  return create(GetResponseSchema, { value: found.value });
}

export function grpcServers(servers: readonly ServerInfo[]): GetServer {
  return create(GetServerSchema, { server: servers.map((server) => ({ ...server })) });
}

export function grpcEmpty(): Empty {
  return create(EmptySchema);
}

/** Requests as a client sends them. */
export function grpcSetRequest(key: string, value: Uint8Array): SetRequest {
  return create(SetRequestSchema, { key, value });
}

export function grpcGetRequest(key: string): GetRequest {
  return create(GetRequestSchema, { key });
}

export function grpcDeleteRequest(key: string): DeleteRequest {
  return create(DeleteRequestSchema, { key });
}
