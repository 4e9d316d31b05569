import type { HttpHeaders } from '@dcache/protocol';

/** A request whose head is here and plain. */
export interface PlainRequest {
  readonly method: string;
  readonly target: string;
  /** Names in lower case; shared by requests with the same headers, so never to be changed. */
  readonly headers: HttpHeaders;
  /** Where the body begins in the bytes that were read, and how long it is. */
  readonly bodyStart: number;
  readonly bodyBytes: number;
}

/** A head without its end that is longer is none of ours. */
const maxHeadBytes = 16_384;
const maxHeaders = 64;

/** GET, HEAD and DELETE have no body here, POST and PUT say its length. */
const methods: Readonly<Record<string, 'no body' | 'body'>> = {
  GET: 'no body',
  HEAD: 'no body',
  DELETE: 'no body',
  POST: 'body',
  PUT: 'body',
};

/** Headers that change how a message is read or what becomes of its connection, and what node:http treats as nothing else. */
const notPlain = new Set([
  '__proto__',
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** RFC 9110 §5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Visible ASCII, and within a value spaces (RFC 9110 §5.5); bytes above are left to who knows more of them. */
const visible = /^[!-~]+$/;
const valueText = /^(?:[!-~](?:[ -~]*[!-~])?)?$/;

const crlf = '\r\n\r\n';

/**
 * Reads the head of a request only if nothing about it is rare or doubtful (RFC 9112): a known method, HTTP/1.1, one
 * Host, each header once, its value without control characters, a body that is measured by one Content-Length. All else
 * is `other`, never an error: whether it is one is for a complete parser to say.
 */
export class PlainRequests {
  /** The header lines of the last request, and what they say: a connection's requests mostly have the same. */
  #lastLines: string | undefined;
  #lastHeaders: HttpHeaders = {};
  #lastLength: number | undefined;

  /** The request at the beginning of `bytes`, or `more` while its head is not complete, or `other`. */
  read(bytes: Buffer): PlainRequest | 'more' | 'other' {
    const end = bytes.indexOf(crlf);
    if (end === -1) return bytes.length > maxHeadBytes ? 'other' : 'more';
    if (end > maxHeadBytes) return 'other';
    const head = bytes.toString('latin1', 0, end + 2);
    const lineEnd = head.indexOf('\r\n');
    const methodEnd = head.indexOf(' ');
    const targetEnd = head.indexOf(' ', methodEnd + 1);
    if (methodEnd === -1 || targetEnd === -1 || targetEnd > lineEnd) return 'other';
    if (lineEnd !== targetEnd + 9 || !head.startsWith(' HTTP/1.1', targetEnd)) return 'other';
    const method = head.slice(0, methodEnd);
    const kind = Object.hasOwn(methods, method) ? methods[method] : undefined;
    const target = head.slice(methodEnd + 1, targetEnd);
    if (kind === undefined || !visible.test(target)) return 'other';
    const lines = head.slice(lineEnd + 2);
    if (lines !== this.#lastLines && !this.#readLines(lines)) return 'other';
    const length = this.#lastLength;
    if (kind === 'body' ? length === undefined : length !== undefined && length > 0) return 'other';
    return { method, target, headers: this.#lastHeaders, bodyStart: end + 4, bodyBytes: length ?? 0 };
  }

  #readLines(lines: string): boolean {
    const headers: Record<string, string> = Object.create(null);
    let count = 0;
    for (let at = 0; at < lines.length; ) {
      const end = lines.indexOf('\r\n', at);
      const colon = lines.indexOf(':', at);
      if (colon === -1 || colon > end || ++count > maxHeaders) return false;
      const name = lines.slice(at, colon);
      const lower = name.toLowerCase();
      const value = lines.slice(colon + 1, end).replace(/^[ \t]+|[ \t]+$/g, '');
      if (!token.test(name) || !valueText.test(value) || lower in headers) return false;
      if (notPlain.has(lower) && !(lower === 'connection' && value.toLowerCase() === 'keep-alive')) return false;
      headers[lower] = value;
      at = end + 2;
    }
    const { host, 'content-length': length } = headers;
    if (host === undefined || (length !== undefined && !/^\d{1,15}$/.test(length))) return false;
    this.#lastLines = lines;
    this.#lastHeaders = headers;
    this.#lastLength = length === undefined ? undefined : Number(length);
    return true;
  }
}
