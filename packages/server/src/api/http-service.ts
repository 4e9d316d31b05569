import type { Logger } from '@dcache/base';
import {
  allowedMethods,
  type Command,
  type CommandHandler,
  CommandType,
  checkReply,
  DcacheError,
  formatEtag,
  type HttpHeaders,
  type HttpRequest,
  httpFoundHeaders,
  httpWriteCommand,
  isInternalPath,
  judgeRead,
  type Limits,
  parseHttpRequest,
  type Reply,
  ReplyType,
  toDcacheError,
} from '@dcache/protocol';
import type { RequestMetrics, RequestSeries } from '../observe/metrics-requests.js';
import type { Authorize } from './access.js';
import type { AnswerHeaders, HttpExchange } from './http-exchange.js';
import { withIdempotency } from './idempotency.js';
import { type InternalAnswer, isOpenPath } from './internal.js';
import { checkOrigin } from './origin.js';

export interface HttpServiceOptions {
  readonly handler: CommandHandler;
  readonly limits: Limits;
  /** Answers the server's own paths, `/-/…`; undefined where there is none. */
  readonly internal: (path: string) => InternalAnswer | undefined | Promise<InternalAnswer | undefined>;
  readonly logger: Logger;
  /** Default: everybody may do everything. */
  readonly authorize?: Authorize;
  /** Where requests are counted; default nowhere. */
  readonly metrics?: RequestMetrics;
  /** Throws for a `Host` that is not this server's; default any will do. */
  readonly checkHost?: (host: string | undefined) => void;
}

/** What a method is called in the metrics. */
const verbs: Readonly<Record<string, string>> = { GET: 'get', HEAD: 'head', POST: 'set', PUT: 'set', DELETE: 'delete' };

/** What HTTP requests mean and how they are answered; it sees no sockets. */
export class HttpService {
  readonly #options: HttpServiceOptions;
  readonly #series: Readonly<Record<string, RequestSeries>>;

  constructor(options: HttpServiceOptions) {
    this.#options = options;
    const { metrics } = options;
    this.#series = metrics
      ? Object.fromEntries(Object.entries(verbs).map(([method, verb]) => [method, metrics.of('http', verb)] as const))
      : {};
  }

  /** Answers one request; never rejects. */
  async serve(exchange: HttpExchange): Promise<void> {
    const { metrics } = this.#options;
    const startMs = metrics ? performance.now() : 0;
    const id = metrics?.nextId();
    let request: HttpRequest | undefined;
    let error: DcacheError | undefined;
    try {
      request = this.#parse(exchange);
      await this.#answer(request, exchange, id);
    } catch (thrown) {
      error = toDcacheError(thrown);
      // In the turn of its head a request without a body does not know yet that it is complete.
      await undefined;
      if (error.code === 'internal')
        this.#options.logger.error({ err: thrown, url: exchange.target }, 'a request failed');
      refuse(exchange, error, id);
    }
    if (!metrics || (error !== undefined && isFirstLook(exchange, error))) return;
    const isInternal = request ? request.kind === 'internal' : isInternalPath(exchange.target);
    const series = isInternal ? undefined : this.#series[exchange.method];
    const key = request && 'key' in request ? request.key : undefined;
    if (series) metrics.done(series, startMs, { id, key, error, headers: exchange.headers });
    else if (error) metrics.failed('http', error.code);
  }

  #parse({ method, target, headers }: HttpExchange): HttpRequest {
    const request = parseHttpRequest(method, target, headers, this.#options.limits);
    const host = textOf(headers, 'host');
    this.#options.checkHost?.(host);
    checkOrigin(textOf(headers, 'origin'), host);
    this.#authorize(headers, request);
    return request;
  }

  async #answer(request: HttpRequest, exchange: HttpExchange, id: number | undefined): Promise<void> {
    const { handler, limits } = this.#options;
    switch (request.kind) {
      case 'read': {
        const found = await handler.read(request.key, { level: request.level });
        // A miss is an answer and no fault of anybody: it is not thrown, because that costs more, nor counted as an error.
        if (!found) return refuse(exchange, missing, id);
        const judgement = judgeRead(request.conditions, found.revision);
        if (judgement === 'failed')
          throw new DcacheError('precondition-failed', `the key's revision is ${found.revision}`);
        if (judgement === 'unchanged') return exchange.answer(304, numbered({ etag: formatEtag(found.revision) }, id));
        return exchange.answer(200, numbered(httpFoundHeaders(found), id), request.isHead ? undefined : found.value);
      }
      case 'write': {
        const body = exchange.readBody(limits.maxValueBytes);
        // A body that is here already need not be waited for.
        const value = body instanceof Uint8Array ? body : await body;
        const command = withIdempotency(httpWriteCommand(request, value), request.idempotencyKey);
        return answerWrite(exchange, command, await handler.write(command), id);
      }
      case 'delete': {
        exchange.dropBody();
        const command: Command = { type: CommandType.delete, key: request.key, condition: request.condition };
        const keyed = withIdempotency(command, request.idempotencyKey);
        return answerWrite(exchange, keyed, await handler.write(keyed), id);
      }
      case 'internal': {
        const { method } = exchange;
        if (method !== 'GET' && method !== 'HEAD')
          throw new DcacheError('method-not-allowed', `${method} is not supported here; use ${allowedInternally}`);
        const answer = await this.#options.internal(request.path);
        if (!answer) throw new DcacheError('not-found', 'no such page');
        return sendInternal(exchange, answer, method === 'HEAD', id);
      }
    }
  }

  /** Probes and the files of the page need no token: who asks for them has none, and they tell nothing. */
  #authorize(headers: HttpHeaders, request: HttpRequest): void {
    if (!this.#options.authorize || (request.kind === 'internal' && isOpenPath(request.path))) return;
    const access = request.kind === 'read' || request.kind === 'internal' ? 'read' : 'write';
    this.#options.authorize(textOf(headers, 'authorization'), access);
  }
}

/** The page asks before it has a token, to learn whether one is needed: that is nobody's fault. */
function isFirstLook({ target, headers }: HttpExchange, { code }: DcacheError): boolean {
  return code === 'unauthenticated' && target === '/-/overview' && headers['authorization'] === undefined;
}

function textOf(headers: HttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return value === undefined || typeof value === 'string' ? value : value.join();
}

/** With the request's number, where the log has one. */
function numbered(headers: AnswerHeaders, id: number | undefined): AnswerHeaders {
  return id === undefined ? headers : { ...headers, 'dcache-request': id };
}

function answerWrite(exchange: HttpExchange, command: Command, reply: Reply, id: number | undefined): void {
  // What would be 404 without its condition is 404 with it. (RFC 9110 §13.2.1)
  const isMissing =
    command.type === CommandType.delete && reply.type === ReplyType.preconditionFailed && reply.revision === 0;
  const revision = checkReply(isMissing ? { type: ReplyType.notFound, revision: 0 } : reply);
  exchange.answer(200, numbered({ etag: formatEtag(revision), 'content-length': 0 }, id));
}

/** For the `Allow` header of the server's own pages. */
const allowedInternally = 'GET, HEAD';

const missing = new DcacheError('not-found', 'no such key');

function sendInternal(exchange: HttpExchange, answer: InternalAnswer, isHead: boolean, id: number | undefined): void {
  const content = answer.content ?? `${JSON.stringify(answer.body)}\n`;
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(content),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...answer.headers,
  };
  exchange.answer(answer.status, numbered(headers, id), isHead ? undefined : content);
}

/** What may well be different in a moment. */
const retryable: ReadonlySet<string> = new Set(['busy', 'overloaded', 'no-leader', 'not-ready']);

/**
 * One line that says what happened, on a key as on a page of the server; the connection goes on unless a body is left
 * that nobody will read.
 */
function refuse(exchange: HttpExchange, error: DcacheError, id: number | undefined): void {
  if (exchange.hasAnswered) {
    exchange.abort();
    return;
  }
  const { isComplete } = exchange;
  const body = `${error.message}\n`;
  const headers: Record<string, string | number> = {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'dcache-error': error.code,
  };
  if (error.code === 'unauthenticated') headers['www-authenticate'] = 'Bearer';
  if (error.code === 'method-not-allowed')
    headers['allow'] = isInternalPath(exchange.target) ? allowedInternally : allowedMethods;
  if (retryable.has(error.code)) headers['retry-after'] = 1;
  if (!isComplete) headers['connection'] = 'close';
  exchange.answer(error.httpStatus, numbered(headers, id), exchange.method === 'HEAD' ? undefined : body);
  if (!isComplete) exchange.dropBody();
}
