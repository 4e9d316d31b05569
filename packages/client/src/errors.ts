import { type ServiceError, status } from '@grpc/grpc-js';

/**
 * - `unavailable`: no server answered, or the cluster had no leader in time; nothing was done
 * - `not-found`: the key does not exist (only where a miss is an error)
 * - `bad-argument`, `precondition-failed`, `busy`, `unauthenticated`, `forbidden`: the server refused
 * - `unknown-outcome`: the write may or may not have been applied
 * - `internal`: anything else; the message tells
 */
export type ClientErrorCode =
  | 'unavailable'
  | 'not-found'
  | 'bad-argument'
  | 'precondition-failed'
  | 'busy'
  | 'unauthenticated'
  | 'forbidden'
  | 'unknown-outcome'
  | 'internal';

export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ClientErrorCode;

  constructor(code: ClientErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

const codes: Partial<Record<number, ClientErrorCode>> = {
  [status.UNAVAILABLE]: 'unavailable',
  [status.NOT_FOUND]: 'not-found',
  [status.INVALID_ARGUMENT]: 'bad-argument',
  [status.FAILED_PRECONDITION]: 'precondition-failed',
  [status.RESOURCE_EXHAUSTED]: 'busy',
  [status.UNAUTHENTICATED]: 'unauthenticated',
  [status.PERMISSION_DENIED]: 'forbidden',
  [status.DEADLINE_EXCEEDED]: 'unknown-outcome',
};

/** A gRPC status in this package's words. */
export function fromServiceError(error: ServiceError, address: string): ClientError {
  const code = codes[error.code] ?? 'internal';
  const message = code === 'unavailable' ? `${address}: ${error.details}` : error.details;
  return new ClientError(code, message, { cause: error });
}
