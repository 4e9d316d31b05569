import { EventEmitter } from 'node:events';
import { utf8 } from '@dcache/base';
import { type ConflictReport, ConflictVote } from './conflict.js';
import { parseAddress } from './core/address.js';
import { maxMetaBytes } from './core/config.js';
import type { SerfEvent, UserEvent } from './core/effects.js';
import type { Coordinate } from './core/message.js';
import type { Member } from './core/roster.js';
import { SerfError } from './errors.js';
import { describe, resolveEndpoints } from './host.js';
import { answerInternalQuery, isInternal } from './internal-query.js';
import { type JoinOptions, joinAddress } from './join.js';
import type { KeyManager } from './keys.js';
import { OpenQueries } from './open-queries.js';
import { checkTags, type ResolvedOptions, resolveOptions, type SerfOptions } from './options.js';
import { assemble, type Parts } from './parts.js';
import { type IncomingQuery, incomingQuery, type QueryHandle, type QueryOptions } from './query.js';
import { Seeker, type SeekOptions } from './seeker.js';
import { collectStats, type SerfStats } from './stats.js';
import { CachingCodec, encodeTags } from './wire/codec.js';

/** Events of a `Serf` and what their listeners get. */
export interface SerfEvents {
  /** Also for members that come back. */
  'member-join': [member: Member];
  'member-leave': [member: Member];
  'member-failed': [member: Member];
  /** Other tags or another address. */
  'member-update': [member: Member];
  /** Forgotten for good. */
  'member-reap': [member: Member];
  user: [event: UserEvent];
  query: [query: IncomingQuery];
  /** Two live members use one name. */
  conflict: [report: ConflictReport];
  /** The node stopped by itself; so far only because it lost its name (`SerfError` code `conflict`). */
  shutdown: [reason: SerfError];
}

/** So long after it came to a pool a member whose name is taken counts as the one that came second. */
const newcomerMs = 60_000;

type State = 'new' | 'starting' | 'running' | 'leaving' | 'left' | 'stopped';

/** A member of a Serf pool. Everything it tells comes as events; everything it is asked may fail with a `SerfError`. */
export class Serf extends EventEmitter<SerfEvents> {
  readonly #options: ResolvedOptions;
  readonly #codec = new CachingCodec();
  readonly #queries: OpenQueries;
  readonly #coordinates = new Map<string, Coordinate>();
  readonly #seekers = new Set<Seeker>();
  readonly #vote: ConflictVote;
  #tags: ReadonlyMap<string, string>;
  #state: State = 'new';
  #running: Parts | undefined;
  #onLeft: (() => void) | undefined;
  /** When a join last took this member, alone until then, to others; one that reaches nobody makes no newcomer of it. */
  #joinedMs = Number.NEGATIVE_INFINITY;

  /** A `TypeError` names the option that cannot be. */
  constructor(options: SerfOptions) {
    super();
    this.#options = resolveOptions(options);
    this.#queries = new OpenQueries(this.#options.timing.querySizeBytes);
    this.#tags = this.#options.tags;
    this.#checkMeta(this.#tags);
    this.#vote = new ConflictVote({
      ask: (name, payload) => this.query(name, payload),
      endpoint: () => this.#use().endpoint,
      isNewcomer: () => this.#options.clock.monotonicMs() - this.#joinedMs < newcomerMs,
      keepsName: this.#options.keepsName,
      report: (report) => this.emit('conflict', report),
      lost: (reason) => this.#loseName(reason),
      nowMs: () => this.#options.clock.monotonicMs(),
      logger: this.#options.logger,
    });
  }

  /**
   * Binds UDP and TCP on one port and becomes a pool of one. With a snapshot it then tries to rejoin in the
   * background. Throws `SerfError` `address-in-use`, `address`, `io` or `keyring`.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new SerfError('not-running', `a Serf is started once; this one is ${this.#state}`);
    this.#state = 'starting';
    try {
      await this.#start();
    } catch (error) {
      this.#state = 'stopped';
      throw error;
    }
  }

  /**
   * Joins the pool of any of the addresses (`host:port` or `host`) and returns how many answered. Throws `SerfError`
   * `join-failed` with every address's fault when none did, or the reason of `signal` when it ended the wait for the
   * last of them; what had answered before an abort counts.
   */
  async join(addresses: readonly string[], options: JoinOptions = {}): Promise<number> {
    const { reached, faults } = await this.#join(addresses, options);
    if (reached === 0) {
      options.signal?.throwIfAborted();
      throw new SerfError('join-failed', `no address answered: ${faults.join('; ') || 'none was given'}`);
    }
    for (const fault of faults) this.#options.logger.warn({ fault }, 'an address could not be joined');
    return reached;
  }

  /**
   * Looks for the members at the addresses until each was reached: `start()` of what is returned asks all at once and
   * tells how that went, then it goes on by itself, with pauses that grow (from one second to fifteen), until it or this
   * member is stopped. `join` asks once, and is content with one that answers.
   */
  seek(addresses: readonly string[], options: SeekOptions = {}): Seeker {
    const { core, endpoint } = this.#use();
    const { clock, random } = this.#options;
    const seeker: Seeker = new Seeker({
      ...options,
      ...{ addresses, clock, random },
      resolve: async (address) => (await resolveEndpoints(address, endpoint.port)).map(describe),
      join: async (target, signal) => {
        const { reached, faults } = await this.#join([target], { signal });
        if (reached === 0) throw new Error(faults.join('; '));
      },
      onStop: () => this.#seekers.delete(seeker),
      isSelf: (target) => target === describe(endpoint),
      isMember: (target) => core.roster.withStatus('alive').some((member) => placeOf(member) === target),
    });
    this.#seekers.add(seeker);
    return seeker;
  }

  /** All members that are known, this one included, whatever their status. */
  members(): readonly Member[] {
    return this.#used().core.roster.members();
  }

  member(name: string): Member | undefined {
    return this.#used().core.roster.get(name);
  }

  localMember(): Member {
    return this.#used().core.self;
  }

  /** `host:port` as others see it. */
  get address(): string {
    return describe(this.#used().endpoint);
  }

  /** Replaces this member's tags and resolves when they were gossiped, or after `broadcastTimeoutMs`. */
  async setTags(tags: Readonly<Record<string, string>> | ReadonlyMap<string, string>): Promise<void> {
    const { driver, core } = this.#use();
    const checked = checkTags(tags);
    this.#checkMeta(checked);
    this.#tags = checked;
    await this.#gossiped((done) => driver.run((_, nowMs) => core.setTags(nowMs, checked, done)));
  }

  get tags(): ReadonlyMap<string, string> {
    return this.#tags;
  }

  /**
   * Sends an event to every member, this one included; each delivers it at most once, in no promised order. Throws
   * `SerfError` `too-large`.
   */
  userEvent(name: string, payload: Uint8Array | string = '', options: { readonly coalesce?: boolean } = {}): void {
    const { driver, core } = this.#use();
    const { coalesce = true } = options;
    const bytes = typeof payload === 'string' ? utf8(payload) : payload;
    const limit = this.#options.timing.userEventSizeBytes;
    const body = { type: 'user-event', lTime: core.clocks.event, name, payload: bytes, coalesce } as const;
    const size = Math.max(utf8(name).length + bytes.length, this.#codec.sizeOf({ type: 'user', body }) - 1);
    if (size > limit) throw new SerfError('too-large', `event ${name} takes ${size} bytes, allowed are ${limit}`);
    driver.run((_, nowMs) => core.userEvent(nowMs, name, new Uint8Array(bytes), coalesce));
  }

  /** Asks members; iterate what is returned for acks and answers. Throws `SerfError` `too-large`. */
  query(name: string, payload: Uint8Array | string = '', options: QueryOptions = {}): QueryHandle {
    return this.#queries.ask(this.#use(), name, payload, options);
  }

  /** Declares a failed member to have left, so that nobody waits for it; `prune` forgets it at once. */
  async forceLeave(name: string, options: { readonly prune?: boolean } = {}): Promise<void> {
    const { driver, core } = this.#use();
    await this.#gossiped((done) =>
      driver.run((_, nowMs) => core.forceLeave(nowMs, name, options.prune === true, done)),
    );
  }

  /** Leaves in order: the pool sees a leave, not a failure. Takes a second or more; then the node has stopped. */
  async leave(): Promise<void> {
    const { driver, core } = this.#use();
    this.#state = 'leaving';
    this.#stopSeekers();
    await new Promise<void>((resolve) => {
      this.#onLeft = resolve;
      driver.run((_, nowMs) => core.leave(nowMs));
    });
    this.#running?.snapshot?.left();
    await this.#close('left');
  }

  /** Stops at once without telling anybody: to the pool it looks like a crash. */
  async stop(): Promise<void> {
    await this.#close('stopped');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Counts and clocks as of now. */
  stats(): SerfStats {
    const { core, driver, keys } = this.#used();
    return collectStats(core, driver.counters, keys.isEncrypted);
  }

  /** Changes and lists the keys of all members. */
  get keys(): KeyManager {
    return this.#use().keys;
  }

  /** A member's network coordinate, once this member has probed it; distances with `estimateRttSeconds`. */
  coordinate(name: string): Coordinate | undefined {
    const { core } = this.#used();
    return name === core.self.name ? core.coordinate : this.#coordinates.get(name);
  }

  async #join(
    addresses: readonly string[],
    options: JoinOptions,
  ): Promise<{ readonly reached: number; readonly faults: readonly string[] }> {
    const parts = this.#use();
    const { driver, core } = parts;
    const onAnswer = (): void => {
      // Before what was answered is known: a conflict over this member's name may be in it. Who knows others has a pool
      // already, and finds one of its lost members or adds to it: that makes no newcomer of it.
      if (core.roster.size === 1) this.#joinedMs = this.#options.clock.monotonicMs();
    };
    const faults = await Promise.all(addresses.map((address) => joinAddress(address, { ...parts, onAnswer }, options)));
    const told = faults.filter((fault) => fault !== undefined);
    const reached = addresses.length - told.length;
    // Stopped meanwhile: whoever was reached hears nothing more from here.
    if (reached > 0 && this.#state === 'running') driver.run((_, nowMs) => core.announceJoin(nowMs));
    return { reached, faults: told };
  }

  async #start(): Promise<void> {
    const { clock, logger, name } = this.#options;
    const parts = await assemble({
      options: this.#options,
      codec: this.#codec,
      tags: this.#tags,
      onEvent: (event) => this.#onEvent(event),
      query: (query, payload) => this.query(query, payload),
    });
    const { core, driver, snapshot, endpoint } = parts;
    this.#running = parts;
    this.#state = 'running';
    driver.run(() => {});
    snapshot?.start({
      clock,
      clocks: () => core.clocks,
      alive: () => core.roster.withStatus('alive').filter((member) => member.name !== name),
      rejoin: (address) => this.join([address]),
      name,
      isRunning: () => this.#state === 'running',
    });
    logger.info({ name, address: describe(endpoint) }, 'gossip runs');
  }

  #onEvent(event: SerfEvent): void {
    const { snapshot } = this.#used();
    switch (event.type) {
      case 'member-join':
      case 'member-leave':
      case 'member-failed':
      case 'member-update':
      case 'member-reap':
        snapshot?.memberChanged(event.type, event.member);
        if (event.type === 'member-leave' || event.type === 'member-failed')
          for (const seeker of this.#seekers) seeker.lost(placeOf(event.member));
        if (event.type === 'member-reap') this.#coordinates.delete(event.member.name);
        this.emit(event.type, event.member);
        break;
      case 'user':
        this.emit('user', event.event);
        break;
      case 'query':
        this.#onQuery(event);
        break;
      case 'query-ack':
      case 'query-response':
      case 'query-done':
        this.#queries.onNews(event);
        break;
      case 'conflict':
        this.#vote.onConflict(event);
        break;
      case 'coordinate':
        this.#coordinates.set(event.node, event.coordinate);
        break;
      case 'left':
        this.#onLeft?.();
    }
  }

  #onQuery({ query }: Extract<SerfEvent, { type: 'query' }>): void {
    const { core, driver, keys } = this.#used();
    const limit = this.#options.timing.queryResponseSizeBytes;
    const incoming = incomingQuery(query, (payload) => {
      const size = core.sizeOfResponse(query, payload);
      if (size > limit)
        throw new SerfError('too-large', `an answer to ${query.name} takes ${size} bytes, allowed are ${limit}`);
      return driver.run((_, nowMs) => core.respond(nowMs, query.lTime, query.id, new Uint8Array(payload)));
    });
    if (!isInternal(query.name)) this.emit('query', incoming);
    else answerInternalQuery(incoming, { core, keys, logger: this.#options.logger, responseBytes: limit });
  }

  /** Waits until something was gossiped, though not longer than `broadcastTimeoutMs`. */
  #gossiped(start: (done: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(this.#options.timing.broadcastTimeoutMs, resolve);
      start(() => {
        cancel();
        resolve();
      });
    });
  }

  #loseName(reason: SerfError): void {
    this.#close('stopped').then(
      () => this.emit('shutdown', reason),
      (error: Error) => this.#options.logger.error({ error: error.message }, 'the sockets did not close'),
    );
  }

  async #close(state: 'left' | 'stopped'): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'left') return;
    this.#state = state;
    this.#stopSeekers();
    this.#queries.finish();
    this.#onLeft?.();
    if (this.#running === undefined) return;
    this.#running.driver.stop();
    await this.#running.snapshot?.close();
    await this.#running.transport.close();
  }

  #stopSeekers(): void {
    for (const seeker of this.#seekers) seeker.stop();
  }

  #checkMeta(tags: ReadonlyMap<string, string>): void {
    const { length } = encodeTags(tags);
    if (length > maxMetaBytes)
      throw new SerfError('too-large', `the tags take ${length} bytes encoded, allowed are ${maxMetaBytes}`);
  }

  /** The parts, when the node runs. */
  #use(): Parts {
    if (this.#running === undefined || this.#state !== 'running')
      throw new SerfError(
        this.#state === 'left' ? 'left' : 'not-running',
        `the node is ${this.#state}; it works between start() and leave() or stop()`,
      );
    return this.#running;
  }

  /** The parts, also after the end: what was known stays readable. */
  #used(): Parts {
    if (this.#running === undefined) throw new SerfError('not-running', 'the node was never started');
    return this.#running;
  }
}

/** `ip:port` of a member. */
function placeOf({ address, port }: Member): string {
  return describe({ addr: parseAddress(address)!, port });
}
