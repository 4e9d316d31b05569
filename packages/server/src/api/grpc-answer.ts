import type { Logger } from '@dcache/base';
import { errorMetadata, type GrpcMethod, toDcacheError } from '@dcache/protocol';
import { type handleUnaryCall, Metadata, type ServiceError, type UntypedServiceImplementation } from '@grpc/grpc-js';

/** What implements the unary methods of a service. */
export type UnaryCalls<Methods> = {
  readonly [Name in keyof Methods]: Methods[Name] extends GrpcMethod<infer Request, infer Response>
    ? (request: Request, metadata: Metadata) => Promise<Response>
    : never;
};

/** Settles a call with what `run` gives, or with the error of the one table. */
export function unary<Request, Response>(
  run: (request: Request, metadata: Metadata) => Promise<Response>,
  logger: Logger,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    run(call.request, call.metadata).then(
      (response) => callback(null, response),
      (thrown) => callback(toServiceError(thrown, logger)),
    );
  };
}

/** All unary methods of a service. */
export function unaryCalls<Methods>(calls: UnaryCalls<Methods>, logger: Logger): UntypedServiceImplementation {
  return Object.fromEntries(
    Object.entries(calls).map(([name, run]) => [name, unary(run as (request: object) => Promise<object>, logger)]),
  );
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
