import { StreamCall, UnaryCall } from './call.js';
import { decompress } from './compression.js';
import type { Connection } from './core/connection.js';
import type { HeaderList } from './core/header-decoder.js';
import type { FixedHeader } from './core/header-encoder.js';
import { ErrorCode } from './core/http2-error.js';
import type { Stream, Trailers } from './core/stream.js';
import type { Dated } from './deadlines.js';
import { type BodyFault, type Budget, type Message, MessageReader } from './message-reader.js';
import type { Route } from './service.js';
import { Status, type StatusError } from './status.js';

const contentType: FixedHeader = { name: 'content-type', value: 'application/grpc' };
const okStatus: FixedHeader = { name: 'grpc-status', value: '0' };

const answerHeaders: readonly FixedHeader[] = [contentType];
const okTrailers: Trailers = { fixed: [okStatus], others: [] };

/** Its time was over before a handler saw it. */
export const tooLate: StatusError = {
  code: Status.deadlineExceeded,
  fault: 'too-late',
  details: 'the time that the client gave the call (grpc-timeout) is over; nothing was done',
};

/** Its time was over while its handler was at work. */
const unfinished: StatusError = {
  code: Status.deadlineExceeded,
  fault: 'unfinished',
  details: 'the time that the client gave the call (grpc-timeout) is over; what it asked for may still be done',
};

/** What a call needs of the session that it came on. */
export interface CallHost {
  readonly connection: Connection<ActiveCall>;
  /** Where the client is, as `address:port`. */
  readonly peer: string;
  readonly maxMessageBytes: number;
  readonly budget: Budget;
  /** More waits for the client than it may let wait. */
  readonly isClogged: boolean;
  /** Whether the socket has no room now; then the call is told when it has. */
  waitsForDrain(call: ActiveCall): boolean;
  /** It is answered, and nothing runs for it. */
  callOver(call: ActiveCall): void;
  /** A failure as the client hears it, in headers; `path` is the method's, as far as the call named one. */
  failure(error: StatusError, path: string | undefined): readonly string[];
  handlerFailed(error: unknown, path: string): void;
}

/** A call from its headers to its status: the body becomes messages, these go to the handler, its answer goes out. */
export class ActiveCall implements Dated {
  /** By the server's clock; infinite where the client set none. */
  readonly deadlineMs: number;
  readonly #host: CallHost;
  readonly #stream: Stream<ActiveCall>;
  readonly #route: Route;
  readonly #headers: HeaderList;
  readonly #encoding: string | undefined;
  #reader: MessageReader | undefined;
  /** Where one request is expected: it. */
  #request: Message | undefined;
  #unary: UnaryCall | undefined;
  #streaming: StreamCall | undefined;
  /** Where requests stream: bytes that came and belong to no message that was handed on. */
  #pendingBytes = 0;
  /** Where messages are unpacked one after the other. */
  #unpacking: Promise<void> | undefined;
  #hasAnswered = false;
  #isOver = false;

  constructor(
    host: CallHost,
    stream: Stream<ActiveCall>,
    route: Route,
    headers: HeaderList,
    encoding: string | undefined,
    deadlineMs: number,
  ) {
    this.deadlineMs = deadlineMs;
    this.#host = host;
    this.#stream = stream;
    this.#route = route;
    this.#headers = headers;
    this.#encoding = encoding;
    if (route.method.requestStream) this.#startStreaming(undefined);
  }

  get peer(): string {
    return this.#host.peer;
  }

  /** It is answered, and nothing runs for it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  onData(bytes: Buffer, isEnd: boolean): void {
    if (this.#isOver) return;
    if (this.#route.method.requestStream) return this.#onStreamData(bytes, isEnd);
    const { length } = bytes;
    // One whole message that ends the body: nearly every call.
    if (
      isEnd &&
      !this.#reader &&
      length >= 5 &&
      bytes[0] === 0 &&
      bytes.readUInt32BE(1) === length - 5 &&
      length - 5 <= this.#host.maxMessageBytes
    )
      return this.#dispatch(bytes.subarray(5));
    const messages = this.#read(bytes);
    if (!messages) return;
    this.#host.connection.consume(this.#stream, length);
    if (messages.length > 0) {
      if (this.#request || messages.length > 1)
        return this.end({ code: Status.unimplemented, fault: 'bad-request', details: 'this call takes one message' });
      this.#request = messages[0];
    }
    if (!isEnd) return;
    if (this.#reader?.isInside || !this.#request)
      return this.end({
        code: Status.internal,
        fault: 'bad-request',
        details: 'the call ended before its message did',
      });
    const { bytes: request, isCompressed } = this.#request;
    if (!isCompressed) return this.#dispatch(request);
    decompress(request, this.#encoding, this.#host.maxMessageBytes).then(
      (unpacked) => this.#dispatch(unpacked),
      (error: StatusError) => this.end(error),
    );
  }

  /** The client gave up, or is gone. */
  cancel(): void {
    if (this.#isOver) return;
    this.#reader?.release();
    if (this.#unary) {
      // The handler goes on and is counted until it answers.
      this.#unary.cancelled = true;
      return;
    }
    this.#over();
    this.#streaming?.cancel();
  }

  /** The client's time for the call is over: it hears so, and who works for it may stop (gRPC's guide to deadlines). */
  expire(): void {
    if (this.#isOver) return;
    if (!this.#unary) {
      this.end(this.#streaming ? unfinished : tooLate);
      this.#streaming?.cancel();
      return;
    }
    // Who works for it and watched the time as well may know more: after a pause all timers are due at once, in whatever
    // order they were asked for. Those that the event loop took for due run before the first `setImmediate`, those that
    // became due since before the second.
    const unary = this.#unary;
    afterDueTimers(() => {
      if (this.#isOver || unary.cancelled) return;
      // As with one that was given up: the handler is counted until it answers, which nobody hears then.
      unary.cancelled = true;
      this.#host.connection.respond(this.#stream, 200, answerHeaders, this.#failure(unfinished), true);
    });
  }

  drained(): void {
    this.#streaming?.drained();
  }

  consume(bytes: number): void {
    this.#host.connection.consume(this.#stream, bytes);
  }

  send(message: Buffer): boolean {
    if (this.#isOver) return true;
    const { connection } = this.#host;
    if (!this.#hasAnswered) {
      this.#hasAnswered = true;
      connection.respond(this.#stream, 200, answerHeaders, [], false);
    }
    const framed = Buffer.allocUnsafe(message.length + 5);
    framed[0] = 0;
    framed.writeUInt32BE(message.length, 1);
    framed.set(message, 5);
    return connection.send(this.#stream, framed) && !this.#host.waitsForDrain(this);
  }

  end(error: StatusError | undefined): void {
    if (this.#isOver) return;
    this.#over();
    const { connection } = this.#host;
    const others = error ? this.#failure(error) : [];
    if (this.#hasAnswered) connection.end(this.#stream, error ? { fixed: [], others } : okTrailers);
    else connection.respond(this.#stream, 200, error ? answerHeaders : [contentType, okStatus], others, true);
  }

  #failure(error: StatusError): readonly string[] {
    return this.#host.failure(error, this.#route.method.path);
  }

  #read(bytes: Buffer): readonly Message[] | undefined {
    const { maxMessageBytes, budget } = this.#host;
    this.#reader ??= new MessageReader(maxMessageBytes, budget);
    const messages = this.#reader.read(bytes);
    if (typeof messages !== 'string') return messages;
    this.end(faultStatus(messages, maxMessageBytes));
    this.#streaming?.cancel();
    return undefined;
  }

  #dispatch(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#reader?.release();
    const { method, handler } = this.#route;
    const request = this.#decode(bytes);
    if (request === undefined) return;
    if (method.responseStream) return this.#startStreaming(request);
    const call = new UnaryCall(request, this.#headers, this, this.deadlineMs);
    this.#unary = call;
    this.#run(() => handler(call, (error, response) => this.#answer(error, response)));
  }

  #decode(bytes: Buffer): unknown {
    try {
      return this.#route.method.requestDeserialize(bytes) as unknown;
    } catch (error) {
      this.end({
        code: Status.internal,
        fault: 'bad-request',
        details: `the request is no such message: ${(error as Error).message}`,
      });
      return undefined;
    }
  }

  #answer(error: StatusError | null | undefined, response: unknown): void {
    if (error || this.#isOver) return this.end(error ?? undefined);
    if (this.#host.isClogged)
      return this.end({
        code: Status.resourceExhausted,
        fault: 'not-taken',
        details: 'this client does not take the answers that wait for it',
      });
    let bytes: Buffer;
    try {
      bytes = this.#route.method.responseSerialize(response);
    } catch (thrown) {
      return this.end({
        code: Status.internal,
        fault: 'handler-failed',
        details: `the response could not be encoded: ${(thrown as Error).message}`,
      });
    }
    this.send(bytes);
    this.end(undefined);
  }

  #startStreaming(request: unknown): void {
    const { method, handler } = this.#route;
    const call = new StreamCall(method, this.#headers, this, this.deadlineMs, request);
    this.#streaming = call;
    if (request !== undefined) call.receiveEnd();
    this.#run(() => handler(call, (error, response) => this.#answer(error, response)));
  }

  #run(start: () => void): void {
    try {
      start();
    } catch (error) {
      this.end({
        code: Status.unknown,
        fault: 'handler-failed',
        details: `the handler failed: ${(error as Error).message}`,
      });
      this.#host.handlerFailed(error, this.#route.method.path);
    }
  }

  #onStreamData(bytes: Buffer, isEnd: boolean): void {
    const messages = this.#read(bytes);
    if (!messages) return;
    this.#pendingBytes += bytes.length;
    if (messages.length === 0) {
      // Only a part of a message: without the rest nothing here goes on.
      this.consume(this.#pendingBytes);
      this.#pendingBytes = 0;
    }
    for (const [i, message] of messages.entries()) {
      const size = i === messages.length - 1 ? this.#pendingBytes : 0;
      if (message.isCompressed || this.#unpacking) this.#unpack(message, size);
      else this.#hand(message.bytes, size);
    }
    if (messages.length > 0) this.#pendingBytes = 0;
    if (!isEnd) return;
    if (this.#reader?.isInside) {
      this.end({ code: Status.internal, fault: 'bad-request', details: 'the call ended in the middle of a message' });
      this.#streaming?.cancel();
    } else if (this.#unpacking) this.#unpacking = this.#unpacking.then(() => this.#streaming?.receiveEnd());
    else this.#streaming?.receiveEnd();
  }

  #unpack(message: Message, size: number): void {
    const unpacked = message.isCompressed
      ? decompress(message.bytes, this.#encoding, this.#host.maxMessageBytes)
      : Promise.resolve(message.bytes);
    // A rejection is seen in its turn below.
    unpacked.catch(() => undefined);
    this.#unpacking = (this.#unpacking ?? Promise.resolve())
      .then(() => unpacked)
      .then(
        (bytes) => this.#hand(bytes, size),
        (error: StatusError) => {
          this.end(error);
          this.#streaming?.cancel();
        },
      );
  }

  #hand(bytes: Buffer, size: number): void {
    const message = this.#isOver ? undefined : this.#decode(bytes);
    if (message === undefined) {
      this.#streaming?.cancel();
      return;
    }
    if (this.#streaming?.receive(message, size) !== false) return;
    this.end({
      code: Status.resourceExhausted,
      fault: 'not-read',
      details: 'too many messages that nobody has read yet',
    });
    this.#streaming.cancel();
  }

  #over(): void {
    this.#isOver = true;
    this.#reader?.release();
    this.#host.callOver(this);
  }
}

function faultStatus(fault: BodyFault, maxBytes: number): StatusError {
  switch (fault) {
    case 'too-large':
      return {
        code: Status.resourceExhausted,
        fault,
        details: `a message above ${maxBytes} bytes, the most that is allowed`,
      };
    case 'no-room':
      return {
        code: Status.resourceExhausted,
        fault,
        details: 'too many large messages are being received; try again in a moment',
      };
    case 'malformed':
      return {
        code: Status.internal,
        fault: 'bad-request',
        details: 'the body is no gRPC message: its first byte is neither 0 nor 1',
      };
  }
}

/** A stream that is answered without a call. */
export function refuse(host: CallHost, stream: Stream<ActiveCall>, error: StatusError, path?: string): void {
  host.connection.respond(stream, 200, answerHeaders, host.failure(error, path), true);
}

/** A request that is not gRPC (gRPC over HTTP/2, "Requests"). */
export function refuseHttp({ connection }: CallHost, stream: Stream<ActiveCall>, status: number): void {
  connection.respond(stream, status, [], [], true);
  connection.reset(stream, ErrorCode.noError);
}

function afterDueTimers(run: () => void): void {
  setImmediate(() => setImmediate(run));
}
