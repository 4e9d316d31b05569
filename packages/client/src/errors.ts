import { type ErrorCode, errorMetadata, errorTable } from '@dcache/protocol';
import { type ServiceError, status } from '@grpc/grpc-js';
import { type ClientErrorReason, type ConnectFault, noAnswer, notGrpc, socketFault } from './connect-fault.js';

/**
 * What went wrong, by what is known of the call:
 * - `unavailable`: no server took the call in time, or the cluster had no leader; nothing was done. See `reason`
 * - `unknown-outcome`: a write may or may not have been applied; read before you write again
 * - `timeout`: a read was not answered in time
 * - `aborted`: the signal ended the call; a write had not been sent
 * - `closed`: the client was closed; a write had not been sent
 * - `busy`: a queue of the server or of this client is full; nothing was done, try again later
 * - `bad-argument`, `too-large`, `not-found`, `precondition-failed`, `unauthenticated`, `forbidden`, `full`, `disk-full`,
 *   `not-leader`: the server refused; nothing was done
 * - `unsupported`: the server does not know this call
 * - `internal`: anything else; the message tells
 */
export type ClientErrorCode =
  | 'unavailable'
  | 'unknown-outcome'
  | 'timeout'
  | 'aborted'
  | 'closed'
  | 'busy'
  | 'bad-argument'
  | 'too-large'
  | 'not-found'
  | 'precondition-failed'
  | 'unauthenticated'
  | 'forbidden'
  | 'full'
  | 'disk-full'
  | 'not-leader'
  | 'unsupported'
  | 'internal';

/** The one error class of this package. A missing key is `undefined` or `false`, never an error. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ClientErrorCode;
  /** Why there was no answer, where that can be told; undefined otherwise. */
  readonly reason: ClientErrorReason | undefined;

  constructor(
    code: ClientErrorCode,
    message: string,
    options: ErrorOptions & { readonly reason?: ClientErrorReason | undefined } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : {});
    this.code = code;
    this.reason = options.reason;
  }
}

/**
 * How one attempt at one server failed. `final`: the server has decided, asking again changes nothing. `undone`: it was
 * certainly not applied, another server may take it. `unknown`: it may have been applied.
 */
export interface Failure {
  readonly kind: 'final' | 'undone' | 'unknown' | 'session-expired';
  readonly error: ClientError;
  /** The server cannot be reached, or does not answer: others should be asked first for a while. */
  readonly isLinkDown: boolean;
  /** No connection could be made at all. */
  readonly isNobody?: boolean;
  /** What is known of why no connection could be made. */
  readonly fault?: ConnectFault | undefined;
}

/** What the server's own codes mean for a client that could ask again. */
const undone: ReadonlySet<string> = new Set(['no-leader', 'not-leader', 'not-ready', 'stopping', 'timeout']);

const statuses: Partial<Record<number, ClientErrorCode>> = {
  [status.NOT_FOUND]: 'not-found',
  [status.INVALID_ARGUMENT]: 'bad-argument',
  [status.FAILED_PRECONDITION]: 'precondition-failed',
  [status.RESOURCE_EXHAUSTED]: 'busy',
  [status.UNAUTHENTICATED]: 'unauthenticated',
  [status.PERMISSION_DENIED]: 'forbidden',
  [status.UNIMPLEMENTED]: 'unsupported',
};

/**
 * Understands how a call at `address` failed. `seen` is what its last connection came to, `contentType` that of an answer
 * which had begun.
 */
export function toFailure(error: ServiceError, address: string, seen?: ConnectFault, contentType?: string): Failure {
  const told = error.metadata?.get(errorMetadata)[0];
  if (typeof told === 'string' && Object.hasOwn(errorTable, told)) return fromServer(told as ErrorCode, error, address);
  const { details } = error;
  const foreign = ofOtherHttp(details, contentType ?? error.metadata?.get('content-type')[0]?.toString());
  if (foreign) return noConnection(address, error, foreign.fault, foreign.kind);
  const fail = (kind: Failure['kind'], code: ClientErrorCode, isLinkDown: boolean, message = details): Failure => ({
    kind,
    isLinkDown,
    error: new ClientError(code, `${address}: ${message}`, { cause: error }),
  });
  switch (error.code) {
    case status.UNAVAILABLE:
      // The library says so where no connection was there to send on; else the request may have left.
      if (/^No connection established|^Name resolution failed/.test(details))
        return noConnection(address, error, socketFault(details) ?? (/Protocol error/.test(details) ? notGrpc : seen));
      return fail('unknown', 'unavailable', true);
    case status.DEADLINE_EXCEEDED:
      // What the call was waiting for stands last; before it may stand how long earlier steps took.
      return /(Waiting for LB pick|waiting for name resolution)$/.test(details)
        ? noConnection(address, error, seen ?? noAnswer)
        : fail('unknown', 'timeout', true, 'no answer in time');
    case status.CANCELLED:
    case status.UNKNOWN:
    case status.INTERNAL:
    case status.DATA_LOSS:
      return fail('unknown', 'internal', false);
    case status.RESOURCE_EXHAUSTED:
      if (/larger than max|^a message above/.test(details)) return tooLarge(error, address);
      return fail('final', 'busy', false);
    default:
      return fail('final', statuses[error.code] ?? 'internal', false);
  }
}

/**
 * What answers HTTP/2 without being a gRPC server: with a status that a gRPC server never gives, or with a page. What was
 * refused or sent elsewhere was not done, nor was what a page of another type answers: every answer of gRPC, also through a
 * proxy that knows it, names its type. (gRPC over HTTP/2, Responses) One without a type, or broken off, may be anything.
 */
function ofOtherHttp(
  details: string,
  contentType: string | undefined,
): { readonly fault: ConnectFault; readonly kind: Failure['kind'] } | undefined {
  const http = /^Received HTTP status code ([34]\d\d)$/.exec(details)?.[1];
  // What asks to come again later is a proxy's word about a server behind it.
  if (http !== undefined && http !== '408' && http !== '429')
    return { fault: { ...notGrpc, text: `answers with HTTP status ${http}, and does not speak gRPC` }, kind: 'undone' };
  if (!/Call ended without gRPC status|^Received HTTP status code 200$/.test(details)) return undefined;
  const isOfAnother = contentType !== undefined && !/^application\/grpc\b/i.test(contentType);
  return { fault: notGrpc, kind: isOfAnother ? 'undone' : 'unknown' };
}

/** No connection was there, so that nothing was sent, unless `kind` says otherwise. */
export function noConnection(
  address: string,
  cause: Error,
  fault: ConnectFault | undefined,
  kind: Failure['kind'] = 'undone',
): Failure {
  const message = fault ? `${address} ${fault.text}` : `${address}: no connection could be made`;
  const error = new ClientError('unavailable', message, { cause, reason: fault?.reason });
  return { kind, isLinkDown: true, isNobody: true, fault, error };
}

function fromServer(code: ErrorCode, error: ServiceError, address: string): Failure {
  const fail = (kind: Failure['kind'], ours: ClientErrorCode): Failure => ({
    kind,
    // What stops or has no leader may be better next time, so it stays in use, but others are asked first.
    isLinkDown: code === 'stopping',
    error: new ClientError(ours, isOfAll(code) ? error.details : `${address}: ${error.details}`, {
      cause: error,
      // `timeout`: the time of this attempt was over, it may be because no leader took it.
      reason: code === 'no-leader' || (code === 'timeout' && /leader/.test(error.details)) ? 'no-leader' : undefined,
    }),
  });
  if (undone.has(code)) return fail('undone', code === 'not-leader' ? 'not-leader' : 'unavailable');
  if (code === 'unknown-outcome') return fail('unknown', 'unknown-outcome');
  if (code === 'session-expired') return fail('session-expired', 'unknown-outcome');
  // Only HTTP carries such keys.
  if (code === 'key-reused') return fail('final', 'bad-argument');
  if (code === 'method-not-allowed') return fail('final', 'unsupported');
  if (code === 'no-leader' || code === 'not-ready' || code === 'stopping' || code === 'timeout')
    return fail('undone', 'unavailable');
  if (code === 'overloaded') return fail('final', 'busy');
  // A message far above the limit is refused before it is read, by a part of the server that does not know why.
  if (code === 'too-large' && error.code === status.RESOURCE_EXHAUSTED) return tooLarge(error, address);
  return fail('final', code);
}

function tooLarge(cause: ServiceError, address: string): Failure {
  const message = `${address}: the request is too large: ${cause.details} (--max-value-bytes)`;
  return { kind: 'final', isLinkDown: false, error: new ClientError('too-large', message, { cause }) };
}

/** What any server of the cluster would say, so that it does not matter who did. */
function isOfAll(code: ErrorCode): boolean {
  return ['bad-argument', 'not-found', 'precondition-failed', 'too-large', 'key-reused', 'full'].includes(code);
}
