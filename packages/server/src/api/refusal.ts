import type { ErrorCode } from '@dcache/protocol';

/**
 * A whole HTTP answer for a connection on which no request was understood, in the shape that every error has: a line of
 * text, its code in `dcache-error`. The connection ends with it. `more` is whole header lines.
 */
export function refusal(status: string, code: ErrorCode, text: string, more = ''): string {
  return `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(text) + 1}\r\ndcache-error: ${code}\r\n${more}\r\n${text}\n`;
}
