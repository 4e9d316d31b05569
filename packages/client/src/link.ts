import type { GrpcMethod } from '@dcache/protocol';
import { connectivityState, Client as GrpcClient, Metadata, type ServiceError } from '@grpc/grpc-js';
import { splitAddress } from './address.js';
import { type ConnectFault, noAnswer, speaksNoTls, wantsTls } from './connect-fault.js';
import { LinkCredentials } from './credentials.js';
import { ClientError, type Failure, noConnection, toFailure } from './errors.js';
import { answersHttp2, answersTls } from './probe.js';
import type { TlsOptions } from './tls.js';

export interface LinkOptions {
  readonly tls: TlsOptions | undefined;
  readonly token: string | undefined;
}

/** What one attempt may take. */
export interface AttemptOptions {
  /** On `performance.now()`'s clock. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  /** On the same clock: without a connection by then it is over, with nothing sent. Default `deadlineMs`. */
  readonly connectByMs?: number | undefined;
}

/** An attempt that failed, with what that means for the next. */
export class AttemptError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.error.message, { cause: failure.error });
    this.failure = failure;
  }
}

/** The first time for which a server that cannot be reached is asked last; it doubles up to the second. */
const firstDownMs = 250;
const lastDownMs = 5_000;
/** How long a look at what answers at an address may take. */
const probeMs = 1_000;

/** One server's gRPC channel. It connects with its first call. */
export class Link {
  readonly address: string;
  readonly #grpc: GrpcClient;
  readonly #token: string | undefined;
  readonly #credentials: LinkCredentials;
  readonly #closing = new AbortController();
  /** What a look at the address told, after a connection that said nothing. */
  #probing: Promise<ConnectFault | undefined> | undefined;
  readonly #calls = new Set<{ cancel(): void }>();
  #isRetired = false;
  #isClosed = false;
  #downMs = 0;
  #downUntilMs = 0;

  constructor(address: string, options: LinkOptions) {
    this.address = address;
    this.#token = options.token;
    this.#credentials = new LinkCredentials(splitAddress(address).host, options.tls);
    this.#grpc = new GrpcClient(address, this.#credentials, {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      // What may be sent again is decided above, by session.
      'grpc.enable_retries': 0,
      // A channel of its own, so that closing it frees its connection.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.min_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2_000,
      'grpc.keepalive_time_ms': 15_000,
      'grpc.keepalive_timeout_ms': 5_000,
      ...(options.tls?.serverName === undefined
        ? {}
        : {
            'grpc.default_authority': options.tls.serverName,
          }),
    });
  }

  /** Whether it failed a short while ago: others are to be asked first. */
  get isDown(): boolean {
    return performance.now() < this.#downUntilMs;
  }

  /** Whether a connection is there now. */
  get isConnected(): boolean {
    return !this.#isClosed && this.#grpc.getChannel().getConnectivityState(false) === connectivityState.READY;
  }

  /** One attempt. Rejects with an `AttemptError`. */
  async call<Request, Response>(
    method: GrpcMethod<Request, Response>,
    request: Request,
    options: AttemptOptions,
  ): Promise<Response> {
    // One call from its connection to its answer: a link that is retired between the two would close under it.
    const whole = { cancel: () => {} };
    this.#calls.add(whole);
    try {
      if (options.connectByMs !== undefined) await this.#connect(options, options.connectByMs, whole);
      return await this.#attempt(options, (settle) =>
        this.#grpc.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          this.#metadata(),
          { deadline: toDeadline(options) },
          settle,
        ),
      );
    } finally {
      this.#settled(whole);
    }
  }

  /** The messages of a server's stream, as fast as they are taken. Rejects with an `AttemptError`. */
  async *download<Request, Response>(
    method: GrpcMethod<Request, Response>,
    request: Request,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Response> {
    const call = this.#grpc.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      this.#metadata(),
    );
    const contentType = watchType(call);
    const abort = (): void => call.cancel();
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    this.#calls.add(call);
    try {
      yield* call as AsyncIterable<Response>;
    } catch (error) {
      throw await this.#failed(
        error as ServiceError,
        { deadlineMs: performance.now() + probeMs, signal },
        contentType(),
      );
    } finally {
      signal?.removeEventListener('abort', abort);
      call.cancel();
      this.#settled(call);
    }
  }

  /** Sends `requests` as one stream, as fast as the server takes them. Rejects with an `AttemptError`. */
  async upload<Request, Response>(
    method: GrpcMethod<Request, Response>,
    requests: AsyncIterable<Request>,
    options: AttemptOptions,
  ): Promise<Response> {
    let feed: Promise<void> = Promise.resolve();
    const response = this.#attempt<Response>(options, (settle) => {
      const call = this.#grpc.makeClientStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        this.#metadata(),
        { deadline: toDeadline(options) },
        settle,
      );
      feed = sendAll(call, requests);
      return call;
    });
    // The server may refuse before all is sent, and the source may fail before the server hears its end.
    const [sent, answer] = await Promise.allSettled([feed, response]);
    if (sent.status === 'rejected' && !(sent.reason instanceof StreamEnded)) throw sent.reason;
    if (answer.status === 'rejected') throw answer.reason;
    return answer.value;
  }

  /** Takes no more calls; closes when those under way have ended. */
  retire(): void {
    this.#isRetired = true;
    if (this.#calls.size === 0) this.close();
  }

  /** Ends every call that is under way. */
  close(): void {
    this.#isClosed = true;
    this.#closing.abort();
    // Closing the channel alone would let them go on.
    for (const call of this.#calls) call.cancel();
    this.#grpc.close();
    this.#credentials.close();
  }

  /**
   * Waits for a connection, or until it is known that none comes, which the call then tells. One that is not there in time
   * goes on being made, for a later call. `waiting` is what `close` cancels.
   */
  async #connect(options: AttemptOptions, byMs: number, waiting: { cancel(): void }): Promise<void> {
    const { signal } = options;
    const channel = this.#grpc.getChannel();
    const onAbort = (): void => waiting.cancel();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      while (!this.#isClosed && !signal?.aborted) {
        const state = channel.getConnectivityState(true);
        if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) return;
        const leftMs = Math.ceil(byMs - performance.now());
        if (leftMs <= 0) {
          const cause = new Error('no connection in time');
          throw await this.#down(
            noConnection(this.address, cause, this.#credentials.fault ?? noAnswer),
            cause,
            options,
          );
        }
        await new Promise<void>((resolve) => {
          waiting.cancel = resolve;
          channel.watchConnectivityState(state, new Date(Date.now() + leftMs), () => resolve());
        });
      }
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #attempt<Response>(
    options: AttemptOptions,
    start: (settle: (error: ServiceError | null, response?: Response) => void) => StartedCall,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (this.#isClosed || signal?.aborted) {
        reject(new AttemptError({ kind: 'undone', isLinkDown: false, error: stopped(signal) }));
        return;
      }
      const call = start((error, response) => {
        signal?.removeEventListener('abort', abort);
        if (error) this.#failed(error, options, contentType()).then(reject, reject);
        else {
          this.#probing = undefined;
          this.#downMs = 0;
          this.#downUntilMs = 0;
          resolve(response as Response);
        }
        this.#settled(call);
      });
      const contentType = watchType(call);
      this.#calls.add(call);
      const abort = (): void => call.cancel();
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  async #failed(error: ServiceError, options: AttemptOptions, contentType: string | undefined): Promise<AttemptError> {
    const { signal } = options;
    if (signal?.aborted || this.#isClosed)
      return new AttemptError({ kind: 'unknown', isLinkDown: false, error: stopped(signal) });
    return this.#down(toFailure(error, this.address, this.#credentials.fault, contentType), error, options);
  }

  /** Remembers that the server could not be reached, where that is so, and looks for why where it is only guessed. */
  async #down(failure: Failure, cause: Error, options: AttemptOptions): Promise<AttemptError> {
    if (failure.isLinkDown) {
      this.#downMs = Math.min(lastDownMs, Math.max(firstDownMs, this.#downMs * 2));
      this.#downUntilMs = performance.now() + this.#downMs;
    }
    if (failure.fault?.isGuess) {
      const known = await this.#probe(options);
      if (known) return new AttemptError(noConnection(this.address, cause, known));
    }
    return new AttemptError(failure);
  }

  /** Looks once, and again only after an answer, whether the other side speaks TLS where this one does not, or the other way. */
  #probe({ deadlineMs, signal }: AttemptOptions): Promise<ConnectFault | undefined> {
    const target = splitAddress(this.address);
    const ms = Math.min(probeMs, deadlineMs - performance.now());
    const ends = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    this.#probing ??= this.#credentials._isSecure()
      ? answersHttp2(target, ms, ends).then((does) => (does ? speaksNoTls : undefined))
      : answersTls(target, ms, ends).then((does) => (does ? wantsTls : undefined));
    return this.#probing;
  }

  #settled(call: { cancel(): void }): void {
    this.#calls.delete(call);
    if (this.#isRetired && this.#calls.size === 0) this.close();
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    if (this.#token !== undefined) metadata.set('authorization', `Bearer ${this.#token}`);
    return metadata;
  }
}

interface StartedCall {
  cancel(): void;
  once(event: 'metadata', listener: (head: Metadata) => void): unknown;
}

/** Notes the type of the answer, which stands in its head; an error tells only what stands at the end. */
function watchType(call: StartedCall): () => string | undefined {
  let type: string | undefined;
  call.once('metadata', (head) => {
    type = head.get('content-type')[0]?.toString();
  });
  return () => type;
}

/** The server answered, or went away, before all was sent. */
class StreamEnded extends Error {}

async function sendAll<Request>(
  call: NodeJS.EventEmitter & { write(message: Request): boolean; end(): void; cancel(): void },
  requests: AsyncIterable<Request>,
): Promise<void> {
  // The source may be one that waits for a person: it is not waited for once the call is over.
  const over = new Promise<undefined>((resolve) => call.once('status', () => resolve(undefined)));
  const source = requests[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([over, source.next()]);
      if (next === undefined) {
        source.return?.().catch(() => {});
        throw new StreamEnded();
      }
      if (next.done) break;
      if (!call.write(next.value)) await drainedOrOver(call);
    }
    call.end();
  } catch (error) {
    call.cancel();
    throw error;
  }
}

function drainedOrOver(call: NodeJS.EventEmitter): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      call.off('status', done);
      resolve();
    };
    call.on('drain', done);
    call.on('status', done);
  });
}

/** What a call ends with once its signal or the close of the client has ended it. */
export function stopped(signal: AbortSignal | undefined): ClientError {
  return signal?.aborted
    ? new ClientError('aborted', 'the call was aborted', { cause: signal.reason })
    : new ClientError('closed', 'the client was closed');
}

/** gRPC counts on the wall clock; what is left is measured on the monotonic one. */
function toDeadline(options: AttemptOptions): number {
  return Date.now() + Math.max(1, options.deadlineMs - performance.now());
}
