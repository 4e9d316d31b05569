import { assert, type Clock, type Logger, silentLogger, systemClock } from '@dcache/base';
import {
  type Command,
  type CommandHandler,
  CommandType,
  DcacheError,
  defaultLimits,
  type Found,
  type ReadOptions,
  type Reply,
  type RequestOptions,
  type ServerInfo,
} from '@dcache/protocol';
import { type AgentRpc, type Serf, startAgentRpc } from '@dcache/serf';
import { Admin } from './admin/admin.js';
import { withDefaultTtl } from './default-ttl.js';
import { Front } from './front.js';
import { InFlight } from './in-flight.js';
import { LogTime } from './log/log-time.js';
import { FoundingBounds } from './members/founding-bounds.js';
import { makeGossip } from './members/gossip.js';
import { Standing } from './members/standing.js';
import { Waiting } from './members/waiting.js';
import { RequestMetrics } from './observe/metrics-requests.js';
import type { Overview } from './observe/overview.js';
import { SlowLog } from './observe/slow-log.js';
import { isMember, type ServerStatus } from './observe/status.js';
import { Tracing } from './observe/tracing.js';
import { wirePeers } from './peer-wiring.js';
import { Forwarder } from './peers/forwarder.js';
import type { Peers } from './peers/peers.js';
import { type Running, run } from './running.js';
import { Security } from './security/security.js';
import { SelfView } from './self-view.js';
import { type ServerParts, throwFatal } from './server-parts.js';
import { formatAddress, isUnspecified } from './settings/address.js';
import { type ResolvedOptions, resolveOptions, type ServerOptions } from './settings/options.js';
import { depart, type ShutdownParts, takeDown } from './shutdown.js';
import { CacheStateMachine } from './state/state-machine.js';

/** How long requests that are under way may take when the node stops, in milliseconds. */
const drainMs = 1_000;
/** The revision once the founder has written how the cache is bounded: all that follow are writes of clients. */
const foundingRevision = 1;

/**
 * One node of a dcache cluster: the composition root. The constructor makes the parts, `start` wakes them from the log
 * and the port up, `stop` takes them down in reverse.
 */
export class Server implements CommandHandler {
  readonly #options: ResolvedOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #tracing: Tracing = new Tracing();
  readonly #metrics: RequestMetrics;
  readonly #security: Security;
  readonly #serf: Serf;
  readonly #standing: Standing;
  readonly #peers: Peers;
  readonly #view: SelfView;
  readonly #waiting: Waiting;
  readonly #front: Front;
  readonly #inFlight = new InFlight();
  /** Starts the log, and what writes to it, once it is settled which cluster this is. */
  readonly #run: (founds: boolean) => Promise<Running>;
  #running: Running | undefined;
  #serfRpc: AgentRpc | undefined;
  #isStopping = false;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #takingDown: Promise<void> | undefined;
  /** It was asked to leave, so that it goes for good even if its log is on disk. */
  #leavesForGood = false;

  /** Throws a `TypeError` for an option that is wrong; binds and dials nothing. */
  constructor(options: ServerOptions, parts: ServerParts = {}) {
    const { logger = silentLogger, clock = systemClock, onFatal = throwFatal, onLeft = () => {} } = parts;
    const resolved = resolveOptions(options);
    const { id, maxBytes, eviction, maxValueBytes, requestTimeoutMs, slowRequestMs } = resolved;
    const limits = { ...defaultLimits, maxValueBytes };
    const isStopping = (): boolean => this.#isStopping;
    const running = (): Running | undefined => this.#running;
    this.#options = resolved;
    this.#logger = logger;
    this.#clock = clock;

    const debug = parts.logsRequests ? logger : undefined;
    const slowLog = new SlowLog(slowRequestMs, clock, logger);
    const metrics = new RequestMetrics(slowLog, { tracing: this.#tracing, debug });
    this.#metrics = metrics;
    const time = new LogTime(clock);
    const bounds = new FoundingBounds(resolved, logger);
    const stateMachine = new CacheStateMachine(
      { maxBytes, eviction },
      (stampMs) => time.observe(stampMs),
      (founded) => bounds.are(founded),
    );
    const security = new Security(resolved, clock, logger);
    this.#security = security;
    const serf = makeGossip(resolved, security, clock, logger, {
      onChange: () => {
        this.#standing.look();
        this.#running?.membership.look();
      },
      onNameLost: () =>
        onFatal(new Error(`another live node of the cluster is called ${id}; give this one another --id`)),
      keepsName: (conflict) => this.#standing.keepsName(conflict),
    });
    this.#serf = serf;
    const standing = new Standing({
      ...{ options: resolved, serf, isStopping, onFatal, clock, logger },
      isWrittenTo: () => stateMachine.revision > foundingRevision,
    });
    this.#standing = standing;

    const peers = wirePeers({
      ...{ name: id, standing, security, stateMachine, running, clock, logger },
      forwarder: () => forwarder,
    });
    this.#peers = peers;
    const forwarder = new Forwarder(peers, clock, requestTimeoutMs);
    this.#run = (founds) =>
      run({
        ...{ options: resolved, limits, home: standing.known, founder: founds ? standing.identity() : undefined },
        ...{ stateMachine, time, serf, peers, forwarder, clock, logger, onFatal },
        quorumIs: (isLost) => standing.quorumIs(isLost),
      });

    const front = (): Front => this.#front;
    const { droppedLogLines = () => 0 } = parts;
    const view = new SelfView({
      ...{ id, standing, running, isStopping, stateMachine, serf, front, metrics, clock, droppedLogLines },
    });
    this.#view = view;
    this.#waiting = new Waiting({
      ...{ options: resolved, serf, joiner: standing.joiner, cluster: () => standing.home?.cluster, clock, logger },
      isMember: () => (this.#running ? isMember(this.#running.log.status()) : false),
      hasLeader: () => (this.#running?.log.leader() ?? 0) !== 0,
      isReady: () => view.isReady,
      quorumFault: () => this.#running?.quorum.fault,
    });
    const admin = new Admin({
      ...{ name: id, stateMachine, time, clock, logger, maxValueBytes },
      running: () => this.#checkRunning(),
      status: () => view.status(),
      isReady: () => view.isReady,
      stop: () => {
        this.#leavesForGood = true;
        void this.stop().then(onLeft, onFatal);
      },
    });
    this.#front = new Front({
      ...{ options: resolved, limits, security, handler: this, self: view, admin, peers, metrics, time, clock, logger },
    });
  }

  /** `host:port` that clients and peers reach; empty before `start`. */
  get rpcAddr(): string {
    return this.#standing.rpcAddr;
  }

  /**
   * Binds both ports, settles whether to found a cluster or to join one, and starts to serve. Rejects with an error that
   * names the address when one is taken; nothing is left behind then. Does not wait for a leader. Once only.
   */
  async start(): Promise<void> {
    assert(this.#starting === undefined, 'a server is started once');
    this.#starting = this.#startUp();
    try {
      await this.#starting;
    } catch (error) {
      this.#isStopping = true;
      this.#waiting.stop();
      await this.#takeDown();
      throw error;
    }
  }

  /**
   * Stops serving and takes the node down, also while it is still starting. In memory it leaves the cluster first,
   * because it will never be back under this id; on disk it hands leadership over and stays a member. The last voter just
   * stops. Takes a few seconds at most; may be called more than once.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Reads certificates and tokens again; what cannot be used is said, and the old goes on. */
  reload(): void {
    this.#security.reload();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  // Each request runs through one async function here and not two: a promise costs as much as reading the store.

  async write(command: Command, options?: RequestOptions): Promise<Reply> {
    const { router } = this.#checkRunning();
    const { defaultTtlMs } = this.#options;
    this.#inFlight.begin();
    try {
      return await router.write(withDefaultTtl(command, defaultTtlMs), options);
    } finally {
      this.#inFlight.end();
    }
  }

  async read(key: Uint8Array, options?: ReadOptions): Promise<Found | undefined> {
    const { router } = this.#checkRunning();
    this.#inFlight.begin();
    try {
      const found = await router.read(key, options);
      this.#metrics.observeRead(found !== undefined);
      return found;
    } finally {
      this.#inFlight.end();
    }
  }

  async readMany(keys: readonly Uint8Array[], options?: ReadOptions): Promise<readonly (Found | undefined)[]> {
    const { router } = this.#checkRunning();
    this.#inFlight.begin();
    try {
      const many = await router.readMany(keys, options);
      for (const found of many) this.#metrics.observeRead(found !== undefined);
      return many;
    } finally {
      this.#inFlight.end();
    }
  }

  servers(): readonly ServerInfo[] {
    return this.#view.servers();
  }

  /** A member with a leader, that has applied what it knows to be committed. */
  get isReady(): boolean {
    return this.#view.isReady;
  }

  status(): ServerStatus {
    return this.#view.status();
  }

  /** All metrics in Prometheus' text format. */
  metrics(): Promise<{ readonly text: string; readonly type: string }> {
    return this.#view.metrics();
  }

  /** What the page shows. */
  overview(): Overview {
    return this.#view.overview();
  }

  async #startUp(): Promise<void> {
    const standing = this.#standing;
    await this.#tracing.load();
    await standing.open();
    this.#goOn();
    await standing.isAt(await this.#bind());
    this.#goOn();
    this.#waiting.start();
    const founds = await standing.settle();
    this.#goOn();
    this.#running = await this.#run(founds);
    this.#goOn();
    if (founds) await this.#configure(this.#running);
    // A founder too: those whom it could not reach may be a cluster, and then the pool must hear of it.
    standing.joiner.start();
    const { id, serfAddress } = this.#options;
    this.#logger.info(
      { id, rpc: this.rpcAddr, serf: formatAddress(serfAddress.host, serfAddress.port) },
      founds ? `founded cluster ${standing.known.cluster}` : 'started',
    );
  }

  /** Ends a start that nobody wants any more. */
  #goOn(): void {
    if (this.#isStopping) throw new DcacheError('stopping', 'the node was stopped while it started');
  }

  /** Takes both ports; gives the address under which others reach the one for RPC. */
  async #bind(): Promise<string> {
    const { serfAddress, rpcPort, advertise, serfRpc } = this.#options;
    const { host } = serfAddress;
    const port = await this.#front.listen(host, rpcPort);
    this.#goOn();
    await this.#serf.start();
    this.#security.start();
    if (serfRpc) this.#serfRpc = await startAgentRpc(this.#serf, { bind: formatAddress(serfRpc.host, serfRpc.port) });
    if (advertise) return formatAddress(advertise.host, port);
    // Bound to every address, gossip has chosen the one that others reach.
    return formatAddress(isUnspecified(host) ? this.#serf.localMember().address : host, port);
  }

  /** The founder writes how the cache is bounded into the log, so that all nodes evict alike. */
  async #configure(running: Running): Promise<void> {
    const { maxBytes, eviction } = this.#options;
    await running.router.write({ type: CommandType.configure, maxBytes, eviction });
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    this.#waiting.stop();
    this.#standing.stop();
    this.#front.close();
    try {
      await this.#starting;
    } catch {
      // `start` tells it, and takes down what there is.
      return this.#takeDown();
    }
    await this.#inFlight.drain(this.#clock, drainMs);
    await depart(this.#shutdownParts(), this.#leavesForGood);
    await this.#takeDown();
  }

  #takeDown(): Promise<void> {
    this.#takingDown ??= takeDown(this.#shutdownParts());
    return this.#takingDown;
  }

  #shutdownParts(): ShutdownParts {
    return {
      ...{ id: this.#options.id, standing: this.#standing, running: this.#running, front: this.#front },
      ...{ security: this.#security, serfRpc: this.#serfRpc, serf: this.#serf, peers: this.#peers },
      logger: this.#logger,
    };
  }

  #checkRunning(): Running {
    if (this.#isStopping) throw new DcacheError('stopping', 'this node is stopping; ask another');
    if (!this.#running) throw new DcacheError('no-leader', 'this node is starting; try again in a moment');
    return this.#running;
  }
}
