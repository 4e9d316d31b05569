/**
 * A gRPC server on its own HTTP/2, made for many small calls: what costs a call elsewhere is a stream object, a header
 * object and a turn through native code; here it is a few dozen bytes read and written. Services and handlers have the
 * shapes of `@grpc/grpc-js`, so generated code, `grpc-health-check` and `@grpc/reflection` go with it.
 *
 * ```ts
 * import { createServer } from 'node:net';
 * import { GrpcServer } from '@dcache/grpc';
 *
 * const grpc = new GrpcServer();
 * grpc.addService(greeterService, {
 *   sayHello: (call, answer) => answer(null, { message: `Hello ${call.request.name}` }),
 * });
 * createServer({ noDelay: true }, (socket) => grpc.accept(socket)).listen(50051, '127.0.0.1');
 * ```
 *
 * Read in this order: `server.ts`, `session.ts` (one connection), `active-call.ts` (one call), `core/connection.ts`
 * (HTTP/2 without sockets), `core/header-decoder.ts` (HPACK).
 */
export { StreamCall, UnaryCall } from './call.js';
export {
  Connection,
  type ConnectionEvents,
  type ConnectionLimits,
  defaultConnectionLimits,
} from './core/connection.js';
export { type HeaderList, tooLong } from './core/header-decoder.js';
export { ErrorCode, Http2Error } from './core/http2-error.js';
export { Stream } from './core/stream.js';
export { CallMetadata } from './metadata.js';
export type { Method } from './method.js';
export { GrpcServer, type GrpcServerOptions } from './server.js';
export type { Answer, Handler, Implementation, Service } from './service.js';
export type { Authorize, OnFailure } from './session.js';
export { type Fault, Status, type StatusError } from './status.js';
