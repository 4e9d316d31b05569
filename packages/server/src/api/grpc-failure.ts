import type { Fault, StatusError } from '@dcache/grpc';
import { type ErrorCode, errorMetadata, errorTable } from '@dcache/protocol';
import { changesNothing } from './access.js';

/** What the gRPC server finds wrong with a call by itself, in terms of the one error table. */
const codes: Readonly<Record<Exclude<Fault, 'unfinished' | 'not-taken'>, ErrorCode>> = {
  'no-method': 'method-not-allowed',
  'bad-request': 'bad-argument',
  'too-large': 'too-large',
  'too-late': 'timeout',
  'no-room': 'overloaded',
  'not-read': 'busy',
  'handler-failed': 'internal',
};

/** Names the exact error of a failed call in its trailers, where none of our handlers has done so. */
export function nameFailure(error: StatusError, path = ''): StatusError {
  // Our handlers, and the check of tokens, name theirs.
  if (error.fault === undefined && error.metadata) return error;
  const trailers = { ...error.metadata?.getMap(), [errorMetadata]: codeOf(error, path) };
  return { ...error, metadata: { getMap: () => trailers } };
}

function codeOf({ fault, code }: StatusError, path: string): ErrorCode {
  switch (fault) {
    case 'unfinished':
      return changesNothing(path) ? 'timeout' : 'unknown-outcome';
    case 'not-taken':
      // It was done, and the answer is lost.
      return changesNothing(path) ? 'busy' : 'unknown-outcome';
    case undefined:
      return ofStatus.get(code ?? 0) ?? 'internal';
    default:
      return codes[fault];
  }
}

/** For handlers that are not ours, health and reflection: the first code of the table that has the status. */
const ofStatus: ReadonlyMap<number, ErrorCode> = new Map(
  (Object.keys(errorTable) as ErrorCode[]).reverse().map((code) => [errorTable[code].grpc, code] as const),
);
