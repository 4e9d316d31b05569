import { errorMetadata, toDcacheError } from '@dcache/protocol';
import { Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import type { Access } from '../tokens.js';

/** Throws a `DcacheError` where what is shown does not allow the access. */
export type Authorize = (authorization: string | undefined, access: Access) => void;

/** Calls that need no token: probes. */
const openCalls = /^\/grpc\.health\./;
/** Calls that change nothing. */
const readingCalls =
  /^\/(pb\.Cache\/(Get|GetServers)|dcache\.v1\.Cache\/(Get|GetMany)|dcache\.v1\.Admin\/(Status|SnapshotSave)|grpc\.reflection\.\S+)$/;

/** Refuses gRPC calls without a token that allows them, before a handler sees them. */
export function tokenInterceptor(authorize: Authorize): ServerInterceptor {
  return (method, call) => {
    if (openCalls.test(method.path)) return new ServerInterceptingCall(call);
    const access: Access = readingCalls.test(method.path) ? 'read' : 'write';
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata: Metadata, forward) => {
            try {
              authorize(metadata.get('authorization')[0]?.toString(), access);
            } catch (thrown) {
              const error = toDcacheError(thrown);
              const trailer = new Metadata();
              trailer.set(errorMetadata, error.code);
              call.sendStatus({ code: error.grpcStatus, details: error.message, metadata: trailer });
              return;
            }
            forward(metadata);
          },
        }),
    });
  };
}
