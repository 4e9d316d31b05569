/** Error codes of RFC 9113 §7. */
export const ErrorCode = {
  noError: 0,
  protocolError: 1,
  internalError: 2,
  flowControlError: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSizeError: 6,
  refusedStream: 7,
  cancel: 8,
  compressionError: 9,
  connectError: 10,
  enhanceYourCalm: 11,
  inadequateSecurity: 12,
  http11Required: 13,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** What ends a connection: the other side broke the protocol or went past a limit. */
export class Http2Error extends Error {
  override readonly name = 'Http2Error';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The other side broke the protocol in a way that has no code of its own. */
export function broken(what: string): Http2Error {
  return new Http2Error(ErrorCode.protocolError, what);
}

/** A frame of a length that its type does not have. */
export function wrongSize(what: string, length: number): Http2Error {
  return new Http2Error(ErrorCode.frameSizeError, `${what} of ${length} bytes`);
}

export function windowTooLarge(): Http2Error {
  return new Http2Error(ErrorCode.flowControlError, 'a window above 2^31 - 1');
}
