/**
 * Pure tests of a connection's first bytes. A matcher answers `yes`, `no`, or `more` when the bytes so far are only a
 * beginning; it is asked again with all bytes from the start, so how they were chunked makes no difference.
 */
export type Match = 'yes' | 'no' | 'more';
export type Matcher = (prefix: Uint8Array) => Match;

/** Any of `first` in the first byte. */
export function firstByte(...first: number[]): Matcher {
  return (prefix) => (prefix.length === 0 ? 'more' : first.includes(prefix[0]!) ? 'yes' : 'no');
}

/** These bytes, from the first on. */
export function preface(bytes: Uint8Array): Matcher {
  return (prefix) => {
    const length = Math.min(prefix.length, bytes.length);
    for (let i = 0; i < length; i++) if (prefix[i] !== bytes[i]) return 'no';
    return prefix.length >= bytes.length ? 'yes' : 'more';
  };
}

/** HTTP/2 with prior knowledge: the client connection preface of RFC 9113 §3.4. gRPC without TLS begins so. */
export const http2: Matcher = preface(ascii('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));

/** A TLS record of type handshake and version 3.x: RFC 8446 §5.1. */
export const tls: Matcher = (prefix) => {
  if (prefix.length === 0) return 'more';
  if (prefix[0] !== 0x16) return 'no';
  if (prefix.length === 1) return 'more';
  return prefix[1] === 0x03 ? 'yes' : 'no';
};

/**
 * An HTTP/1 request line: `method SP target SP HTTP/1.`, RFC 9112 §3. The version is demanded because an inline command
 * of another protocol may begin with `GET ` too. Empty lines before the request line are allowed, as §2.2 asks.
 */
export const http1: Matcher = (prefix) => {
  let at = 0;
  while (prefix[at] === 0x0d || prefix[at] === 0x0a) if (++at > 8) return 'no';
  const methodStart = at;
  while (at < prefix.length && isToken(prefix[at]!)) if (++at - methodStart > 32) return 'no';
  if (at === prefix.length) return 'more';
  if (at === methodStart || prefix[at] !== 0x20) return 'no';
  const lineEnd = prefix.indexOf(0x0a, at);
  const line = prefix.subarray(at, lineEnd === -1 ? prefix.length : lineEnd);
  const space = line.lastIndexOf(0x20);
  const version = line.subarray(space + 1);
  const isVersion = space > 0 && beginsHttp1(version);
  if (isVersion) return 'yes';
  return lineEnd === -1 ? 'more' : 'no';
};

/** Whether `bytes` begin `HTTP/1.` in full. */
function beginsHttp1(bytes: Uint8Array): boolean {
  return bytes.length >= versionStart.length && versionStart.every((byte, i) => bytes[i] === byte);
}

const versionStart = ascii('HTTP/1.');

/** The characters of a method: `token` of RFC 9110 §5.6.2, letters only as every registered method is. */
function isToken(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x2d || byte === 0x5f;
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}
