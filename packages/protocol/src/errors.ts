/**
 * The one table of what can go wrong: a code, and what each protocol calls it.
 * gRPC numbers are those of the gRPC status code registry; the HTTP ones of RFC 9110 (507: RFC 4918, 429: RFC 6585).
 */
export interface ErrorRow {
  readonly grpc: number;
  readonly http: number;
  readonly resp: string;
}

export type ErrorCode =
  | 'bad-argument'
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'timeout'
  | 'method-not-allowed'
  | 'precondition-failed'
  | 'too-large'
  | 'key-reused'
  | 'busy'
  | 'overloaded'
  | 'internal'
  | 'no-leader'
  | 'not-ready'
  | 'not-leader'
  | 'stopping'
  | 'unknown-outcome'
  | 'session-expired'
  | 'full'
  | 'disk-full';

export const errorTable: Readonly<Record<ErrorCode, ErrorRow>> = {
  /** A key, value, option or body that no server would take. */
  'bad-argument': { grpc: 3, http: 400, resp: 'ERR' },
  unauthenticated: { grpc: 16, http: 401, resp: 'NOAUTH' },
  /** Known, but not allowed to; also a browser's cross-origin write. */
  forbidden: { grpc: 7, http: 403, resp: 'NOPERM' },
  'not-found': { grpc: 5, http: 404, resp: 'ERR' },
  /**
   * HTTP: the request did not come whole in its time. gRPC: the time that the client gave the call was over, before
   * a leader took it where it would change something. Nothing was done.
   */
  timeout: { grpc: 4, http: 408, resp: 'ERR' },
  'method-not-allowed': { grpc: 12, http: 405, resp: 'ERR' },
  'precondition-failed': { grpc: 9, http: 412, resp: 'ERR' },
  'too-large': { grpc: 3, http: 413, resp: 'ERR' },
  /** Another request came under the same Idempotency-Key before; nothing was done. */
  'key-reused': { grpc: 9, http: 422, resp: 'ERR' },
  /** A bounded queue is full; nothing was done, try again later. */
  busy: { grpc: 8, http: 429, resp: 'BUSY' },
  /** All clients together send more at once than this node holds; nothing was done, others may have room. */
  overloaded: { grpc: 8, http: 503, resp: 'BUSY' },
  internal: { grpc: 13, http: 500, resp: 'ERR' },
  /** No leader within the time given; nothing was done. */
  'no-leader': { grpc: 14, http: 503, resp: 'CLUSTERDOWN' },
  /** This node has none of the cluster's data yet; nothing was done, others have it. */
  'not-ready': { grpc: 14, http: 503, resp: 'LOADING' },
  /** Only the leader does this; nothing was done, and the message names who leads. */
  'not-leader': { grpc: 14, http: 503, resp: 'CLUSTERDOWN' },
  /** This node is stopping; nothing was done. */
  stopping: { grpc: 14, http: 503, resp: 'LOADING' },
  /** It may or may not have been applied: read before you write again. */
  'unknown-outcome': { grpc: 4, http: 504, resp: 'UNKNOWN' },
  /** The write's session is gone: it was not applied now; if it was sent before, whether it was then is not known. */
  'session-expired': { grpc: 10, http: 504, resp: 'UNKNOWN' },
  /** The cache is full and evicts nothing. */
  full: { grpc: 8, http: 507, resp: 'OOM' },
  'disk-full': { grpc: 8, http: 507, resp: 'MISCONF' },
};

/** The error every part of the server gives; its message says what happened, where, and what is allowed. */
export class DcacheError extends Error {
  override readonly name = 'DcacheError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get httpStatus(): number {
    return errorTable[this.code].http;
  }

  get grpcStatus(): number {
    return errorTable[this.code].grpc;
  }
}

/** Any thrown thing as a `DcacheError`; what is not one already becomes `internal`. */
export function toDcacheError(error: unknown): DcacheError {
  if (error instanceof DcacheError) return error;
  return new DcacheError('internal', error instanceof Error ? error.message : String(error), { cause: error });
}
