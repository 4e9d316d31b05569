import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from '@dcache/base';
import {
  allowedMethods,
  type Command,
  type CommandHandler,
  CommandType,
  checkReply,
  DcacheError,
  formatEtag,
  type HttpRequest,
  httpFoundHeaders,
  httpWriteCommand,
  isUnchanged,
  type Limits,
  parseHttpRequest,
  toDcacheError,
} from '@dcache/protocol';
import type { RequestMetrics, RequestSeries } from '../metrics-requests.js';
import type { Authorize } from './access.js';
import { readBody } from './body.js';
import { BodyBudget } from './body-budget.js';
import { withIdempotency } from './idempotency.js';
import { type InternalAnswer, isOpenPath } from './internal.js';
import { checkOrigin } from './origin.js';

export interface HttpApiOptions {
  readonly handler: CommandHandler;
  readonly limits: Limits;
  /** Answers the server's own paths, `/-/…`; undefined where there is none. */
  readonly internal: (path: string) => InternalAnswer | undefined | Promise<InternalAnswer | undefined>;
  readonly logger: Logger;
  /** Default: everybody may do everything. */
  readonly authorize?: Authorize;
  /** Where requests are counted; default nowhere. */
  readonly metrics?: RequestMetrics;
  /** How long a client may take, in milliseconds: for the headers, for a whole request. Default 60,000 and 300,000. */
  readonly headersTimeoutMs?: number;
  readonly requestTimeoutMs?: number;
  /** Bytes of bodies that are coming in at once, of all connections; more are 503. Default 256 MiB. */
  readonly maxHeldBytes?: number;
  /** Throws for a `Host` that is not this server's; default any will do. */
  readonly checkHost?: (host: string | undefined) => void;
}

/** Requests that a client may have unanswered on one connection; one that sends more without reading is cut off. */
const maxPending = 1_000;

/** What is under way on one connection; more than one request only where the client does not wait for answers. */
interface Connection {
  readonly pending: Set<IncomingMessage>;
  /** Those of `pending` that may change something. */
  unsafe: number;
  /** Settles when all requests so far are answered. */
  tail: Promise<unknown>;
  /** What is still to be said once they are. */
  last?: () => void;
}

/** HTTP/1.1 on sockets that somebody else accepted. All meaning is in `@dcache/protocol`; here are only sockets. */
export class HttpApi {
  readonly #options: HttpApiOptions;
  readonly #server: Server;
  readonly #connections = new WeakMap<Duplex, Connection>();
  readonly #bodies: BodyBudget;
  readonly #series: Readonly<Record<string, RequestSeries>>;

  constructor(options: HttpApiOptions) {
    this.#options = options;
    const { metrics } = options;
    this.#series = metrics
      ? Object.fromEntries(Object.entries(verbs).map(([method, verb]) => [method, metrics.of('http', verb)] as const))
      : {};
    this.#bodies = new BodyBudget(options.maxHeldBytes ?? Math.max(256 * 1_048_576, 2 * options.limits.maxValueBytes));
    // A key of the longest kind may stand in the request line with every byte escaped.
    const maxHeaderSize = options.limits.maxKeyBytes * 3 + 16_384;
    const headersTimeout = options.headersTimeoutMs ?? 60_000;
    const requestTimeout = options.requestTimeoutMs ?? 300_000;
    this.#server = createServer({
      maxHeaderSize,
      headersTimeout,
      requestTimeout,
      connectionsCheckingInterval: Math.min(30_000, headersTimeout),
      keepAliveTimeout: 60_000,
      noDelay: true,
    });
    this.#server.timeout = 120_000;
    // `printf 'GET /k HTTP/1.1…' | nc` ends its side before the answer is there.
    Object.assign(this.#server, { httpAllowHalfOpen: true });
    // A server that does not listen itself looks after its clients' time only when it is told that it does.
    this.#server.emit('listening');
    this.#server.on('request', (request, response) => this.#queue(request, response));
    this.#server.on('checkContinue', (request, response) => {
      // Who asks before sending a body that is too large is told at once and need not send it.
      if (Number(request.headers['content-length'] ?? 0) <= options.limits.maxValueBytes) response.writeContinue();
      this.#queue(request, response);
    });
    this.#server.on('clientError', (error, socket) => this.#onBrokenRequest(error, socket));
  }

  accept(socket: Socket): void {
    this.#server.emit('connection', socket);
    socket.resume();
  }

  /** Ends the connections that wait for nothing, and the timers. */
  close(): void {
    this.#server.close();
  }

  /** Serves a request, after those before it on its connection unless all of them only read. (RFC 9112 §9.3.2) */
  #queue(request: IncomingMessage, response: ServerResponse): void {
    const { socket, method } = request;
    const connection = this.#connections.get(socket) ?? { pending: new Set(), unsafe: 0, tail: Promise.resolve() };
    this.#connections.set(socket, connection);
    if (connection.pending.size >= maxPending) {
      this.#options.logger.warn({ from: socket.remoteAddress }, `more than ${maxPending} unanswered requests`);
      socket.destroy();
      return;
    }
    const weight = method === 'GET' || method === 'HEAD' ? 0 : 1;
    const mayOvertake = connection.pending.size === 0 || weight + connection.unsafe === 0;
    connection.pending.add(request);
    connection.unsafe += weight;
    response.once('close', () => {
      connection.pending.delete(request);
      connection.unsafe -= weight;
      if (connection.pending.size === 0) connection.last?.();
    });
    if (connection.pending.size === 1) connection.tail = this.#serve(request, response);
    else if (mayOvertake) connection.tail = Promise.all([connection.tail, this.#serve(request, response)]);
    else connection.tail = connection.tail.then(() => this.#serve(request, response));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { metrics } = this.#options;
    const startMs = metrics ? performance.now() : 0;
    const id = metrics?.nextId();
    if (id !== undefined) response.setHeader('dcache-request', id);
    let parsed: HttpRequest | undefined;
    let error: DcacheError | undefined;
    try {
      parsed = this.#parse(request);
      await this.#answer(parsed, request, response);
    } catch (thrown) {
      error = toDcacheError(thrown);
      // In the turn of its head a request without a body does not know yet that it is complete.
      await undefined;
      if (error.code === 'internal') this.#options.logger.error({ err: thrown, url: request.url }, 'a request failed');
      refuse(response, error, request);
    }
    if (!metrics) return;
    const series = parsed?.kind === 'internal' ? undefined : this.#series[request.method ?? ''];
    const key = parsed && 'key' in parsed ? parsed.key : undefined;
    if (series) metrics.done(series, startMs, { id, key, error, headers: request.headers });
    else if (error) metrics.failed('http', error.code);
  }

  #parse(request: IncomingMessage): HttpRequest {
    const { method = '', url = '', headers } = request;
    const parsed = parseHttpRequest(method, url, headers, this.#options.limits);
    this.#options.checkHost?.(headers.host);
    checkOrigin(headers.origin, headers.host);
    this.#authorize(request, parsed);
    return parsed;
  }

  async #answer(parsed: HttpRequest, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { handler, limits } = this.#options;
    switch (parsed.kind) {
      case 'read': {
        const found = await handler.read(parsed.key, { level: parsed.level });
        if (!found) return this.#miss(response, parsed.isHead);
        if (isUnchanged(parsed, found)) {
          response.writeHead(304, { etag: formatEtag(found.revision) });
          response.end();
          return;
        }
        response.writeHead(200, httpFoundHeaders(found));
        if (parsed.isHead) response.end();
        else sendValue(response, found.value);
        return;
      }
      case 'write': {
        const value = await readBody(request, limits.maxValueBytes, this.#bodies);
        return this.#write(response, withIdempotency(httpWriteCommand(parsed, value), parsed.idempotencyKey));
      }
      case 'delete': {
        request.resume();
        const command: Command = { type: CommandType.delete, key: parsed.key, condition: parsed.condition };
        return this.#write(response, withIdempotency(command, parsed.idempotencyKey));
      }
      case 'internal': {
        const { method } = request;
        if (method !== 'GET' && method !== 'HEAD')
          throw new DcacheError('method-not-allowed', `${method} is not supported here; use GET or HEAD`);
        const answer = await this.#options.internal(parsed.path);
        return sendAnswer(response, answer ?? noSuchPage, method === 'HEAD');
      }
    }
  }

  /** Probes and the files of the page need no token: who asks for them has none, and they tell nothing. */
  #authorize(request: IncomingMessage, parsed: HttpRequest): void {
    if (parsed.kind === 'internal' && isOpenPath(parsed.path)) return;
    const access = parsed.kind === 'read' || parsed.kind === 'internal' ? 'read' : 'write';
    this.#options.authorize?.(request.headers.authorization, access);
  }

  /**
   * What the parser cannot read gets a status all the same, as RFC 9112 §2.2 asks, but never in the place of an answer
   * that a request before it still waits for: the client would take it for that one's.
   */
  #onBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const connection = this.#connections.get(socket);
    const pending = [...(connection?.pending ?? [])];
    const isBroken = pending.some((request) => !request.complete);
    if (!connection || pending.length === 0 || (pending.length === 1 && isBroken)) refuseBrokenRequest(error, socket);
    else if (isBroken) socket.destroy();
    else connection.last ??= () => refuseBrokenRequest(error, socket);
  }

  async #write(response: ServerResponse, command: Command): Promise<void> {
    const revision = checkReply(await this.#options.handler.write(command));
    response.writeHead(200, { etag: formatEtag(revision), 'content-length': 0 });
    response.end();
  }

  #miss(response: ServerResponse, isHead: boolean): void {
    const body = 'no such key\n';
    response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8', 'content-length': body.length });
    response.end(isHead ? undefined : body);
  }
}

/** Below this many bytes a copy is cheaper than a second buffer in the system call. */
const joinedValueBytes = 4_096;

/**
 * A small value goes out as a Latin-1 string, one byte a character: node:http joins it to the headers and writes both as
 * one, where bytes would be a vector of two. Measured at 100 bytes: 21.4 µs of processor time a request instead of 27.1.
 */
function sendValue(response: ServerResponse, value: Uint8Array): void {
  if (value.length > joinedValueBytes) response.end(value);
  else response.end(Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1'), 'latin1');
}

function sendAnswer(response: ServerResponse, answer: InternalAnswer, isHead: boolean): void {
  const content = answer.content ?? `${JSON.stringify(answer.body)}\n`;
  response.writeHead(answer.status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(content),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...answer.headers,
  });
  response.end(isHead ? undefined : content);
}

const noSuchPage: InternalAnswer = { status: 404, body: { error: 'not-found', message: 'no such page' } };

/** What a method is called in the metrics. */
const verbs: Readonly<Record<string, string>> = { GET: 'get', HEAD: 'head', POST: 'set', PUT: 'set', DELETE: 'delete' };

/** What may well be different in a moment. */
const retryable: ReadonlySet<string> = new Set(['busy', 'overloaded', 'no-leader', 'not-ready']);

/** One line that says what happened; the connection goes on unless a body is left that nobody will read. */
function refuse(response: ServerResponse, error: DcacheError, request: IncomingMessage): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = `${error.message}\n`;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.setHeader('content-length', Buffer.byteLength(body));
  response.setHeader('dcache-error', error.code);
  if (error.code === 'unauthenticated') response.setHeader('www-authenticate', 'Bearer');
  if (error.code === 'method-not-allowed') response.setHeader('allow', allowedMethods);
  if (retryable.has(error.code)) response.setHeader('retry-after', 1);
  if (!request.complete) response.setHeader('connection', 'close');
  response.writeHead(error.httpStatus);
  response.end(request.method === 'HEAD' ? undefined : body);
  if (!request.complete) request.resume();
}

function refuseBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  const [status, text] = brokenStatus[error.code ?? ''] ?? [
    '400 Bad Request',
    `this is not a valid HTTP/1.1 request: ${error.message}`,
  ];
  socket.end(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(text) + 1}\r\n\r\n${text}\n`,
  );
}

const brokenStatus: Readonly<Record<string, readonly [status: string, text: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'the request line and headers are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the request did not come in time'],
};
