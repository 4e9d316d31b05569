import { DcacheError } from './errors.js';

/** Bytes of the longest key that is taken. */
export const maxIdempotencyKeyBytes = 255;

/**
 * What an `Idempotency-Key` header names, undefined where there is none. The draft wants a quoted string (RFC 8941
 * §3.3.3); the many clients that send the bare text mean the same key. Throws `bad-argument` for an empty key, one of
 * more than 255 bytes, several keys or parameters: a key that was guessed at would protect nothing.
 *
 * @see draft-ietf-httpapi-idempotency-key-header-07 §2.1
 */
export function parseIdempotencyKey(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  const key = typeof header === 'string' ? (quoted(header) ?? bare.exec(header)?.[0]) : undefined;
  if (key === undefined || key.length > maxIdempotencyKeyBytes)
    throw new DcacheError(
      'bad-argument',
      `Idempotency-Key is ${JSON.stringify(String(header).slice(0, 40))}; it takes one key of 1 to ${maxIdempotencyKeyBytes} visible ASCII characters, quoted or not, such as "8e03978e-40d5-43dd-bc93-6894a57f9324"`,
    );
  return key;
}

/** Visible ASCII without quotes, backslashes and the comma that would join two headers. */
const bare = /^[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+$/;
const sfString = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"$/;

function quoted(header: string): string | undefined {
  return sfString.exec(header)?.[1]?.replace(/\\(.)/g, '$1');
}
