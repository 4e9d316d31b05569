import { assert, ByteWriter, type Clock, type Logger, silentLogger, systemClock } from '@dcache/base';
import type { Mux } from '@dcache/mux';
import {
  type Command,
  type CommandHandler,
  CommandType,
  DcacheError,
  defaultLimits,
  type Found,
  type Limits,
  type ReadOptions,
  type Reply,
  type ServerInfo,
} from '@dcache/protocol';
import { RaftNode } from '@dcache/raft';
import { type AgentRpc, type Serf, startAgentRpc } from '@dcache/serf';
import { type Address, formatAddress, isUnspecified, parseAddress } from './address.js';
import { Admin } from './admin.js';
import type { Authorize } from './api/access.js';
import { GrpcApi, type GrpcApiOptions } from './api/grpc.js';
import { HttpApi } from './api/http.js';
import { answerInternal } from './api/internal.js';
import { hostCheck } from './api/origin.js';
import { newClusterId } from './cluster-id.js';
import { ClusterWatch } from './cluster-watch.js';
import { withDefaultTtl } from './default-ttl.js';
import { Departure } from './departure.js';
import { writeIdentity } from './directory.js';
import { Forwarder } from './forwarder.js';
import { isToFound } from './founding.js';
import { makeGossip } from './gossip.js';
import { GroupCommit } from './group-commit.js';
import { Joiner } from './joiner.js';
import { LogHome } from './log-home.js';
import { LogTime } from './log-time.js';
import { Membership, memberTags } from './membership.js';
import { metricsContentType, metricsText, requestFamilies } from './metrics.js';
import { type NodeStats, nodeFamilies } from './metrics-node.js';
import { RequestMetrics } from './metrics-requests.js';
import { type ResolvedOptions, resolveOptions, type ServerOptions } from './options.js';
import { type Overview, overview } from './overview.js';
import { type FrameTargets, handlePeerFrame } from './peer-frames.js';
import { Peers, type Reply as ReplyFrame } from './peers.js';
import { makePort } from './port.js';
import { RaftReplicatedLog } from './replicated-log.js';
import { Router } from './router.js';
import { isLoopback, Security } from './security.js';
import { SlowLog } from './slow-log.js';
import { CacheStateMachine } from './state-machine.js';
import { isReady, type ServerStatus, serverStatus } from './status.js';
import { TouchFeed } from './touch-feed.js';
import { Tracing } from './tracing.js';
import { version } from './version.js';

export interface ServerParts {
  /** Default silent. */
  readonly logger?: Logger;
  /** Give each request an id and a line at level debug. Default false. */
  readonly logsRequests?: boolean;
  /** Default the machine's. */
  readonly clock?: Clock;
  /**
   * Called once when the node has to end by itself: its disk or log failed, its name is taken, or it found itself among
   * the nodes of another cluster. Default: the error is thrown as an uncaught exception, so that it cannot be missed.
   */
  readonly onFatal?: (error: Error) => void;
  /** Called once the node has left the cluster because a client asked for it, and has stopped. */
  readonly onLeft?: () => void;
}

/** Bytes of writes that may wait for the next turn of the event loop; more are `busy`. */
const maxWaitingBytes = 64 * 1_048_576;
/** How often the leader looks whether something is due to expire, in milliseconds. */
const expiryCheckMs = 100;
/** How long requests that are under way may take when the node stops, in milliseconds. */
const drainMs = 1_000;

/** An error that nobody listens for must not be lost: a node that cannot go on would look alive. */
function throwFatal(error: Error): void {
  setImmediate(() => {
    throw error;
  });
}

const departureMessage = {
  left: 'left the cluster',
  last: 'the last voter of the cluster stops',
  unheard: 'stops without having left the cluster: nobody took the request',
} as const;

/** What exists once the cluster question is settled. */
interface Running {
  readonly node: RaftNode<readonly Reply[]>;
  readonly log: RaftReplicatedLog;
  readonly groupCommit: GroupCommit;
  readonly router: Router;
  readonly membership: Membership;
  readonly departure: Departure;
  readonly stopExpiry: () => void;
  readonly touchFeed: TouchFeed;
}

/**
 * One node of a dcache cluster: the composition root. `start` builds from the port up, `stop` takes down in reverse.
 */
export class Server implements CommandHandler {
  readonly #options: ResolvedOptions;
  readonly #limits: Limits;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #onFatal: (error: Error) => void;
  readonly #onLeft: () => void;
  readonly #tracing: Tracing = new Tracing();
  readonly #metrics: RequestMetrics;
  #startedMs = 0;
  readonly #stateMachine: CacheStateMachine;
  readonly #time: LogTime;
  readonly #security: Security;
  readonly #serf: Serf;
  readonly #mux: Mux;
  readonly #http: HttpApi | undefined;
  readonly #grpc: GrpcApi | undefined;
  readonly #peers: Peers;
  readonly #forwarder: Forwarder;
  readonly #joiner: Joiner;
  /** Set by `start`, before anything asks who this node is. */
  #home: LogHome | undefined;
  #watch: ClusterWatch | undefined;
  #running: Running | undefined;
  #serfRpc: AgentRpc | undefined;
  #rpcAddr = '';
  #isStopping = false;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #takingDown: Promise<void> | undefined;
  /** It was asked to leave, so that it goes for good even if its log is on disk. */
  #hasLeft = false;
  #inFlight = 0;
  #isProposingTime = false;

  /** Throws a `TypeError` for an option that is wrong; binds and dials nothing. */
  constructor(options: ServerOptions, parts: ServerParts = {}) {
    this.#options = resolveOptions(options);
    this.#logger = parts.logger ?? silentLogger;
    this.#clock = parts.clock ?? systemClock;
    this.#onFatal = parts.onFatal ?? throwFatal;
    this.#onLeft = parts.onLeft ?? (() => {});
    this.#limits = { ...defaultLimits, maxValueBytes: this.#options.maxValueBytes };
    this.#time = new LogTime(this.#clock);
    this.#stateMachine = new CacheStateMachine(
      { maxBytes: this.#options.maxBytes, eviction: this.#options.eviction },
      (stampMs) => this.#time.observe(stampMs),
    );
    this.#security = new Security(this.#options, this.#clock, this.#logger);
    this.#serf = makeGossip(this.#options, this.#security, this.#clock, this.#logger, {
      onChange: () => {
        void this.#watch?.look();
        this.#running?.membership.look();
      },
      onNameLost: () => {
        const { id } = this.#options;
        this.#onFatal(new Error(`another live node of the cluster is called ${id}; give this one another --id`));
      },
    });
    this.#joiner = new Joiner(this.#serf, this.#options.join, this.#clock, this.#logger);
    this.#peers = this.#makePeers();
    this.#forwarder = new Forwarder(this.#peers, this.#clock, this.#options.requestTimeoutMs);
    const { tokens, tls } = this.#security;
    const authorize: Authorize = (authorization, access) => tokens?.check(authorization, access);
    this.#metrics = new RequestMetrics(new SlowLog(this.#options.slowRequestMs, this.#clock, this.#logger), {
      tracing: this.#tracing,
      debug: parts.logsRequests ? this.#logger : undefined,
    });
    const api = {
      handler: this,
      limits: this.#limits,
      logger: this.#logger,
      metrics: this.#metrics,
      ...(tokens ? { authorize } : {}),
    };
    const { serfAddress, advertise, insecure } = this.#options;
    const checksHost = isLoopback(serfAddress.host) && !tokens && !tls && !insecure;
    if (this.#options.http)
      this.#http = new HttpApi({
        ...api,
        internal: (path) => answerInternal(path, this),
        ...(checksHost ? { checkHost: hostCheck(advertise ? [advertise.host] : []) } : {}),
      });
    if (this.#options.grpc) this.#grpc = this.#makeGrpc(api);
    this.#mux = makePort({
      peers: (socket) => this.#peers.accept(socket),
      grpc: this.#grpc?.accept.bind(this.#grpc),
      http: this.#http?.accept.bind(this.#http),
      tls,
      maxKeyBytes: this.#limits.maxKeyBytes,
      logger: this.#logger,
    });
  }

  /** `host:port` that clients and peers reach; empty before `start`. */
  get rpcAddr(): string {
    return this.#rpcAddr;
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

  write(command: Command): Promise<Reply> {
    const { defaultTtlMs } = this.#options;
    return this.#request((router) => router.write(withDefaultTtl(command, defaultTtlMs)));
  }

  async read(key: Uint8Array, options?: ReadOptions): Promise<Found | undefined> {
    const found = await this.#request((router) => router.read(key, options));
    this.#metrics.observeRead(found !== undefined);
    return found;
  }

  async readMany(keys: readonly Uint8Array[], options?: ReadOptions): Promise<readonly (Found | undefined)[]> {
    const many = await this.#request((router) => router.readMany(keys, options));
    for (const found of many) this.#metrics.observeRead(found !== undefined);
    return many;
  }

  servers(): readonly ServerInfo[] {
    return this.#running?.router.servers() ?? [];
  }

  /** A member with a leader, that has applied what it knows to be committed. */
  get isReady(): boolean {
    return isReady(this.#running?.log.status(), this.#isStopping);
  }

  status(): ServerStatus {
    return serverStatus({
      id: this.#options.id,
      raftId: this.#home?.raftId ?? 0,
      rpcAddr: this.#rpcAddr,
      cluster: this.#home?.cluster,
      isStopping: this.#isStopping,
      raft: this.#running?.log.status(),
      stateMachine: this.#stateMachine,
      servers: this.servers(),
    });
  }

  /** All metrics in Prometheus' text format. */
  async metrics(): Promise<{ readonly text: string; readonly type: string }> {
    const families = [...requestFamilies(this.#metrics), ...nodeFamilies(this.#stats())];
    return { text: await metricsText(families), type: metricsContentType };
  }

  /** What the page shows. */
  overview(): Overview {
    const { directory } = this.#stateMachine;
    const known = this.#running?.membership.gossip() ?? [];
    const monotonicMs = this.#clock.monotonicMs();
    return overview({
      status: this.status(),
      stats: this.#stats(),
      requests: this.#metrics,
      monotonicMs,
      uptimeSeconds: (monotonicMs - this.#startedMs) / 1_000,
      gossip: (name) => known.find((member) => member.name === name)?.status,
      raftId: (name) => [...directory.entries()].find(([, identity]) => identity.name === name)?.[0],
    });
  }

  #stats(): NodeStats {
    const { node, log } = this.#running ?? {};
    return {
      raft: node && log && { stats: node.stats(), status: log.status() },
      serf: this.#serf.stats(),
      store: this.#stateMachine.store.stats(),
      mux: this.#mux.stats(),
      isReady: this.isReady,
      sessions: this.#stateMachine.sessionCount,
      revision: this.#stateMachine.revision,
      stampMs: this.#stateMachine.stampMs,
      version,
    };
  }

  async #startUp(): Promise<void> {
    this.#startedMs = this.#clock.monotonicMs();
    await this.#tracing.load();
    const { inMemory, dataDir, id, serfAddress, rpcPort, bootstrap, advertise, serfRpc } = this.#options;
    const { host } = serfAddress;
    this.#home = await LogHome.open({ inMemory, dataDir, name: id, clock: this.#clock, logger: this.#logger });
    const adopt = (cluster: string) => this.#belongTo(cluster);
    this.#watch = new ClusterWatch({
      serf: this.#serf,
      home: this.#home,
      name: id,
      joins: this.#joiner.hasAddresses,
      adopt,
      onFatal: this.#onFatal,
      clock: this.#clock,
      logger: this.#logger,
    });
    this.#goOn();
    const bound = await this.#mux.listen(host, rpcPort);
    this.#rpcAddr = formatAddress(advertise?.host ?? host, bound.port);
    this.#goOn();
    await this.#serf.start();
    // Bound to every address, gossip has chosen the one that others reach.
    if (!advertise && isUnspecified(host)) this.#rpcAddr = formatAddress(this.#serf.localMember().address, bound.port);
    this.#security.start();
    if (serfRpc) this.#serfRpc = await startAgentRpc(this.#serf, { bind: formatAddress(serfRpc.host, serfRpc.port) });
    await this.#serf.setTags(this.#tags());
    this.#goOn();
    const founds = bootstrap && !this.#home.hasHistory && (await this.#isToFound());
    this.#goOn();
    if (founds) {
      this.#watch.founded();
      await this.#belongTo(this.#home.cluster ?? newClusterId());
    }
    this.#running = await this.#run(this.#home, founds);
    this.#goOn();
    if (founds) await this.#configure(this.#running);
    else this.#joiner.start();
    this.#logger.info(
      { id, rpc: this.#rpcAddr, serf: formatAddress(host, serfAddress.port) },
      founds ? `founded cluster ${this.#home.cluster}` : 'started',
    );
  }

  /** Ends a start that nobody wants any more. */
  #goOn(): void {
    if (this.#isStopping) throw new DcacheError('stopping', 'the node was stopped while it started');
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    this.#joiner.stop();
    this.#mux.close();
    try {
      await this.#starting;
    } catch {
      // `start` tells it, and takes down what there is.
      return this.#takeDown();
    }
    await this.#drain();
    const running = this.#running;
    running?.membership.stop();
    running?.stopExpiry();
    running?.touchFeed.stop();
    if (this.#home?.isDurable && !this.#hasLeft) {
      await running?.departure.handOver();
      this.#logger.info({ id: this.#options.id }, 'stops and stays a member');
    } else if (running) {
      this.#logger.info({ id: this.#options.id }, departureMessage[await running.departure.leave()]);
      await this.#attempt('leave', () => this.#serf.leave());
    }
    await this.#takeDown();
  }

  /** Frees all that `start` took, in reverse; a step that fails does not keep the others. */
  #takeDown(): Promise<void> {
    this.#takingDown ??= (async () => {
      const running = this.#running;
      running?.membership.stop();
      running?.stopExpiry();
      running?.touchFeed.stop();
      this.#joiner.stop();
      this.#mux.close();
      this.#security.stop();
      await this.#attempt('serf rpc', () => this.#serfRpc?.stop());
      await this.#attempt('gossip', () => this.#serf.stop());
      await this.#attempt('log', () => running?.node.stop() ?? this.#home?.storage.close());
      await this.#attempt('peers', () => this.#peers.stop());
      this.#grpc?.close(0);
      this.#http?.close();
      this.#mux.destroyConnections();
    })();
    return this.#takingDown;
  }

  async #attempt(step: string, run: () => Promise<unknown> | undefined): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#logger.warn({ err: error, step }, 'a part did not stop as it should');
    }
  }

  get #known(): LogHome {
    assert(this.#home, 'the node has not opened its log yet');
    return this.#home;
  }

  #makeGrpc(api: Pick<GrpcApiOptions, 'handler' | 'limits' | 'logger' | 'authorize' | 'metrics'>): GrpcApi {
    const admin = new Admin({
      name: this.#options.id,
      running: () => this.#checkRunning(),
      stateMachine: this.#stateMachine,
      time: this.#time,
      clock: this.#clock,
      logger: this.#logger,
      maxValueBytes: this.#limits.maxValueBytes,
      status: () => this.status(),
      isReady: () => this.isReady,
      stop: () => {
        this.#hasLeft = true;
        void this.stop().then(this.#onLeft, this.#onFatal);
      },
    });
    return new GrpcApi({ ...api, admin, clock: this.#clock, nowMs: () => this.#time.nowMs() });
  }

  #makePeers(): Peers {
    return new Peers({
      identity: () => ({ id: this.#known.raftId, name: this.#options.id, cluster: this.#known.cluster }),
      addressOf: (id) => this.#addressOf(id),
      onFrame: (from, kind, payload, reply) => this.#onFrame(from, kind, payload, reply),
      onLinkDown: (id) => this.#forwarder.linkDown(id),
      security: {
        keys: () => this.#security.keyring?.keys,
        tls: this.#security.tls,
        nameOf: (id) =>
          this.#stateMachine.directory.get(id)?.name ??
          this.#running?.membership.gossip().find((member) => member.raftId === id)?.name,
      },
      clock: this.#clock,
      logger: this.#logger,
    });
  }

  async #run(home: LogHome, founds: boolean): Promise<Running> {
    const node = new RaftNode<readonly Reply[]>({
      id: home.raftId,
      storage: home.storage,
      transport: this.#peers,
      stateMachine: this.#stateMachine,
      ...(founds ? { bootstrap: { context: this.#identity() } } : {}),
      maxProposalBytes: this.#limits.maxValueBytes + this.#limits.maxKeyBytes + 2 * 1_048_576,
      trailingEntries: this.#options.trailingEntries,
      clock: this.#clock,
      logger: this.#logger,
    });
    node.on('snapshot-installed', (snapshot) => this.#logger.info(snapshot, 'a snapshot was installed'));
    node.on('fatal', (error) => this.#onFatal(error));
    node.on('leader-change', ({ leader }) => {
      if (leader !== undefined) this.#forwarder.leaderIs(leader);
      this.#running?.membership.look();
    });
    const log = new RaftReplicatedLog(node);
    await node.start();
    const groupCommit = new GroupCommit((data) => log.append(data), this.#time, maxWaitingBytes);
    const router = new Router({
      log,
      groupCommit,
      forwarder: this.#forwarder,
      stateMachine: this.#stateMachine,
      time: this.#time,
      clock: this.#clock,
      readConsistency: this.#options.readConsistency,
      requestTimeoutMs: this.#options.requestTimeoutMs,
    });
    const membership = new Membership({
      log,
      serf: this.#serf,
      directory: () => this.#stateMachine.directory,
      cluster: () => home.cluster,
      clock: this.#clock,
      logger: this.#logger,
      removeFailedAfterMs: this.#options.removeFailedAfterMs,
    });
    membership.start();
    const stopExpiry = this.#clock.every(expiryCheckMs, () => void this.#proposeTime(log));
    const touchFeed = new TouchFeed(this.#stateMachine, (command) => router.write(command), this.#clock);
    return {
      node,
      log,
      groupCommit,
      router,
      membership,
      departure: new Departure(log, this.#peers, this.#clock),
      stopExpiry,
      touchFeed,
    };
  }

  /** The founder writes how the cache is bounded into the log, so that all nodes evict alike. */
  async #configure(running: Running): Promise<void> {
    const { maxBytes, eviction } = this.#options;
    await running.router.write({ type: CommandType.configure, maxBytes, eviction });
  }

  /**
   * Nothing is written, but something is due: entries that carry nothing but time, one after the other, because each
   * lets only so many expire.
   */
  async #proposeTime(log: RaftReplicatedLog): Promise<void> {
    if (this.#isProposingTime) return;
    this.#isProposingTime = true;
    try {
      while (!this.#isStopping && log.leader() === log.id) {
        const dueMs = this.#stateMachine.store.nextExpiryMs();
        if (dueMs === undefined || dueMs > this.#time.nowMs() || !this.#running) return;
        await this.#running.groupCommit.appendTime();
      }
    } catch {
      // Lost with the leadership or refused as busy, it is proposed again at the next look.
    } finally {
      this.#isProposingTime = false;
    }
  }

  /** Who was told of others founds a cluster only where they have none. */
  async #isToFound(): Promise<boolean> {
    if (!this.#joiner.hasAddresses) return true;
    return isToFound({
      serf: this.#serf,
      name: this.#options.id,
      ask: () => this.#joiner.tryOnce(true),
      hasCluster: async () => (await this.#watch?.seesCluster()) ?? false,
      tell: (founder) => {
        this.#serf.setTags({ ...this.#tags(), [memberTags.founder]: founder }).catch((error: unknown) => {
          this.#logger.warn({ err: error }, 'gossip could not be told that this node founds a cluster');
        });
      },
      isStopping: () => this.#isStopping,
      clock: this.#clock,
      logger: this.#logger,
    });
  }

  async #belongTo(cluster: string): Promise<void> {
    await this.#known.adopt(cluster);
    await this.#serf.setTags(this.#tags());
  }

  #tags(): Record<string, string> {
    return {
      [memberTags.rpcAddr]: this.#rpcAddr,
      [memberTags.raftId]: String(this.#known.raftId),
      ...(this.#known.cluster === undefined ? {} : { [memberTags.cluster]: this.#known.cluster }),
      ...(this.#watch?.hasFounded ? { [memberTags.founder]: 'founded' } : {}),
    };
  }

  #identity(): Uint8Array {
    const writer = new ByteWriter();
    writeIdentity(writer, { name: this.#options.id, rpcAddr: this.#rpcAddr });
    return writer.copy();
  }

  /** Gossip knows best where a node is now; the log knows it of those that gossip has lost. */
  #addressOf(id: number): Address | undefined {
    const told = this.#running?.membership.gossip().find((member) => member.raftId === id && member.status === 'alive');
    const rpcAddr = told?.rpcAddr ?? this.#stateMachine.directory.get(id)?.rpcAddr;
    return rpcAddr === undefined ? undefined : parseAddress(rpcAddr);
  }

  #onFrame(from: number, kind: number, payload: Uint8Array, reply: ReplyFrame): void {
    const running = this.#running;
    const targets: FrameTargets = {
      append: running && ((command) => running.groupCommit.append(command)),
      remove: running && ((id) => running.membership.remove(id)),
      onForwarded: (sender, bytes) => this.#forwarder.receive(sender, bytes),
      onLeaveAnswered: (bytes) => running?.departure.receive(bytes),
    };
    handlePeerFrame(from, kind, payload, reply, targets, this.#logger);
  }

  async #request<Result>(run: (router: Router) => Promise<Result>): Promise<Result> {
    const { router } = this.#checkRunning();
    this.#inFlight++;
    try {
      return await run(router);
    } finally {
      this.#inFlight--;
    }
  }

  #checkRunning(): Running {
    if (this.#isStopping) throw new DcacheError('stopping', 'this node is stopping; ask another');
    if (!this.#running) throw new DcacheError('no-leader', 'this node is starting; try again in a moment');
    return this.#running;
  }

  /** Lets requests that are under way end, within a bound. */
  async #drain(): Promise<void> {
    const deadlineMs = this.#clock.monotonicMs() + drainMs;
    while (this.#inFlight > 0 && this.#clock.monotonicMs() < deadlineMs)
      await new Promise<void>((resolve) => void this.#clock.after(10, resolve));
  }
}
