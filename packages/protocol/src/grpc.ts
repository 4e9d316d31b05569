import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { utf8 } from '@dcache/base';
import { type Command, CommandType, type ServerInfo } from './command.js';
import { DcacheError } from './errors.js';
import {
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
import { checkKey, checkValueBytes, type Limits } from './limits.js';

/** One unary method in the shape that `@grpc/grpc-js` takes for servers and clients; no sockets here. */
export interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: false;
  readonly requestSerialize: (message: Request) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (message: Response) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** Service `pb.Cache`: wire-identical to the original's. */
export const cacheService: {
  readonly set: UnaryMethod<SetRequest, Empty>;
  readonly get: UnaryMethod<GetRequest, GetResponse>;
  readonly getServers: UnaryMethod<Empty, GetServer>;
} = {
  set: unary('Set', SetRequestSchema, EmptySchema),
  get: unary('Get', GetRequestSchema, GetResponseSchema),
  getServers: unary('GetServers', EmptySchema, GetServerSchema),
};

/** The command of a `Set`. Throws `DcacheError` for a key or value beyond the limits. */
export function grpcSetCommand(request: SetRequest, limits: Limits): Command {
  const key = utf8(request.key);
  checkKey(key, limits);
  checkValueBytes(request.value.length, limits);
  return { type: CommandType.set, key, value: request.value, ttlMs: 0, flags: 0 };
}

/** The key of a `Get`. Throws `DcacheError` for one beyond the limits. */
export function grpcGetKey(request: GetRequest, limits: Limits): Uint8Array {
  const key = utf8(request.key);
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

function unary<Request extends DescMessage, Response extends DescMessage>(
  name: string,
  request: Request,
  response: Response,
): UnaryMethod<MessageShape<Request>, MessageShape<Response>> {
  return {
    path: `/pb.Cache/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message) => asBuffer(toBinary(request, message)),
    requestDeserialize: (bytes) => fromBinary(request, bytes),
    responseSerialize: (message) => asBuffer(toBinary(response, message)),
    responseDeserialize: (bytes) => fromBinary(response, bytes),
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
