import type { CallMetadata, StatusError } from '@dcache/grpc';
import { errorMetadata, toDcacheError } from '@dcache/protocol';
import type { Access } from '../security/tokens.js';

/** Throws a `DcacheError` where what is shown does not allow the access. */
export type Authorize = (authorization: string | undefined, access: Access) => void;

/** Calls that need no token: probes. */
const openCalls = /^\/grpc\.health\./;
/** Calls that change nothing. */
const readingCalls =
  /^\/(pb\.Cache\/(Get|GetServers)|dcache\.v1\.Cache\/(Get|GetMany)|dcache\.v1\.Admin\/(Status|SnapshotSave)|grpc\.reflection\.\S+)$/;

/** Whether a gRPC call leaves everything as it is. */
export function changesNothing(path: string): boolean {
  return openCalls.test(path) || readingCalls.test(path);
}

/** Refuses gRPC calls without a token that allows them, before a handler sees them. */
export function checkTokens(authorize: Authorize): (path: string, metadata: CallMetadata) => StatusError | undefined {
  return (path, metadata) => {
    if (openCalls.test(path)) return undefined;
    try {
      authorize(metadata.get('authorization')[0]?.toString(), readingCalls.test(path) ? 'read' : 'write');
      return undefined;
    } catch (thrown) {
      const error = toDcacheError(thrown);
      const trailers = { [errorMetadata]: error.code };
      return { code: error.grpcStatus, details: error.message, metadata: { getMap: () => trailers } };
    }
  };
}
