import { Duplex } from 'node:stream';
import type { HeaderList } from './core/header-decoder.js';
import { CallMetadata } from './metadata.js';
import type { Method } from './method.js';
import { Status, type StatusError } from './status.js';

/** What a call needs of the connection it came on. */
export interface Responder {
  /** One message; returns whether it could go out at once. */
  send(message: Buffer): boolean;
  /** Ends the call with a status; undefined is OK. */
  end(error: StatusError | undefined): void;
  /** As many bytes of requests may come again. */
  consume(bytes: number): void;
  readonly peer: string;
}

/** What a handler of one request is given; the shape is that of grpc-js's `ServerUnaryCall`. */
export class UnaryCall {
  readonly request: unknown;
  /** The client is not interested any more: it gave the call up, is gone, or its time is over. */
  cancelled = false;
  /** When the client stops waiting, by the server's `Clock.monotonicMs`; infinite where it did not say. */
  readonly deadlineMs: number;
  readonly #headers: HeaderList;
  readonly #responder: Responder;
  #metadata: CallMetadata | undefined;

  constructor(request: unknown, headers: HeaderList, responder: Responder, deadlineMs: number) {
    this.request = request;
    this.deadlineMs = deadlineMs;
    this.#headers = headers;
    this.#responder = responder;
  }

  get metadata(): CallMetadata {
    this.#metadata ??= new CallMetadata(this.#headers);
    return this.#metadata;
  }

  getPeer(): string {
    return this.#responder.peer;
  }
}

/** Messages that a stream call holds unread; many small ones cost more than their bytes. */
const maxUnread = 4_096;

/**
 * A call with a stream of requests, of responses, or both: an object stream of messages. The shape is that of grpc-js's
 * stream calls: `cancelled` as property and event, a failure by `emit('error', status)`.
 */
export class StreamCall extends Duplex {
  readonly metadata: CallMetadata;
  /** The one request where only responses stream. */
  readonly request: unknown;
  cancelled = false;
  /** As a `UnaryCall`'s. */
  readonly deadlineMs: number;
  readonly #method: Method;
  readonly #responder: Responder;
  #onRoom: (() => void) | undefined;
  #isEnded = false;
  /** Messages that came and were not asked for yet, in order, with their bytes on the wire; null is the end. */
  readonly #unread: { readonly message: unknown; readonly bytes: number }[] = [];
  #isWanted = false;

  constructor(method: Method, headers: HeaderList, responder: Responder, deadlineMs: number, request?: unknown) {
    // Who has read all requests has not answered yet: the end of one side must not destroy the other.
    super({
      objectMode: true,
      readableHighWaterMark: 16,
      writableHighWaterMark: 16,
      emitClose: false,
      autoDestroy: false,
    });
    this.metadata = new CallMetadata(headers);
    this.request = request;
    this.deadlineMs = deadlineMs;
    this.#method = method;
    this.#responder = responder;
    this.on('error', (error: StatusError) => this.finish(error));
  }

  getPeer(): string {
    return this.#responder.peer;
  }

  /** Answers with a status, once. */
  finish(error?: StatusError): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#responder.end(error);
  }

  /** A message came, of so many bytes on the wire. Returns whether there is room for another. */
  receive(message: unknown, bytes: number): boolean {
    this.#unread.push({ message, bytes });
    this.#deliver();
    return this.#unread.length < maxUnread;
  }

  /** No more messages come. */
  receiveEnd(): void {
    this.receive(null, 0);
  }

  /** What waited to be sent is out. */
  drained(): void {
    const onRoom = this.#onRoom;
    this.#onRoom = undefined;
    onRoom?.();
  }

  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.#isEnded = true;
    this.emit('cancelled', 'the client does not wait any more');
    this.#unread.length = 0;
    this.receiveEnd();
    this.drained();
  }

  override _read(): void {
    this.#isWanted = true;
    this.#deliver();
  }

  /** The window opens as messages are asked for, so what waits here is bounded. */
  #deliver(): void {
    if (!this.#isWanted) return;
    const next = this.#unread.shift();
    if (!next) return;
    this.#isWanted = false;
    if (next.bytes > 0) this.#responder.consume(next.bytes);
    this.push(next.message);
  }

  override _write(message: unknown, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#isEnded) return done();
    let bytes: Buffer;
    try {
      bytes = this.#method.responseSerialize(message);
    } catch (error) {
      this.finish({
        code: Status.internal,
        fault: 'handler-failed',
        details: `a response could not be encoded: ${(error as Error).message}`,
      });
      return done();
    }
    if (this.#responder.send(bytes)) done();
    else this.#onRoom = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.finish();
    done();
  }
}
