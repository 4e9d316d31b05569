import { type Clock, type Logger, type Random, systemClock, systemRandom } from '@dcache/base';
import { Keyring, lan, type Member, type Seeker, Serf } from '@dcache/serf';
import type { Bus, BusHandlers, BusMember, BusStats } from '../bus.js';
import { CacheError } from '../errors.js';
import { endpointOf, readHostPort } from './endpoint.js';
import { frame } from './frame.js';
import type { Identity } from './handshake.js';
import { Link } from './link.js';
import { Listener, type TlsMaterial } from './listener.js';

export interface GossipBusOptions {
  readonly node: string;
  readonly incarnation: string;
  readonly cluster: string;
  /** `host:port` for gossip, UDP and TCP. */
  readonly listen: string;
  /** `host` or `host:port` where the others reach this node. Default: as it listens. */
  readonly advertise?: string | undefined;
  /** TCP port of the streams; 0 takes one that is free and tells the others. */
  readonly streamPort: number;
  readonly peers: readonly string[];
  /** Keys in base64, or a keyring: gossip and streams are encrypted. */
  readonly keyring?: Keyring | readonly string[] | undefined;
  readonly tls?: TlsMaterial | undefined;
  readonly maxQueueBytes: number;
  readonly logger: Logger;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** Tags that a member announces: the port of its streams and its incarnation. */
const portTag = 'bcache_port';
const incarnationTag = 'bcache_inc';

/** Members by Serf's gossip; messages over one TCP stream each way between every two of them. */
export class GossipBus implements Bus {
  readonly #options: GossipBusOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #keyring: Keyring | undefined;
  readonly #listener: Listener;
  readonly #serf: (port: number) => Serf;
  #running: Serf | undefined;
  #handlers!: BusHandlers;
  readonly #links = new Map<string, { link: Link; place: string; member: BusMember }>();
  #isStopped = false;
  #seeker: Seeker | undefined;
  #overflows = 0;
  #bytesSent = 0;
  readonly #reported = new Map<string, string>();

  constructor(options: GossipBusOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    const { keyring, cluster, node, logger } = options;
    this.#keyring = keyring === undefined || keyring instanceof Keyring ? keyring : Keyring.fromBase64(keyring);
    const keys = this.#keyring;
    this.#listener = new Listener({
      own: this.#own,
      tls: options.tls,
      clock: this.#clock,
      onMessage: (from, message) => {
        // A stream can live on for a moment after its peer is declared dead, and come before it is declared alive.
        if (!this.#isStopped) this.#handlers.message(from, message);
      },
      onError: (error) => this.#report('listener', error),
    });
    this.#serf = (port) =>
      new Serf({
        ...lan(),
        // A partition that heals should heal in seconds.
        reconnectIntervalMs: 5_000,
        leavePropagateDelayMs: 300,
        name: node,
        bind: options.listen,
        ...(options.advertise === undefined ? {} : { advertise: options.advertise }),
        tags: { [portTag]: String(port), [incarnationTag]: options.incarnation },
        label: `bcache/${cluster}`,
        ...(keys === undefined ? {} : { keyring: keys }),
        logger,
      });
  }

  get #own(): Identity {
    const { cluster, node, incarnation } = this.#options;
    return { cluster, node, incarnation, keys: () => this.#keyring?.keys ?? [] };
  }

  async start(handlers: BusHandlers): Promise<void> {
    this.#handlers = handlers;
    try {
      const port = await this.#listener.listen(readHostPort(this.#options.listen)!.host, this.#options.streamPort);
      const serf = this.#serf(port);
      this.#watch(serf);
      await serf.start();
      this.#running = serf;
    } catch (error) {
      await this.#listener.close().catch(() => {});
      throw startFault(error as Error, this.#options);
    }
    await this.#join(this.#running);
  }

  members(): readonly BusMember[] {
    const serf = this.#running;
    if (serf === undefined) return [];
    const others = [...this.#links.values()].map(({ member }) => member);
    return [{ id: this.#options.node, address: serf.address }, ...others];
  }

  broadcast(bytes: Uint8Array): void {
    if (this.#links.size === 0) return;
    const framed = frame(bytes);
    for (const { link } of this.#links.values()) link.send(bytes, framed);
  }

  send(to: string, bytes: Uint8Array): void {
    this.#links.get(to)?.link.send(bytes);
  }

  async stop(timeoutMs: number): Promise<void> {
    if (this.#isStopped) return;
    this.#seeker?.stop();
    const endAtMs = this.#clock.monotonicMs() + timeoutMs;
    const leftMs = (): number => Math.max(0, endAtMs - this.#clock.monotonicMs());
    while (leftMs() > 0 && [...this.#links.values()].some(({ link }) => link.queuedBytes > 0))
      await this.#wait(Math.min(5, leftMs()));
    this.#isStopped = true;
    const serf = this.#running;
    if (serf !== undefined) {
      await Promise.race([serf.leave(), this.#wait(leftMs())]).catch(() => {});
      await serf.stop().catch(() => {});
    }
    for (const name of [...this.#links.keys()]) this.#unlink(name);
    await this.#listener.close();
  }

  stats(): BusStats {
    let overflows = this.#overflows;
    let bytesSent = this.#bytesSent;
    for (const { link } of this.#links.values()) {
      overflows += link.overflows;
      bytesSent += link.bytesSent;
    }
    return { overflows, bytesSent, refusals: this.#listener.refusals, bytesReceived: this.#listener.bytesReceived };
  }

  #watch(serf: Serf): void {
    const come = (member: Member): void => this.#link(member);
    serf.on('member-join', come);
    serf.on('member-update', come);
    serf.on('member-leave', (member) => this.#gone('member-leave', member));
    serf.on('member-failed', (member) => this.#gone('member-failed', member));
    serf.on('member-reap', (member) => this.#unlink(member.name));
    serf.on('conflict', () =>
      this.#report('conflict', new CacheError('duplicate-id', `two members use the id '${this.#options.node}'`)),
    );
    serf.on('shutdown', (reason) => {
      this.#report(
        'conflict',
        new CacheError('duplicate-id', `this node stopped gossiping: ${reason.message}`, { cause: reason }),
      );
    });
  }

  #link(member: Member): void {
    const port = Number(member.tags.get(portTag) ?? 0);
    if (member.name === this.#options.node || port === 0 || this.#isStopped) return;
    const place = `${member.address}:${port}/${member.tags.get(incarnationTag)}`;
    const held = this.#links.get(member.name);
    if (held?.place === place) return;
    this.#unlink(member.name);
    const link = new Link({
      own: this.#own,
      peer: member.name,
      host: member.address,
      port,
      tls: this.#options.tls,
      clock: this.#clock,
      random: () => this.#random.next(),
      maxQueueBytes: this.#options.maxQueueBytes,
      onOpen: () => {
        this.#reported.delete(member.name);
        this.#handlers.connected(member.name);
      },
      onError: (error) => this.#report(member.name, error),
    });
    const described = { id: member.name, address: endpointOf(member.address, member.port) };
    this.#links.set(member.name, { link, place, member: described });
    this.#handlers.peers([...this.#links.keys()]);
    if (held === undefined) this.#handlers.member('member-join', described);
  }

  #gone(type: 'member-leave' | 'member-failed', { name }: Member): void {
    const held = this.#links.get(name);
    if (held === undefined) return;
    this.#unlink(name);
    this.#handlers.member(type, held.member);
    // It may have been the one whose state this node was waiting for.
    if (this.#links.size === 0 && !this.#isStopped) this.#handlers.alone();
  }

  #unlink(name: string): void {
    const held = this.#links.get(name);
    if (held === undefined) return;
    held.link.close();
    this.#overflows += held.link.overflows;
    this.#bytesSent += held.link.bytesSent;
    this.#links.delete(name);
    this.#listener.drop(name);
    if (this.#isStopped) return;
    this.#handlers.peers([...this.#links.keys()]);
  }

  /** Looks for the given peers: all at once, then in the background for those that were not reached. */
  async #join(serf: Serf): Promise<void> {
    const { peers, logger } = this.#options;
    this.#seeker = serf.seek(peers, {
      onFault: (address, fault) => logger.info({ address, fault }, 'a peer is not reached; it is tried again'),
    });
    const faults = await this.#seeker.start();
    if (this.#isStopped || this.#links.size > 0) return;
    if (faults.length > 0) {
      const message = `no peer answered (${faults.join('; ')}); one of another cluster or key does not answer either`;
      this.#report('join', new CacheError('join-failed', message));
    }
    this.#handlers.alone();
  }

  /** Tells of a fault once, not at every redial. */
  #report(about: string, error: Error): void {
    const said = `${error.message}`;
    if (this.#isStopped || this.#reported.get(about) === said) return;
    this.#reported.set(about, said);
    this.#handlers.error(error);
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.#clock.after(ms, resolve));
  }
}

function startFault(error: Error & { code?: unknown }, { listen, streamPort }: GossipBusOptions): Error {
  if (typeof error.code !== 'string') return error;
  const isTaken = error.code === 'EADDRINUSE' || error.code === 'address-in-use';
  const isElsewhere = error.code === 'EADDRNOTAVAIL';
  const streams = streamPort === 0 ? '' : ` (streams on port ${streamPort})`;
  const why = isElsewhere ? 'no address of this machine; its own are allowed, and 0.0.0.0 for all' : error.message;
  const message = `cannot listen on ${listen}${streams}: ${why}`;
  return new CacheError(isTaken ? 'address-in-use' : 'cannot-listen', message, { cause: error });
}
