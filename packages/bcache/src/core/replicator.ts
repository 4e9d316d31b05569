import { BytesError, type Random, unreachable } from '@dcache/base';
import type { Change } from './change.js';
import { buryDeparted, type DepartedHost } from './departed.js';
import type { Effects, ReplicatorEvent, ReplicatorStats } from './effects.js';
import { HybridClock } from './hlc.js';
import type { Holdings } from './holdings.js';
import { Intake } from './intake.js';
import { UpdateLog } from './log.js';
import { decodeMessage, encodeMessage, type Message, MessageType } from './message.js';
import { Outbox } from './outbox.js';
import { PositionExchange } from './position-exchange.js';
import { type Position, Positions } from './positions.js';
import { Pulls } from './pulls.js';
import { Readiness } from './readiness.js';
import { StateExchange } from './state-exchange.js';
import { Voids } from './voids.js';

export interface ReplicatorOptions {
  /** This node's id, unique among the living. It must not change; the incarnation does at every start. */
  readonly node: string;
  /** Tells this start from all others of this node: 1 to 2^52. */
  readonly incarnation: number;
  readonly holdings: Holdings;
  readonly random: Random;
  /** Default 500. */
  readonly maxClockSkewMs?: number;
  /** How long what is deleted, and who is gone, is remembered. Default 100_000. */
  readonly deletionDelayMs?: number;
  /** Between two exchanges of positions with a random peer. Default 1000. */
  readonly exchangeMs?: number;
  /** Recent updates kept for peers that missed them. Default 32 MiB. */
  readonly logBytes?: number;
}

/** Exchanges of positions after which nobody is taken to know what void records hid. */
const voidExchanges = 10;

/**
 * Spreads versioned records to all nodes and repairs what was missed; pure. The driver tells the time (`advance`), who
 * is there (`setPeers`), and carries bytes; `take` gives what is to be sent.
 *
 * Every node numbers its updates. A gap in the numbers is seen at once and pulled; positions exchanged now and then show
 * what nobody noticed; what the logs no longer reach comes as a full state. No step compares contents, so what one node
 * evicted is never "repaired" by another.
 *
 * Here are this node's own updates and where each message goes. Its parts, in the order in which a message meets them:
 * `intake.ts` takes others' records, `pulls.ts` asks for missed ones, `position-exchange.ts` finds them,
 * `readiness.ts` and `state-exchange.ts` take a full state, `voids.ts` heals after a wrong clock, `departed.ts` forgets.
 */
export class Replicator {
  readonly stats: ReplicatorStats = {
    sent: 0,
    received: 0,
    applied: 0,
    refused: 0,
    voided: 0,
    restamped: 0,
    pulls: 0,
    states: 0,
    nonsense: 0,
  };
  readonly #node: string;
  #incarnation: number;
  #own: Position;
  readonly #deletionDelayMs: number;
  readonly #random: Random;
  readonly #clock = new HybridClock();
  readonly #positions = new Positions();
  readonly #log: UpdateLog;
  readonly #outbox = new Outbox();
  #monotonicMs = -1;
  #peers: readonly string[] = [];

  readonly #departed: DepartedHost;
  readonly #pulls: Pulls;
  readonly #voids: Voids;
  readonly #intake: Intake;
  readonly #states: StateExchange;
  readonly #readiness: Readiness;
  readonly #exchange: PositionExchange;

  #messages: { to: string | undefined; bytes: Uint8Array }[] = [];
  #events: ReplicatorEvent[] = [];

  constructor(options: ReplicatorOptions) {
    const { node, incarnation, holdings, random, maxClockSkewMs = 500, exchangeMs = 1_000 } = options;
    this.#node = node;
    this.#incarnation = incarnation;
    this.#own = this.#positions.get(originOf(node, incarnation));
    this.#deletionDelayMs = options.deletionDelayMs ?? 100_000;
    this.#random = random;
    this.#log = new UpdateLog(options.logBytes ?? 32 * 1024 * 1024);
    const host = {
      ...{ holdings, random, clock: this.#clock, positions: this.#positions, log: this.#log, stats: this.stats },
      now: () => this.#monotonicMs,
      own: () => this.#own,
      peers: () => this.#peers,
      randomPeer: () => this.#randomPeer(),
      flush: () => this.flush(),
      send: (to: string, message: Message) => this.#send(to, message),
      tell: (event: ReplicatorEvent) => void this.#events.push(event),
    };
    this.#departed = host;
    const pulls = new Pulls({
      ...host,
      isReady: () => this.isReady,
      sendBatch: (to, bytes) => this.#messages.push({ to, bytes }),
    });
    const voids = new Voids(
      {
        ...host,
        renew: () => this.#renew(),
        limit: () => this.#intake.limit,
        publish: (change) => this.publish(change),
        isTakingState: () => this.#states.isTaking,
        askState: () => {
          const peer = this.#randomPeer();
          if (peer !== undefined) this.#readiness.requestState(peer);
        },
      },
      exchangeMs * voidExchanges,
    );
    const intake = new Intake({ ...host, pulls, voids }, maxClockSkewMs);
    const states = new StateExchange(
      {
        ...host,
        positions: () => this.#exchange.standing(),
        learnVoid: (entry) => intake.learnVoid(entry),
        take: (change) => intake.takeRecord(change),
        takeGrave: (grave) => intake.takeGrave(grave),
        refuse: (to, origin, dot) => intake.refuse(to, origin, dot),
        finished: (entries) => {
          this.#exchange.standAs(entries);
          this.#readiness.stateTaken();
        },
      },
      1 + random.below(2 ** 40),
    );
    const readiness = new Readiness(
      { ...host, states, voids, askAll: () => this.#exchange.askAll() },
      this.#deletionDelayMs,
    );
    this.#exchange = new PositionExchange({ ...host, pulls, voids, readiness }, { exchangeMs, maxClockSkewMs });
    this.#pulls = pulls;
    this.#voids = voids;
    this.#intake = intake;
    this.#states = states;
    this.#readiness = readiness;
  }

  /** What this node signs its changes with; another after a retreat. */
  get origin(): string {
    return this.#own.origin;
  }

  /** Milliseconds since 1970 as the cluster counts them. */
  get nowMs(): number {
    return this.#clock.nowMs;
  }

  get isReady(): boolean {
    return this.#readiness.isReady;
  }

  /** Whether a full state is being taken, or has to be. */
  get isSyncing(): boolean {
    return this.#states.isTaking || this.#readiness.isStale;
  }

  get origins(): number {
    return this.#positions.size;
  }

  /** Tells the time; call it before anything else that happens at that time. */
  advance(wallMs: number, monotonicMs: number): void {
    if (this.#monotonicMs >= 0) this.#readiness.passed(monotonicMs - this.#monotonicMs);
    this.#monotonicMs = monotonicMs;
    this.#clock.advance(wallMs, monotonicMs);
  }

  /** A stamp above all that this node has seen. */
  stamp(): number {
    return this.#clock.stamp();
  }

  /** Takes a record that came beside its origin's sequence: whoever has a lease's value sends it along. */
  takeAside(change: Change): void {
    this.#intake.takeAside(change);
  }

  /** Sends a change that this node made and has applied. Its dot is the latest `stamp()`, its origin `origin`. */
  publish(change: Change): void {
    this.#positions.mark(this.#own, this.#own.seen + 1, change.dot);
    this.#outbox.add(change);
    if (this.#outbox.isFull) this.flush();
  }

  /** Ends the batch: what was published since the last one leaves as one message. */
  flush(): void {
    const { count } = this.#outbox;
    if (count === 0) return;
    const batch = this.#outbox.take(this.#own.origin, this.#own.seen);
    this.stats.sent += count;
    this.#log.add(batch);
    // What a stale node wrote is pulled from it once it has a full state.
    if (!this.#readiness.isStale && this.#peers.length > 0) this.#messages.push({ to: undefined, bytes: batch.bytes });
  }

  /** The living members other than this node. */
  setPeers(peers: readonly string[]): void {
    this.#peers = peers;
    this.#states.setPeers(peers);
  }

  /** A peer can be reached from now on, or again: compare positions with it. */
  connected(peer: string): void {
    this.#exchange.ask(peer);
  }

  /** There is nobody to learn from: what this node has is all there is. */
  alone(): void {
    this.#readiness.becomeReady();
  }

  take(): Effects {
    const effects = { messages: this.#messages, events: this.#events, hasMore: this.#states.hasMore };
    this.#messages = [];
    this.#events = [];
    return effects;
  }

  /** Makes the next chunk for each node that takes a state from this one. */
  pump(): void {
    this.#states.pump();
  }

  tick(): void {
    this.flush();
    this.#readiness.tick();
    this.#states.tick();
    this.#voids.tick();
    if (!this.isSyncing) for (const position of this.#positions.all()) this.#pulls.again(position);
    if (this.#exchange.isDue) {
      buryDeparted(this.#departed, this.#deletionDelayMs);
      this.#exchange.askAnybody();
    }
  }

  /**
   * Takes a message of a peer. The bytes of updates are kept: hand over an array that nothing else holds.
   * Throws a `BytesError` at nonsense; nothing that was read before it is undone.
   */
  step(from: string, bytes: Uint8Array): void {
    this.#readiness.heard();
    try {
      if (bytes[0] === MessageType.updates) this.#intake.takeUpdates(from, bytes);
      else this.#onMessage(from, decodeMessage(bytes));
    } catch (error) {
      if (error instanceof BytesError) this.stats.nonsense++;
      throw error;
    }
  }

  #onMessage(from: string, message: Message): void {
    switch (message.type) {
      case MessageType.positions:
        this.#exchange.receive(from, message);
        return;
      case MessageType.pull:
        if (this.#readiness.isStale) return;
        if (message.origin === this.#own.origin) this.flush();
        this.#pulls.answer(from, message.origin, message.from, message.to);
        return;
      case MessageType.tooOld:
        this.#readiness.requestState(from);
        return;
      case MessageType.refused:
        // Whose clock is wrong shows when we compare them; its records are void in any case.
        this.#voids.learn(message.origin, message.dot - 1);
        this.#exchange.ask(from);
        return;
      case MessageType.stateRequest:
        // Two nodes that were both away have nobody better to ask.
        this.#states.onRequest(from, message.id, (!this.#readiness.isStale && !this.#voids.isHoley) || message.isStale);
        return;
      case MessageType.stateBegin:
        this.#states.onPart(from, 0, message);
        return;
      case MessageType.stateChunk:
      case MessageType.stateEnd:
        this.#states.onPart(from, message.index, message);
        return;
      case MessageType.stateMore:
        this.#states.onMore(from, message.id);
        return;
      case MessageType.stateBusy:
        this.#states.onBusy(from, message.id);
        return;
      default:
        unreachable(message);
    }
  }

  /** Goes on under a new incarnation: the stamps of the last one were too high. */
  #renew(): void {
    this.#incarnation++;
    this.#own = this.#positions.get(originOf(this.#node, this.#incarnation));
    // The others hear of it with the next exchange.
    this.#exchange.hasten();
  }

  #randomPeer(): string | undefined {
    return this.#peers.length === 0 ? undefined : this.#peers[this.#random.below(this.#peers.length)];
  }

  #send(to: string, message: Message): void {
    this.#messages.push({ to, bytes: encodeMessage(message) });
  }
}

function originOf(node: string, incarnation: number): string {
  return `${node}/${incarnation.toString(36)}`;
}
