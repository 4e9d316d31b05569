import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '@dcache/protocol';
import { BodyBudget } from './body-budget.js';
import { NodeExchange } from './http-exchange.js';
import { HttpLane } from './http-lane.js';
import { HttpService, type HttpServiceOptions } from './http-service.js';
import { refusal } from './refusal.js';

export interface HttpApiOptions extends HttpServiceOptions {
  /** How long a client may take, in milliseconds: for the headers, for a whole request. Default 60,000 and 300,000. */
  readonly headersTimeoutMs?: number;
  readonly requestTimeoutMs?: number;
  /** Bytes of bodies that are coming in at once, of all connections; more are 503. Default 256 MiB. */
  readonly maxHeldBytes?: number;
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

/**
 * HTTP/1.1 on sockets that somebody else accepted. Plain requests take the lane of `http-lane.ts`; `node:http` has all
 * others, and every connection that ever had one of them. What requests mean is in `http-service.ts`.
 */
export class HttpApi {
  readonly #options: HttpApiOptions;
  readonly #server: Server;
  readonly #connections = new WeakMap<Duplex, Connection>();
  readonly #service: HttpService;
  readonly #lane: HttpLane;
  readonly #bodies: BodyBudget;

  constructor(options: HttpApiOptions) {
    this.#options = options;
    this.#service = new HttpService(options);
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
      // It is required all the same, with an answer that says so.
      requireHostHeader: false,
    });
    this.#server.timeout = 120_000;
    // `printf 'GET /k HTTP/1.1…' | nc` ends its side before the answer is there.
    Object.assign(this.#server, { httpAllowHalfOpen: true });
    // A server that does not listen itself looks after its clients' time only when it is told that it does.
    this.#server.emit('listening');
    this.#server.on('request', (request, response) => {
      if (!refusesHost(request, response)) this.#queue(request, response);
    });
    this.#server.on('checkExpectation', (_request, response) =>
      refuseWhole(response, 417, 'Expect takes 100-continue and nothing else'),
    );
    this.#server.on('checkContinue', (request, response) => {
      if (refusesHost(request, response)) return;
      // Who asks before sending a body that is too large is told at once and need not send it.
      if (Number(request.headers['content-length'] ?? 0) <= options.limits.maxValueBytes) response.writeContinue();
      this.#queue(request, response);
    });
    this.#lane = new HttpLane({
      serve: (exchange) => this.#service.serve(exchange),
      handOver: (socket) => {
        this.#server.emit('connection', socket);
        socket.resume();
      },
      cutOff: (socket) => refuseBrokenRequest(new Error('it ends before it is complete'), socket),
      maxBodyBytes: options.limits.maxValueBytes,
    });
    this.#server.on('clientError', (error, socket) => this.#onBrokenRequest(error, socket));
  }

  accept(socket: Socket): void {
    this.#lane.accept(socket);
  }

  /** Ends the connections that wait for nothing, and the timers. */
  close(): void {
    this.#lane.close();
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
    const serve = (): Promise<void> => this.#service.serve(new NodeExchange(request, response, this.#bodies));
    connection.pending.add(request);
    connection.unsafe += weight;
    response.once('close', () => {
      connection.pending.delete(request);
      connection.unsafe -= weight;
      if (connection.pending.size === 0) connection.last?.();
    });
    if (connection.pending.size === 1) connection.tail = serve();
    else if (mayOvertake) connection.tail = Promise.all([connection.tail, serve()]);
    else connection.tail = connection.tail.then(() => serve());
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
}

function refuseBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  const [status, code, text] = brokenStatus[error.code ?? ''] ?? [
    '400 Bad Request',
    'bad-argument',
    `this is not a valid HTTP/1.1 request: ${error.message}`,
  ];
  socket.end(refusal(status, code, text));
}

const brokenStatus: Readonly<Record<string, readonly [status: string, code: ErrorCode, text: string]>> = {
  HPE_HEADER_OVERFLOW: [
    '431 Request Header Fields Too Large',
    'too-large',
    'the request line and headers are too large',
  ],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'timeout', 'the request did not come in time'],
};

/** RFC 9112 §3.2. */
function refusesHost(request: IncomingMessage, response: ServerResponse): boolean {
  const hosts = request.headersDistinct['host']?.length ?? 0;
  if (hosts === 1 || (hosts === 0 && request.httpVersion !== '1.1')) return false;
  refuseWhole(response, 400, `a request of HTTP/1.1 needs one Host header, this one has ${hosts}`);
  return true;
}

/** What node:http would answer without a word: the request was read, and is none that may be served. */
function refuseWhole(response: ServerResponse, status: number, text: string): void {
  const body = `${text}\n`;
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'dcache-error': 'bad-argument',
    connection: 'close',
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
  response.req.resume();
}
