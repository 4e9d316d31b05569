import { randomInt } from 'node:crypto';
import { hostname } from 'node:os';
import type { Bus, BusMember } from './bus.js';
import { readClock } from './clock.js';
import { CacheError } from './errors.js';
import { Events } from './events.js';
import { decodeLease } from './fill/lease.js';
import { LeaseDesk } from './fill/lease-desk.js';
import { Loader } from './fill/loader.js';
import { GossipBus } from './net/gossip-bus.js';
import type { ResolvedOptions } from './options.js';
import { Replica } from './replica.js';

const tickMs = 200;
/** Lease messages are numbered from here on, the replicator's below. */
const firstLeaseType = 32;

/** What turns the pure parts: time, the bus, timers and events. The only place here that awaits the network. */
export class Driver {
  readonly options: ResolvedOptions;
  readonly events: Events = new Events();
  readonly replica: Replica;
  readonly loader: Loader;
  readonly peerId: string;
  #desk!: LeaseDesk;
  readonly #bus: Bus | undefined;
  readonly #setReadClock: (nowMs: number) => void;
  #peers: readonly string[] = [];
  #isClosed = false;
  #isFlushing = false;
  #isPumping = false;
  #stopTicks: () => void = () => {};
  readonly #ready: Promise<void>;
  #settleReady!: { resolve: () => void; reject: (error: Error) => void };
  #closing: Promise<void> | undefined;

  constructor(options: ResolvedOptions) {
    this.options = options;
    const { clock, random, logger } = options;
    this.peerId =
      options.peerId ?? `${hostname().replaceAll('/', '-').slice(0, 64)}-${randomInt(2 ** 40).toString(36)}`;
    const incarnation = Math.floor(clock.wallMs()) * 256 + randomInt(256);
    const reads = readClock(clock);
    this.#setReadClock = reads.set;
    const isShared = options.bus !== undefined || options.listen !== undefined;
    const { events } = this;
    this.replica = new Replica({
      node: this.peerId,
      incarnation,
      random,
      maxKeys: options.maxKeys,
      maxBytes: options.maxBytes,
      eviction: options.eviction,
      copy: options.copy,
      deletionDelayMs: options.deletionDelayMs,
      maxClockSkewMs: options.maxClockSkewMs,
      logBytes: options.historyBytes,
      isShared,
      now: reads.now,
      onSet: (namespace, key, change) => {
        if (change !== undefined) this.#desk.stored(namespace, key);
        if (events.listenerCount('set') > 0) events.emit('set', { namespace, key, isLocal: change === undefined });
      },
      onRemove: (namespace, key, reason) => {
        if (events.listenerCount(reason) > 0) events.emit(reason, { namespace, key });
      },
    });
    this.#bus = isShared ? (options.bus ?? this.#gossipBus(incarnation)) : undefined;
    this.#desk = new LeaseDesk({
      node: this.peerId,
      clock,
      send: (to, bytes) => this.#bus?.send(to, bytes),
      // One that was away for long gives nothing before it has taken a state: what it holds may be deleted.
      recordOf: (space, key) =>
        this.replica.replicator.isSyncing
          ? undefined
          : this.replica.store.recordOf(this.replica.store.space(space), key),
      take: (record) => this.replica.replicator.takeAside(record),
    });
    this.loader = new Loader({
      replica: this.replica,
      desk: this.#desk,
      clock,
      random,
      logger,
      advance: () => this.advance(),
      flush: () => this.#flush(),
      hasPeers: () => this.#peers.length > 0,
      onFill: (namespace, key, fillMs) => {
        if (events.listenerCount('fill') > 0) events.emit('fill', { namespace, key, fillMs });
      },
      onError: (error, namespace, key) => this.#report(error, { namespace, key }),
    });
    this.#ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.#ready.catch(() => {});
    this.advance();
  }

  async start(): Promise<void> {
    const { replica } = this;
    this.#stopTicks = this.options.clock.every(tickMs, () => this.#tick());
    if (this.#bus === undefined) {
      replica.replicator.alone();
      this.#carry();
      return;
    }
    try {
      await this.#bus.start({
        message: (from, bytes) => this.#onMessage(from, bytes),
        peers: (ids) => this.#onPeers(ids),
        connected: (peer) => this.#run(() => replica.replicator.connected(peer)),
        alone: () => this.#run(() => replica.replicator.alone()),
        member: (type, member) => {
          if (this.events.listenerCount(type) > 0) this.events.emit(type, member);
        },
        error: (error) => {
          if (error instanceof CacheError && error.code === 'duplicate-id') this.#settleReady.reject(error);
          this.#report(error, {});
        },
      });
    } catch (error) {
      this.#isClosed = true;
      this.#stopTicks();
      throw error;
    }
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get ready(): Promise<void> {
    return this.#ready;
  }

  members(): readonly BusMember[] {
    return this.#bus?.members() ?? [{ id: this.peerId, address: '' }];
  }

  busStats(): ReturnType<Bus['stats']> {
    return this.#bus?.stats() ?? { overflows: 0, refusals: 0, bytesSent: 0, bytesReceived: 0 };
  }

  /** Tells the replica the time. */
  advance(): void {
    const { clock } = this.options;
    const nowMs = clock.monotonicMs();
    this.#setReadClock(nowMs);
    this.replica.advance(clock.wallMs(), nowMs);
  }

  /** Something was published: it leaves with all else of this turn. */
  soon(): void {
    if (this.#isFlushing || this.#bus === undefined) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      if (!this.#isClosed) this.#flush();
    });
  }

  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    this.#flush();
    this.loader.close();
    this.#desk.close();
    this.#stopTicks();
    this.#settleReady.reject(new CacheError('closed', 'the cache was closed'));
    // What was published is on its way as bytes.
    this.replica.store.release();
    await this.#bus?.stop(timeoutMs);
  }

  #gossipBus(incarnation: number): Bus {
    const { listen, advertise, streamPort, peers, cluster, keyring, tls, maxQueueBytes, logger, clock, random } =
      this.options;
    return new GossipBus({
      node: this.peerId,
      incarnation: incarnation.toString(36),
      ...{ cluster, listen: listen!, advertise, streamPort, peers, keyring, tls, maxQueueBytes, logger, clock, random },
    });
  }

  #tick(): void {
    this.#run(() => this.replica.tick());
  }

  #run(action: () => void): void {
    if (this.#isClosed) return;
    this.advance();
    action();
    this.#carry();
  }

  #flush(): void {
    this.replica.replicator.flush();
    this.#carry();
  }

  #onMessage(from: string, bytes: Uint8Array): void {
    if (bytes.length > 0 && bytes[0]! >= firstLeaseType) {
      const message = decodeLease(bytes);
      this.#run(() => this.#desk.step(from, message));
    } else this.#run(() => this.replica.replicator.step(from, bytes));
  }

  #onPeers(ids: readonly string[]): void {
    this.#peers = ids;
    this.#run(() => {
      this.replica.replicator.setPeers(ids);
      this.#desk.setPeers(ids);
    });
  }

  /** Carries out what the replicator wants. */
  #carry(): void {
    const { messages, events, hasMore } = this.replica.replicator.take();
    for (const { to, bytes } of messages) {
      if (to === undefined) this.#bus?.broadcast(bytes);
      else this.#bus?.send(to, bytes);
    }
    for (const event of events) {
      switch (event.type) {
        case 'ready':
          this.#settleReady.resolve();
          break;
        case 'sync-start':
          if (this.events.listenerCount('sync-start') > 0) this.events.emit('sync-start', { peer: event.peer });
          break;
        case 'sync-end': {
          const { peer, records, ok } = event;
          if (this.events.listenerCount('sync-end') > 0) this.events.emit('sync-end', { peer, records, ok });
          break;
        }
        default:
          this.options.logger.warn(event, 'replication');
      }
    }
    if (hasMore && !this.#isPumping) {
      this.#isPumping = true;
      setImmediate(() => {
        this.#isPumping = false;
        this.#run(() => this.replica.replicator.pump());
      });
    }
  }

  #report(error: Error, fields: object): void {
    this.options.logger.warn(
      { ...fields, code: (error as { code?: string }).code, error: error.message },
      'cache error',
    );
    if (this.events.listenerCount('error') > 0) this.events.emit('error', error);
  }
}
