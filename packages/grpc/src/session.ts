import type { Socket } from 'node:net';
import type { Clock, Logger } from '@dcache/base';
import { ActiveCall, type CallHost, refuse, refuseHttp, tooLate } from './active-call.js';
import { acceptedEncodings, isAcceptedEncoding } from './compression.js';
import { Connection, type ConnectionEvents } from './core/connection.js';
import { type HeaderList, tooLong } from './core/header-decoder.js';
import { ErrorCode } from './core/http2-error.js';
import type { Stream } from './core/stream.js';
import { parseTimeout } from './core/timeout.js';
import { Deadlines } from './deadlines.js';
import type { Budget } from './message-reader.js';
import { CallMetadata } from './metadata.js';
import type { Route, Routes } from './service.js';
import { Status, type StatusError, statusHeaders } from './status.js';

/** Refuses a call before its handler sees it; undefined lets it through. */
export type Authorize = (path: string, metadata: CallMetadata) => StatusError | undefined;

/** What becomes of a failure before it goes out; `path` is the method's, as far as the call named one. Must not throw. */
export type OnFailure = (error: StatusError, path: string | undefined) => StatusError;

export interface SessionParts {
  readonly routes: Routes;
  readonly authorize: Authorize | undefined;
  readonly onFailure: OnFailure | undefined;
  readonly maxMessageBytes: number;
  readonly maxCalls: number;
  readonly budget: Budget;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onClose: (session: Session) => void;
}

/** Bytes of answers that wait for a client; past them it gets no more of them. */
const maxWaitingBytes = 32 * 1_048_576;

/** How long the last words of a connection may take, in milliseconds. */
const lastWordsMs = 5_000;

/** What a request's headers say, found once for a list that comes again and again. */
type Target =
  | { readonly route: Route; readonly encoding: string | undefined; readonly timeoutMs: number }
  | { readonly httpStatus: number }
  | { readonly error: StatusError; readonly path?: string };

/** One connection: its socket, its HTTP/2, its calls. */
export class Session implements ConnectionEvents<ActiveCall>, CallHost {
  readonly connection: Connection<ActiveCall>;
  readonly #parts: SessionParts;
  readonly #socket: Socket;
  /** Calls that were not answered, those included that their client gave up while they ran. */
  #calls = 0;
  readonly #waitForDrain = new Set<ActiveCall>();
  readonly #deadlines: Deadlines;
  #isFlushing = false;
  #isPaused = false;
  #isLeaving = false;
  #wasHeard = true;
  #quietTicks = 0;
  #lastHeaders: HeaderList | undefined;
  #lastTarget: Target | undefined;

  constructor(socket: Socket, parts: SessionParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#deadlines = new Deadlines(parts.clock);
    this.connection = new Connection(this, { maxStreams: parts.maxCalls });
    socket.on('data', (chunk: Buffer) => this.#onChunk(chunk));
    socket.on('drain', () => this.#onDrain());
    socket.on('error', (error) => parts.logger.debug({ err: error }, 'a gRPC connection failed'));
    // Who ends its side of an HTTP/2 connection has gone: nobody would ever end ours.
    socket.on('end', () => socket.destroy());
    socket.on('close', () => this.#onClose());
    this.output();
    socket.resume();
  }

  get peer(): string {
    const { remoteAddress, remotePort } = this.#socket;
    return `${remoteAddress}:${remotePort}`;
  }

  get maxMessageBytes(): number {
    return this.#parts.maxMessageBytes;
  }

  get budget(): Budget {
    return this.#parts.budget;
  }

  /** More waits for the client than it may let wait. */
  get isClogged(): boolean {
    return this.connection.waitingBytes + this.#socket.writableLength > maxWaitingBytes;
  }

  /** Whether the socket has no room now; then the call is told when it has. */
  waitsForDrain(call: ActiveCall): boolean {
    if (!this.#isPaused) return false;
    this.#waitForDrain.add(call);
    return true;
  }

  callOver(call: ActiveCall): void {
    this.#calls--;
    if (call.deadlineMs !== Number.POSITIVE_INFINITY) this.#deadlines.delete(call);
    if (this.#isLeaving && this.#calls === 0) this.output();
  }

  /** A failure as its client hears it, in headers. */
  failure(error: StatusError, path: string | undefined): readonly string[] {
    return statusHeaders(this.#parts.onFailure?.(error, path) ?? error);
  }

  handlerFailed(error: unknown, path: string): void {
    this.#parts.logger.error({ err: error, path }, 'a gRPC handler threw');
  }

  /** Takes no more calls, and closes once those under way are answered. */
  leave(): void {
    this.#isLeaving = true;
    this.connection.leave();
    this.output();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Once in a while: asks a client that says nothing for `pingAfter` times whether it is there, and lets it go the next time. */
  tick(pingAfter: number): void {
    if (this.#wasHeard) this.#quietTicks = 0;
    else this.#quietTicks++;
    this.#wasHeard = false;
    if (this.#quietTicks === pingAfter) this.connection.ping();
    else if (this.#quietTicks > pingAfter) this.destroy();
  }

  headers(stream: Stream<ActiveCall>, headers: HeaderList, isEnd: boolean): void {
    if (this.#calls >= this.#parts.maxCalls) return this.connection.reset(stream, ErrorCode.refusedStream);
    if (headers !== this.#lastHeaders) {
      this.#lastTarget = this.#targetOf(headers);
      this.#lastHeaders = headers;
    }
    const target = this.#lastTarget!;
    if ('httpStatus' in target) return refuseHttp(this, stream, target.httpStatus);
    if ('error' in target) return refuse(this, stream, target.error, target.path);
    const { route, encoding, timeoutMs } = target;
    const refusal = this.#parts.authorize?.(route.method.path, new CallMetadata(headers));
    if (refusal) return refuse(this, stream, refusal, route.method.path);
    if (timeoutMs === 0) return refuse(this, stream, tooLate, route.method.path);
    const isTimed = timeoutMs !== Number.POSITIVE_INFINITY;
    const nowMs = isTimed ? this.#parts.clock.monotonicMs() : 0;
    this.#calls++;
    const call = new ActiveCall(this, stream, route, headers, encoding, nowMs + timeoutMs);
    stream.owner = call;
    // A handler of streams has begun already, and may be done.
    if (isTimed && !call.isOver) this.#deadlines.add(call, nowMs);
    if (isEnd) call.onData(Buffer.alloc(0), true);
  }

  data(stream: Stream<ActiveCall>, bytes: Uint8Array, isEnd: boolean): void {
    const { owner } = stream;
    if (owner) owner.onData(asBuffer(bytes), isEnd);
    else this.connection.consume(stream, bytes.length);
  }

  reset(stream: Stream<ActiveCall>): void {
    stream.owner?.cancel();
  }

  drained(stream: Stream<ActiveCall>): void {
    if (stream.owner && !this.waitsForDrain(stream.owner)) stream.owner.drained();
  }

  /** What is written in one turn of the event loop goes out as one. */
  output(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    process.nextTick(() => this.#flush());
  }

  #targetOf(headers: HeaderList): Target {
    if (headers === tooLong)
      return { error: { code: Status.resourceExhausted, fault: 'too-large', details: 'the metadata is too large' } };
    let method = '';
    let path = '';
    let type = '';
    let encoding: string | undefined;
    let timeout: string | undefined;
    for (let i = 0; i < headers.length; i += 2) {
      const value = headers[i + 1]!;
      if (headers[i] === ':method') method = value;
      else if (headers[i] === ':path') path = value;
      else if (headers[i] === 'content-type') type = value;
      else if (headers[i] === 'grpc-encoding') encoding = value;
      else if (headers[i] === 'grpc-timeout') timeout = timeout === undefined ? value : `${timeout}, ${value}`;
    }
    if (method !== 'POST') return { httpStatus: 405 };
    if (!/^application\/grpc($|[+;])/.test(type)) return { httpStatus: 415 };
    const route = this.#parts.routes.get(path);
    if (!route)
      return { error: { code: Status.unimplemented, fault: 'no-method', details: `there is no method ${path}` }, path };
    if (encoding !== undefined && !isAcceptedEncoding(encoding)) {
      const metadata = { getMap: () => ({ 'grpc-accept-encoding': acceptedEncodings }) };
      return {
        error: {
          code: Status.unimplemented,
          fault: 'bad-request',
          details: `grpc-encoding is ${encoding}; allowed are ${acceptedEncodings}`,
          metadata,
        },
        path,
      };
    }
    const timeoutMs = timeout === undefined ? Number.POSITIVE_INFINITY : parseTimeout(timeout);
    // Not taken for none: what the client meant as a bound would wait without one. The status is grpc-go's.
    if (timeoutMs === undefined)
      return {
        error: {
          code: Status.internal,
          fault: 'bad-request',
          details: `grpc-timeout is ${JSON.stringify(timeout?.slice(0, 40))}; it takes 1 to 8 digits and H, M, S, m, u or n, such as 500m`,
        },
        path,
      };
    return { route, encoding, timeoutMs };
  }

  #onChunk(chunk: Buffer): void {
    this.#wasHeard = true;
    this.connection.receive(chunk);
    if (this.connection.isClosed) this.output();
  }

  #flush(): void {
    this.#isFlushing = false;
    if (this.#socket.destroyed) return;
    const parts = this.connection.takeOutput();
    let hasRoom = true;
    if (parts.length === 1) hasRoom = this.#socket.write(parts[0]!);
    else if (parts.length > 1) {
      this.#socket.cork();
      for (const part of parts) hasRoom = this.#socket.write(part);
      this.#socket.uncork();
    }
    if (this.connection.isClosed || (this.#isLeaving && this.#calls === 0 && this.connection.size === 0)) {
      this.#socket.setTimeout(lastWordsMs, () => this.#socket.destroy());
      this.#socket.destroySoon();
      return;
    }
    if (hasRoom || this.#isPaused) return;
    // A client that does not read is not read from either: each of its frames may ask for an answer.
    this.#isPaused = true;
    this.#socket.pause();
  }

  #onDrain(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.resume();
    const waiting = [...this.#waitForDrain];
    this.#waitForDrain.clear();
    for (const call of waiting) call.drained();
  }

  #onClose(): void {
    this.#deadlines.close();
    this.connection.abandon();
    this.#parts.onClose(this);
  }
}

/** Frames that came in parts lie in plain arrays. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
