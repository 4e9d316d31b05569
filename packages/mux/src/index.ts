/**
 * One TCP port, many protocols, told apart by their first bytes.
 *
 * ```ts
 * import { createServer } from 'node:http';
 * import { http1, Mux } from '@dcache/mux';
 *
 * const web = createServer((_, response) => response.end('hello\n'));
 * const mux = new Mux({
 *   routes: [{ name: 'http', matcher: http1, accept: (socket) => { web.emit('connection', socket); socket.resume(); } }],
 * });
 * await mux.listen('127.0.0.1', 8080);
 * ```
 *
 * Read next: `matchers.ts` (pure: bytes to yes, no or more), then `mux.ts`.
 */
export { MuxError, type MuxErrorCode } from './errors.js';
export { firstByte, http1, http2, type Match, type Matcher, preface, tls } from './matchers.js';
export { Mux, type MuxOptions, type MuxStats, type Route } from './mux.js';
