/** Status codes of gRPC that the transport itself gives (gRPC over HTTP/2, and `status.proto`'s numbers). */
export const Status = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/**
 * What the server itself finds wrong with a call, finer than the status:
 * - `no-method`: there is no such method
 * - `bad-request`: an encoding, a `grpc-timeout` or a body that is none, or not that of the method
 * - `too-large`: a message, or the metadata, beyond the limit
 * - `too-late`: the client's time was over before a handler saw the call
 * - `unfinished`: it was over while the handler was at work
 * - `no-room`: too much comes in on all connections together
 * - `not-read`: messages of the call wait for its handler, more than may
 * - `not-taken`: the handler has answered, and other answers wait for this client, more than may
 * - `handler-failed`: the handler threw, or answered what cannot be encoded
 */
export type Fault =
  | 'no-method'
  | 'bad-request'
  | 'too-large'
  | 'too-late'
  | 'unfinished'
  | 'no-room'
  | 'not-read'
  | 'not-taken'
  | 'handler-failed';

/** How a call fails; the shape in which grpc-js's handlers tell it. */
export interface StatusError {
  /** Where this server, and no handler, ends the call: why. */
  readonly fault?: Fault;
  readonly code?: number;
  readonly details?: string;
  readonly message?: string;
  /** More trailers. */
  readonly metadata?: { getMap(): Readonly<Record<string, string | Uint8Array>> } | undefined;
}

/** Names that a handler may not set as trailers: they are the transport's. */
const reserved = /^(grpc-(status|message)$|:|content-type$|te$|connection$|transfer-encoding$)/;

/** A failure as headers: names and values in turn. Values with the name `…-bin` go as Base64. */
export function statusHeaders(error: StatusError): readonly string[] {
  const { code, details, message, metadata } = error;
  const headers = ['grpc-status', String(Number.isInteger(code) ? code : Status.unknown)];
  const text = details ?? message ?? '';
  if (text !== '') headers.push('grpc-message', percentEncode(text));
  for (const [name, value] of Object.entries(metadata?.getMap() ?? {})) {
    if (reserved.test(name)) continue;
    const bytes = typeof value === 'string' ? undefined : Buffer.from(value).toString('base64').replace(/=+$/, '');
    headers.push(name.toLowerCase(), bytes ?? String(value).replace(/[^\x20-\x7e]/g, '?'));
  }
  return headers;
}

/** A message longer than this is cut: header lists have limits at the other side too. */
const maxMessageBytes = 4_096;

/** `grpc-message`: UTF-8 with all but printable ASCII, and `%`, escaped (gRPC over HTTP/2, "Responses"). */
function percentEncode(text: string): string {
  if (text.length <= maxMessageBytes && /^[\x20-\x24\x26-\x7e]*$/.test(text)) return text;
  let encoded = '';
  for (const byte of Buffer.from(text.slice(0, maxMessageBytes)))
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return encoded;
}
