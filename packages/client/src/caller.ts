import { setMaxListeners } from 'node:events';
import { assert } from '@dcache/base';
import { cacheService, type GrpcMethod, grpcEmpty, type ServerInfo } from '@dcache/protocol';
import { ClientError, type ClientErrorCode, type Failure } from './errors.js';
import { AttemptError, Link } from './link.js';
import type { ResolvedOptions } from './options.js';
import { again } from './session.js';
import { type Target, Topology } from './topology.js';

export interface CallOptions {
  /** Gives the call up; a write that was sent may still be applied. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds after which the call is given up, with all its attempts. Default the client's. */
  readonly timeoutMs?: number | undefined;
}

/** What a call may take; made once, so that all its attempts share it. */
export interface CallLimit {
  /** On `performance.now()`'s clock. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * What may be done when an attempt's outcome is not known. `read`: ask again, nothing changes by it. `stamped`: send it
 * again, its session applies it once. `once`: tell the caller.
 */
export type Repeat = 'read' | 'stamped' | 'once';

/** The first wait between two rounds over the servers; it doubles up to the second. */
const firstWaitMs = 25;
const lastWaitMs = 1_000;
/** How long a client that no server has ever answered tries them anew where none can be reached, in milliseconds. */
const firstContactMs = 1_000;
/** How long one server may take to tell who the servers are. */
const refreshTimeoutMs = 2_000;
/** With the leader gone, who leads is asked anew this often. */
const leaderlessRefreshMs = 500;

/** Sends calls to servers, until one is answered, decided, or out of time. */
export class Caller {
  readonly #options: ResolvedOptions;
  readonly #topology: Topology;
  readonly #closing = new AbortController();
  #refreshing: Promise<void> | undefined;
  #refreshedMs = Number.NEGATIVE_INFINITY;
  /** Some server has answered something. */
  #hasHeard = false;

  constructor(options: ResolvedOptions) {
    this.#options = options;
    // Every call that waits listens, and a thousand may.
    setMaxListeners(0, this.#closing.signal);
    this.#topology = new Topology(
      options.addresses,
      (address) => new Link(address, options),
      Math.floor(Math.random() * 1_000_000),
    );
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /**
   * One call with all its attempts. Gives `again` where a stamped write's session was gone before it was ever applied.
   * Rejects with a `ClientError`.
   */
  async call<Request, Response>(
    method: GrpcMethod<Request, Response>,
    request: Request,
    target: Target,
    repeat: Repeat,
    limit: CallLimit,
  ): Promise<Response | typeof again> {
    const { signal, deadlineMs } = limit;
    const tried = new Set<Link>();
    let mayBeApplied = false;
    let waitMs = firstWaitMs;
    const startMs = performance.now();
    for (;;) {
      this.#checkOpen();
      const link = this.#pick(target, tried);
      const attemptMs = Math.min(deadlineMs, performance.now() + this.#options.attemptTimeoutMs);
      try {
        const response = await link.call(method, request, { deadlineMs: attemptMs, signal });
        this.#hasHeard = true;
        return response;
      } catch (error) {
        if (!(error instanceof AttemptError)) throw error;
        const { failure } = error;
        this.#hasHeard ||= !failure.isNobody;
        if (!this.#hasHeard && performance.now() - startMs >= firstContactMs && !signal?.aborted && !this.isClosed)
          throw this.#nobody(failure);
        if (failure.kind === 'session-expired' && !mayBeApplied) return again;
        mayBeApplied ||= failure.kind === 'unknown';
        // Refused now, it may have been taken before; asked later, the session will tell.
        const mayTellLater = mayBeApplied && repeat === 'stamped' && failure.error.code === 'busy';
        const isOver =
          (failure.kind === 'final' && !mayTellLater) ||
          failure.kind === 'session-expired' ||
          (mayBeApplied && repeat === 'once') ||
          signal?.aborted ||
          this.isClosed ||
          performance.now() >= deadlineMs;
        if (isOver) throw verdict(failure, mayBeApplied && repeat !== 'read');
        tried.add(link);
        const isNews = failure.error.code === 'not-leader';
        if (isNews) await this.refresh();
        else if (failure.isLinkDown) void this.refresh();
      }
      if (this.#topology.hasOther(tried)) continue;
      tried.clear();
      await this.#pause(Math.min(waitMs * (0.5 + Math.random()), deadlineMs - performance.now()), signal);
      waitMs = Math.min(this.#hasHeard ? lastWaitMs : firstContactMs / 5, waitMs * 2);
    }
  }

  /** What a call with these options may take from now on. Throws a `TypeError`. */
  limit(options: CallOptions): CallLimit {
    const { signal, timeoutMs = this.#options.timeoutMs } = options;
    if (!(timeoutMs > 0)) throw new TypeError(`timeoutMs is ${timeoutMs}; it takes a number above 0`);
    // One signal may well end a thousand calls.
    if (signal) setMaxListeners(0, signal);
    return { deadlineMs: performance.now() + timeoutMs, signal };
  }

  /** Waits for `promise` as long as the limit allows. */
  async inTime(promise: Promise<void>, limit: CallLimit): Promise<void> {
    const waiting = new AbortController();
    const late = this.#pause(limit.deadlineMs - performance.now(), limit.signal, waiting.signal).then(() => {
      if (waiting.signal.aborted) return;
      if (limit.signal?.aborted)
        throw new ClientError('aborted', 'the call was aborted', { cause: limit.signal.reason });
      this.#checkOpen();
      const asked = this.#options.addresses.join(', ');
      throw new ClientError('unavailable', `${asked}: no server opened a session in time; nothing was written`);
    });
    try {
      await Promise.race([promise, late]);
    } finally {
      waiting.abort();
    }
  }

  /** Every server of the cluster, as the one asked knows them. */
  async servers(options: CallOptions): Promise<ServerInfo[]> {
    const response = await this.call(cacheService.getServers, grpcEmpty(), 'any', 'read', this.limit(options));
    assert(response !== again, 'a read carries no session');
    const servers = toServers(response);
    this.learn(servers);
    return servers;
  }

  /** The server to ask next, for what cannot be sent again by itself: a stream. */
  pick(target: Target): Link {
    this.#checkOpen();
    return this.#pick(target, new Set());
  }

  /** The connection to one server by its address. */
  linkTo(address: string): Link {
    this.#checkOpen();
    return this.#topology.link(address);
  }

  /** Asks who the servers are, once for all that wait for it. Never rejects: what was known stays. */
  refresh(): Promise<void> {
    if (!this.#options.discover) return Promise.resolve();
    this.#refreshing ??= this.#learn().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** Takes what a server told about the servers. */
  learn(servers: readonly ServerInfo[]): void {
    if (!this.#options.discover || this.isClosed || servers.length === 0) return;
    this.#topology.learn(servers);
    this.#refreshedMs = performance.now();
  }

  /** Ends every call that is under way and every connection. */
  close(): void {
    this.#closing.abort();
    this.#topology.close();
  }

  #pick(target: Target, tried: ReadonlySet<Link>): Link {
    const link = this.#topology.pick(target, tried);
    const ageMs = performance.now() - this.#refreshedMs;
    const leader = this.#topology.servers.find((server) => server.isLeader);
    const isElsewhere = target === 'leader' && leader?.rpcAddr !== link.address;
    if (ageMs > (isElsewhere ? leaderlessRefreshMs : this.#options.refreshMs)) void this.refresh();
    return link;
  }

  async #learn(): Promise<void> {
    const tried = new Set<Link>();
    while (!this.isClosed && (tried.size === 0 || this.#topology.hasOther(tried))) {
      const link = this.#topology.pick('any', tried);
      tried.add(link);
      try {
        const deadlineMs = performance.now() + refreshTimeoutMs;
        this.learn(toServers(await link.call(cacheService.getServers, grpcEmpty(), { deadlineMs, signal: undefined })));
        return;
      } catch (error) {
        if (!(error instanceof AttemptError)) throw error;
      }
    }
  }

  /** A wrong address or a server that does not run should be told at once, not after all the time of a call. */
  #nobody({ error }: Failure): ClientError {
    const asked = this.#options.addresses.join(', ');
    const why = /\b[a-z]+ E[A-Z]{4,} \S*[^.\s]|Name resolution failed/.exec(error.message)?.[0] ?? error.message;
    return new ClientError('unavailable', `no server answers at ${asked} (${why})`, { cause: error });
  }

  #checkOpen(): void {
    if (this.isClosed) throw new ClientError('closed', 'the client was closed');
  }

  /** Waits, or until one of the signals or the close of the client. */
  #pause(ms: number, ...signals: (AbortSignal | undefined)[]): Promise<void> {
    const ends = [...signals, this.#closing.signal];
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        for (const signal of ends) signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, ms));
      for (const signal of ends) signal?.addEventListener('abort', done, { once: true });
      if (ends.some((signal) => signal?.aborted)) done();
    });
  }
}

function toServers(response: ReturnType<typeof cacheService.getServers.responseDeserialize>): ServerInfo[] {
  return response.server.map((server) => ({
    id: server.id,
    rpcAddr: server.rpcAddr,
    isLeader: server.isLeader,
    voteStatus: server.voteStatus as ServerInfo['voteStatus'],
  }));
}

/** Refusals that only applying a write gives, so that they are its outcome, however often it was sent before. */
const answers: ReadonlySet<ClientErrorCode> = new Set(['precondition-failed', 'full'] as const);

/** What the caller hears in the end. */
function verdict(failure: Failure, mayBeApplied: boolean): ClientError {
  const { kind, error } = failure;
  if (kind === 'final' && (!mayBeApplied || answers.has(error.code))) return error;
  if (mayBeApplied || kind === 'session-expired')
    return new ClientError('unknown-outcome', `${error.message}; the write may or may not have been applied`, {
      cause: error,
    });
  return error.code === 'unknown-outcome' ? new ClientError('timeout', error.message, { cause: error }) : error;
}
