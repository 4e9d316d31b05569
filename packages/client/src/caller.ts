import { setMaxListeners } from 'node:events';
import { assert } from '@dcache/base';
import { cacheService, type GrpcMethod, grpcEmpty, type ServerInfo } from '@dcache/protocol';
import { ClientError, type ClientErrorCode, type Failure } from './errors.js';
import { AttemptError, Link, stopped } from './link.js';
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
  /** It waits for a leader where there is none. */
  readonly needsLeader: boolean;
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
/** How long a connection may take while there is another server to ask, in milliseconds. */
const connectMs = 1_000;
/** How long one server may take to tell who the servers are. */
const refreshTimeoutMs = 2_000;
/** What may be sent once only is not begun anew with less time than this left, in milliseconds. */
const leastOnceMs = 500;
/** How long it may take to hear why something came to nothing whose time is over, in milliseconds. */
const lastWordsMs = 500;
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
    return (await this.#answer(method, request, target, repeat, limit)).response;
  }

  /** A call, and which server answered it. */
  async #answer<Request, Response>(
    method: GrpcMethod<Request, Response>,
    request: Request,
    target: Target,
    repeat: Repeat,
    limit: CallLimit,
  ): Promise<{ readonly response: Response | typeof again; readonly link: Link }> {
    const { signal, deadlineMs } = limit;
    const tried = new Set<Link>();
    /** While no server has ever answered: how each failed last. */
    const nobodies = new Map<Link, Failure>();
    let isLeaderless = false;
    let mayBeApplied = false;
    let waitMs = firstWaitMs;
    // Timers may be early by less than a millisecond, and nothing is answered in one.
    const isLate = (): boolean => deadlineMs - performance.now() < 1;
    let last: Failure;
    const startMs = performance.now();
    for (;;) {
      this.#checkOpen();
      const link = this.#pick(target, tried);
      const beganMs = performance.now();
      const attemptMs = Math.min(deadlineMs, beganMs + this.#options.attemptTimeoutMs);
      tried.add(link);
      // One that takes connections and says nothing must leave time for those that answer.
      const isLast = link.isConnected || !this.#topology.hasOther(tried);
      const connectByMs = isLast ? undefined : beganMs + Math.min(connectMs, (attemptMs - beganMs) / 2);
      try {
        const response = await link.call(method, request, { deadlineMs: attemptMs, signal, connectByMs });
        this.#hasHeard = true;
        return { response, link };
      } catch (error) {
        if (!(error instanceof AttemptError)) throw error;
        const { failure } = error;
        // How long it takes to reach nobody says nothing of how long another takes to answer.
        const tookMs = failure.isNobody ? 0 : performance.now() - beganMs;
        if (!signal?.aborted && !this.isClosed) this.#hasHeard ||= !failure.isNobody;
        if (failure.isNobody) nobodies.set(link, failure);
        const isInDoubt = repeat === 'once' && failure.kind === 'unknown';
        if (!this.#hasHeard && !isInDoubt && !signal?.aborted && !this.isClosed) {
          // Nobody waits for what only another configuration mends.
          const isHopeless = !this.#topology.hasOther(new Set(nobodies.keys())) && isLasting(nobodies);
          const isAllTried = !this.#topology.hasOther(tried) && performance.now() - startMs >= firstContactMs;
          if (isHopeless || isAllTried) throw this.#nobody(nobodies, failure);
        }
        isLeaderless ||= failure.error.reason === 'no-leader';
        // Who leads is asked before the next is chosen, within the time of this call.
        if (failure.error.code === 'not-leader') await this.#refreshed(limit);
        if (failure.kind === 'session-expired' && !mayBeApplied) return { response: again, link };
        mayBeApplied ||= failure.kind === 'unknown';
        // Refused now, it may have been taken before; asked later, the session will tell.
        const mayTellLater = mayBeApplied && repeat === 'stamped' && failure.error.code === 'busy';
        const isOver =
          (failure.kind === 'final' && !mayTellLater) ||
          failure.kind === 'session-expired' ||
          (mayBeApplied && repeat === 'once') ||
          // What is not sent again is not begun where it could be cut short: now it is certain that nothing was done.
          (repeat === 'once' && deadlineMs - performance.now() < Math.max(leastOnceMs, tookMs * 1.5)) ||
          signal?.aborted ||
          this.isClosed ||
          isLate();
        if (isOver) throw this.#conclude(failure, mayBeApplied && repeat !== 'read', isLeaderless, limit);
        last = failure;
        if (failure.isLinkDown) void this.refresh();
      }
      if (this.#topology.hasOther(tried)) continue;
      tried.clear();
      await this.#pause(Math.min(waitMs * (0.5 + Math.random()), deadlineMs - performance.now()), signal);
      if (isLate()) throw this.#conclude(last, mayBeApplied && repeat !== 'read', isLeaderless, limit);
      waitMs = Math.min(this.#hasHeard ? lastWaitMs : firstContactMs / 5, waitMs * 2);
    }
  }

  /** What the caller hears of a call that ends with `failure`. */
  #conclude(failure: Failure, isInDoubt: boolean, isLeaderless: boolean, limit: CallLimit): ClientError {
    const { signal, needsLeader } = limit;
    const isEnded = signal?.aborted || this.isClosed;
    const isLate = failure.kind !== 'final' && !isEnded;
    if (isLate && !isInDoubt && needsLeader && (isLeaderless || this.#isLeaderless))
      return this.#noLeader(failure.error);
    return verdict(failure.kind === 'undone' && isEnded ? { ...failure, error: stopped(signal) } : failure, isInDoubt);
  }

  /** What a call with these options may take from now on. Throws a `TypeError`. */
  limit(options: CallOptions, needsLeader: boolean): CallLimit {
    const { signal, timeoutMs = this.#options.timeoutMs } = options;
    // One signal may well end a thousand calls.
    if (signal) setMaxListeners(0, signal);
    return { deadlineMs: performance.now() + timeoutMs, signal, needsLeader };
  }

  /** Waits for `promise`, which ends about `untilMs`, as long as the limit allows. */
  async inTime(promise: Promise<void>, limit: CallLimit, untilMs: number): Promise<void> {
    const waiting = new AbortController();
    const late = this.#pause(limit.deadlineMs - performance.now(), limit.signal, waiting.signal).then(async () => {
      // Where both end together, it is about to tell why; that its time is over says less.
      if (untilMs - limit.deadlineMs < 1) await this.#pause(lastWordsMs, limit.signal, waiting.signal);
      if (waiting.signal.aborted) return;
      if (limit.signal?.aborted)
        throw new ClientError('aborted', 'the call was aborted', { cause: limit.signal.reason });
      this.#checkOpen();
      if (this.#isLeaderless) throw this.#noLeader();
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
    return (await this.#hear(this.limit(options, false))).servers;
  }

  /** A server that answers, for what cannot be sent again by itself: a stream. */
  async reach(options: CallOptions): Promise<Link> {
    const { link } = await this.#hear(this.limit(options, false));
    // What it told may be that it belongs to the cluster no more: then its connection was ended with that answer.
    return this.linkTo(link.address);
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
        const nowMs = performance.now();
        const limit = { deadlineMs: nowMs + refreshTimeoutMs, connectByMs: nowMs + connectMs, signal: undefined };
        const response = await link.call(cacheService.getServers, grpcEmpty(), limit);
        this.#hasHeard = true;
        this.learn(toServers(response));
        return;
      } catch (error) {
        if (!(error instanceof AttemptError)) throw error;
        if (!this.isClosed) this.#hasHeard ||= !error.failure.isNobody;
      }
    }
  }

  /** Asks who the servers are, and waits for it as long as the limit allows. */
  async #refreshed(limit: CallLimit): Promise<void> {
    const waiting = new AbortController();
    const late = this.#pause(limit.deadlineMs - performance.now(), limit.signal, waiting.signal);
    await Promise.race([this.refresh(), late]);
    waiting.abort();
  }

  async #hear(limit: CallLimit): Promise<{ readonly servers: ServerInfo[]; readonly link: Link }> {
    const { response, link } = await this.#answer(cacheService.getServers, grpcEmpty(), 'any', 'read', limit);
    assert(response !== again, 'a read carries no session');
    const servers = toServers(response);
    this.learn(servers);
    return { servers, link };
  }

  /** A wrong address or a server that does not run should be told at once, not after all the time of a call. */
  #nobody(nobodies: ReadonlyMap<Link, Failure>, last: Failure): ClientError {
    const { addresses } = this.#options;
    // What has to be mended goes before what may pass.
    const told = [...nobodies.values()].find((one) => one.fault?.isLasting) ?? last;
    const { error, fault } = told;
    if (fault?.isLasting && addresses.length === 1) return error;
    const why = addresses.length === 1 && fault ? `it ${fault.text}` : error.message;
    const message = `no server answers at ${addresses.join(', ')} (${why})`;
    return new ClientError('unavailable', message, { cause: error, reason: error.reason });
  }

  /** The server that told last who there is knew of no leader. */
  get #isLeaderless(): boolean {
    const { servers } = this.#topology;
    return servers.length > 0 && !servers.some((server) => server.isLeader);
  }

  #noLeader(cause?: ClientError): ClientError {
    const voters = this.#topology.servers.filter((server) => server.voteStatus === 'Voter').map((server) => server.id);
    const whose = voters.length > 0 ? ` (${voters.join(', ')})` : '';
    return new ClientError(
      'unavailable',
      `${this.#options.addresses.join(', ')}: the cluster has no leader; a majority of its voters${whose} must run and reach each other. Nothing was done`,
      { cause, reason: 'no-leader' },
    );
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

function isLasting(failures: ReadonlyMap<Link, Failure>): boolean {
  return [...failures.values()].every((failure) => failure.fault?.isLasting);
}

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
