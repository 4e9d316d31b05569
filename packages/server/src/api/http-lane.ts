import type { Socket } from 'node:net';
import { type AnswerHeaders, type HttpExchange, joinedBytes, latin1 } from './http-exchange.js';
import { type PlainRequest, PlainRequests } from './plain-request.js';

export interface HttpLaneOptions {
  /** Answers a request; never rejects. */
  readonly serve: (exchange: HttpExchange) => Promise<void>;
  /** Takes a connection over that is not for this lane; it is paused, and nothing that was not answered is read of it. */
  readonly handOver: (socket: Socket) => void;
  /** Ends a connection whose client has ended it within a request. */
  readonly cutOff: (socket: Socket) => void;
  /** A request whose body is longer is not for this lane. */
  readonly maxBodyBytes: number;
}

/** A connection that asks for nothing is closed after this time, in milliseconds. */
const idleMs = 60_000;

/** What waits for the rest of its request for longer is `node:http`'s, which has times for all that. In milliseconds. */
const waitMs = 1_000;

/** Bytes that are held while a request is incomplete; a longer one is not for this lane. */
const maxHeldBytes = 65_536;
/** Connections that may wait for the rest of a request here; the parts of further ones count where bodies are counted. */
const maxWaiting = 256;

/**
 * HTTP/1.1 for the requests that a cache gets all day: one at a time on its connection, a short head, a body with its
 * length, all of it here within a moment. Whatever is not so, and whatever is doubtful, goes to `node:http` with its
 * connection and for good: so the two never read one connection's bytes differently, and all rare things are one
 * parser's. A request costs about three fifths of what it costs there (ADR 32).
 */
export class HttpLane {
  readonly options: HttpLaneOptions;
  readonly requests: PlainRequests = new PlainRequests();
  /** Connections that wait for the rest of a request, and since when. */
  readonly waiting: Map<LaneConnection, number> = new Map();
  readonly #connections = new Set<LaneConnection>();
  readonly #stopLooking: () => void;

  constructor(options: HttpLaneOptions) {
    this.options = options;
    const timer = setInterval(() => this.#look(), waitMs / 2);
    timer.unref();
    this.#stopLooking = () => clearInterval(timer);
  }

  /** Connections in the lane. */
  get size(): number {
    return this.#connections.size;
  }

  accept(socket: Socket): void {
    this.#connections.add(new LaneConnection(socket, this));
  }

  /** Ends the connections that wait for nothing. */
  close(): void {
    this.#stopLooking();
    for (const connection of this.#connections) connection.closeIfIdle();
  }

  forget(connection: LaneConnection): void {
    this.#connections.delete(connection);
    this.waiting.delete(connection);
  }

  #look(): void {
    const nowMs = performance.now();
    for (const [connection, sinceMs] of this.waiting) if (nowMs - sinceMs >= waitMs) connection.handOver();
  }
}

/** One connection while it is in the lane, and the exchange that is under way on it. */
class LaneConnection implements HttpExchange {
  readonly #socket: Socket;
  readonly #lane: HttpLane;
  /** What has come of a request that is not complete, or behind one that is being answered. */
  #held: Buffer | undefined;
  #request: PlainRequest | undefined;
  #body: Buffer | undefined;
  #hasAnswered = false;
  #isAnswering = false;
  #hasEnded = false;
  /** What came while a request was being answered makes this no connection of one request at a time. */
  #isLeaving = false;
  readonly #onData = (chunk: Buffer): void => this.#read(chunk);
  readonly #onDrain = (): void => void this.#socket.resume();
  readonly #onEnd = (): void => this.#ended();
  readonly #onTimeout = (): void => this.closeIfIdle();
  readonly #onError = (): void => void this.#socket.destroy();
  readonly #onClose = (): void => this.#lane.forget(this);

  constructor(socket: Socket, lane: HttpLane) {
    this.#socket = socket;
    this.#lane = lane;
    socket.setTimeout(idleMs);
    socket.on('data', this.#onData).on('drain', this.#onDrain).on('end', this.#onEnd);
    socket.on('timeout', this.#onTimeout).on('error', this.#onError).on('close', this.#onClose);
    socket.resume();
  }

  get method(): string {
    return this.#request!.method;
  }

  get target(): string {
    return this.#request!.target;
  }

  get headers(): PlainRequest['headers'] {
    return this.#request!.headers;
  }

  get isComplete(): boolean {
    return true;
  }

  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  readBody(): Uint8Array {
    return this.#body!;
  }

  dropBody(): void {}

  answer(status: number, headers: AnswerHeaders, body?: string | Uint8Array): void {
    const socket = this.#socket;
    const head = answerHead(status, headers);
    this.#hasAnswered = true;
    if (!socket.writable) return;
    let hasRoom: boolean;
    if (body === undefined || body.length === 0) hasRoom = socket.write(head, 'latin1');
    else if (typeof body === 'string') hasRoom = socket.write(head + Buffer.from(body).toString('latin1'), 'latin1');
    else if (body.length <= joinedBytes) hasRoom = socket.write(head + latin1(body), 'latin1');
    else {
      socket.cork();
      socket.write(head, 'latin1');
      hasRoom = socket.write(body);
      socket.uncork();
    }
    // Who does not read his answers is not read from.
    if (!hasRoom) socket.pause();
  }

  abort(): void {
    this.#socket.destroy();
  }

  closeIfIdle(): void {
    if (this.#isAnswering) return;
    this.#socket.destroySoon();
  }

  /** Gives the connection, with all that was read and not answered, to `node:http`. */
  handOver(): void {
    const socket = this.#socket;
    const held = this.#held;
    this.#held = undefined;
    this.#lane.forget(this);
    socket.off('data', this.#onData).off('drain', this.#onDrain).off('end', this.#onEnd);
    socket.off('timeout', this.#onTimeout).off('error', this.#onError).off('close', this.#onClose);
    socket.setTimeout(0);
    if (socket.destroyed) return;
    socket.pause();
    if (held !== undefined) socket.unshift(held);
    this.#lane.options.handOver(socket);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    if (this.#isAnswering) {
      this.#held = bytes;
      this.#isLeaving = true;
      this.#socket.pause();
      return;
    }
    const request = this.#lane.requests.read(bytes);
    if (request === 'other') return this.#leave(bytes);
    if (request === 'more') return this.#wait(bytes);
    const { bodyStart, bodyBytes } = request;
    if (bodyBytes > this.#lane.options.maxBodyBytes) return this.#leave(bytes);
    const end = bodyStart + bodyBytes;
    if (bytes.length < end) return this.#wait(bytes);
    // Requests that are sent before the answers of others may run beside each other: that is not for here.
    if (bytes.length > end) return this.#leave(bytes);
    if (this.#held !== undefined) {
      this.#held = undefined;
      this.#lane.waiting.delete(this);
    }
    this.#body = bytes.subarray(bodyStart, end);
    this.#request = request;
    this.#hasAnswered = false;
    this.#isAnswering = true;
    this.#lane.options.serve(this).then(() => this.#answered());
  }

  #wait(bytes: Buffer): void {
    const isNew = this.#held === undefined;
    if (bytes.length > maxHeldBytes || (isNew && this.#lane.waiting.size >= maxWaiting)) return this.#leave(bytes);
    if (isNew) this.#lane.waiting.set(this, performance.now());
    this.#held = bytes;
  }

  #leave(bytes: Buffer): void {
    this.#held = bytes;
    this.handOver();
  }

  #answered(): void {
    this.#isAnswering = false;
    this.#body = undefined;
    if (this.#isLeaving) this.handOver();
    else if (this.#hasEnded) this.#socket.end();
  }

  /** The client says no more: what it asked for is still answered. */
  #ended(): void {
    this.#hasEnded = true;
    if (this.#isAnswering) return;
    if (this.#held !== undefined) this.#lane.options.cutOff(this.#socket);
    else this.#socket.end();
  }
}

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  304: 'Not Modified',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  507: 'Insufficient Storage',
};

/** RFC 9110 §5.5: what else stands in a value would end it and begin something of its own. */
const fieldText = /^[\t\x20-\x7e\x80-\xff]*$/;

function answerHead(status: number, headers: AnswerHeaders): string {
  let head = `HTTP/1.1 ${status} ${reasons[status] ?? 'Status'}\r\n`;
  for (const name in headers) {
    const value = headers[name]!;
    if (typeof value === 'string' && !fieldText.test(value))
      throw new TypeError(`the header ${name} would be ${JSON.stringify(value)}, which no header can be`);
    head += `${name}: ${value}\r\n`;
  }
  return `${head}${dateHeader()}connection: keep-alive\r\nkeep-alive: timeout=${idleMs / 1_000}\r\n\r\n`;
}

let dateSecond = 0;
let dateText = '';

/** RFC 9110 §6.6.1; made once a second. */
function dateHeader(): string {
  const second = Math.floor(Date.now() / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `date: ${new Date(second * 1_000).toUTCString()}\r\n`;
  }
  return dateText;
}
