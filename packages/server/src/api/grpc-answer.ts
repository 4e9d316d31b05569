import { type Logger, utf8 } from '@dcache/base';
import { errorMetadata, type GrpcMethod, toDcacheError } from '@dcache/protocol';
import { type handleUnaryCall, Metadata, type ServiceError, type UntypedServiceImplementation } from '@grpc/grpc-js';
import type { RequestMetrics } from '../observe/metrics-requests.js';

/** What a call is beside its request. */
export interface CallOf {
  readonly metadata: Metadata;
  /** When to stop waiting for its client, by `Clock.monotonicMs`; infinite where it did not say. */
  readonly deadlineMs: number;
}

/** What implements the unary methods of a service. */
export type UnaryCalls<Methods> = {
  readonly [Name in keyof Methods]: Methods[Name] extends GrpcMethod<infer Request, infer Response>
    ? (request: Request, call: CallOf) => Promise<Response>
    : never;
};

/** Settles a call with what `run` gives, or with the error of the one table. */
export function unary<Request, Response>(
  run: (request: Request, call: CallOf) => Promise<Response>,
  logger: Logger,
  timed?: { readonly metrics: RequestMetrics; readonly verb: string } | undefined,
): handleUnaryCall<Request, Response> {
  if (!timed)
    return (call, callback) => {
      run(call.request, ofGrpc(call)).then(
        (response) => callback(null, response),
        (thrown) => callback(toServiceError(thrown, logger)),
      );
    };
  const { metrics } = timed;
  const series = metrics.of('grpc', timed.verb);
  return (call, callback) => {
    const startMs = performance.now();
    const about = { id: metrics.nextId(), key: keyOf(call.request), headers: call.metadata };
    run(call.request, ofGrpc(call)).then(
      (response) => {
        callback(null, response);
        metrics.done(series, startMs, about);
      },
      (thrown) => {
        callback(toServiceError(thrown, logger));
        metrics.done(series, startMs, { ...about, error: toDcacheError(thrown) });
      },
    );
  };
}

/** All unary methods of a service. */
export function unaryCalls<Methods>(
  calls: UnaryCalls<Methods>,
  logger: Logger,
  metrics?: RequestMetrics | undefined,
): UntypedServiceImplementation {
  return Object.fromEntries(
    Object.entries(calls).map(([name, run]) => {
      const verb = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return [name, unary(run as (request: object) => Promise<object>, logger, metrics && { metrics, verb })];
    }),
  );
}

/**
 * Milliseconds between who waits for a leader, who can say that nothing was done, and the server, which at the deadline
 * only knows that a handler is at work. With the same moment for both, either could be first.
 */
const aheadMs = 10;

/** The calls of our server have grpc-js's shape, and know their time beside it. */
function ofGrpc(call: { readonly metadata: Metadata }): CallOf {
  const { metadata, deadlineMs } = call as CallOf;
  return { metadata, deadlineMs: deadlineMs - aheadMs };
}

/** The key that a request names, for the slow log; of several none. */
function keyOf(request: unknown): Uint8Array | undefined {
  const { key } = request as { readonly key?: unknown };
  if (typeof key === 'string') return utf8(key);
  return key instanceof Uint8Array ? key : undefined;
}

/** Any thrown thing as gRPC shows it: the status and message, and the exact code in the trailing metadata. */
export function toServiceError(
  thrown: unknown,
  logger: Logger,
): Pick<ServiceError, 'code' | 'details' | 'metadata'> & Error {
  const error = toDcacheError(thrown);
  if (error.code === 'internal') logger.error({ err: thrown }, 'a call failed');
  const metadata = new Metadata();
  metadata.set(errorMetadata, error.code);
  return Object.assign(new Error(error.message), { code: error.grpcStatus, details: error.message, metadata });
}
