import { ByteReader, BytesError, ByteWriter, type Random, unreachable } from '@dcache/base';
import { type Change, rankOf } from './change.js';
import { type Run, readChange, writeChange } from './change-codec.js';
import type { Effects, ReplicatorEvent, ReplicatorStats } from './effects.js';
import { HybridClock, msOf, stampOf } from './hlc.js';
import type { Grave, Holdings } from './holdings.js';
import { UpdateLog } from './log.js';
import {
  decodeMessage,
  encodeBatch,
  encodeMessage,
  type Message,
  MessageType,
  type PositionEntry,
  readBatch,
} from './message.js';
import { type Position, Positions } from './positions.js';
import { StateExchange, type StateHost } from './state-exchange.js';

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

const outboxBytes = 64 * 1024;
const pullAnswerBytes = 1024 * 1024;
const pullWaitMs = 2_000;
const reissueWaitMs = 300;
const reissueEveryMs = 1_000;
/** Exchanges of positions after which nobody is taken to know what void records hid. */
const holesExchanges = 10;

/**
 * Spreads versioned records to all nodes and repairs what was missed; pure. The driver tells the time (`advance`), who
 * is there (`setPeers`), and carries bytes; `take` gives what is to be sent.
 *
 * Every node numbers its updates. A gap in the numbers is seen at once and pulled; positions exchanged now and then show
 * what nobody noticed; what the logs no longer reach comes as a full state. No step compares contents, so what one node
 * evicted is never "repaired" by another.
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
  readonly #holdings: Holdings;
  readonly #random: Random;
  readonly #clock = new HybridClock();
  readonly #positions = new Positions();
  readonly #log: UpdateLog;
  readonly #node: string;
  #incarnation: number;
  #own: Position;

  readonly #maxClockSkewMs: number;
  readonly #deletionDelayMs: number;
  readonly #exchangeMs: number;
  #monotonicMs = -1;
  #exchangeAtMs = 0;

  #peers: readonly string[] = [];
  /** When any peer was last heard; -1 before the first. */
  #heardAtMs = -1;
  /** Away for so long that deletions may have been forgotten: takes a full state before it sends anything. */
  #isStale = false;
  #isReady = false;

  readonly #outbox = new ByteWriter(outboxBytes);
  #run: Run = { dot: 0, space: undefined };
  #outboxCount = 0;

  readonly #states: StateExchange;
  /** When void records are issued anew; Infinity where none are known, and when it was done last. */
  #reissueAtMs = Infinity;
  #reissuedAtMs = Number.NEGATIVE_INFINITY;
  /** What is void of an origin, by its rank: graves have no more than that of it. */
  #voidByRank = new Map<number, number>();
  /** Void graves as they were counted when the last full state was asked for: of more, a state has to tell what they hid. */
  #voidGravesKnown = 0;
  #voidGravesAsked = 0;
  #holesSinceMs = -1;
  /** The state that is being taken is to fill holes: what was seen and is not held may be one. */
  #hasHoles = false;

  #messages: { to: string | undefined; bytes: Uint8Array }[] = [];
  #events: ReplicatorEvent[] = [];

  constructor(options: ReplicatorOptions) {
    this.#node = options.node;
    this.#incarnation = options.incarnation;
    this.#own = this.#positions.get(`${options.node}/${options.incarnation.toString(36)}`);
    this.#holdings = options.holdings;
    this.#random = options.random;
    this.#maxClockSkewMs = options.maxClockSkewMs ?? 500;
    this.#deletionDelayMs = options.deletionDelayMs ?? 100_000;
    this.#exchangeMs = options.exchangeMs ?? 1_000;
    this.#log = new UpdateLog(options.logBytes ?? 32 * 1024 * 1024);
    const host: StateHost = {
      holdings: options.holdings,
      now: () => this.#monotonicMs,
      send: (to, message) => this.#send(to, message),
      tell: (event) => this.#events.push(event),
      positions: () => this.#standing(),
      learnVoid: ({ origin, seen, reach, voidAbove }) => {
        // Known from now on, if it lives: its records come next.
        if (seen > 0 && reach === 0) this.#positions.get(origin);
        this.#learnVoid(origin, voidAbove);
      },
      take: (change) => this.#takeRecord(change),
      takeGrave: (grave) => this.#takeGrave(grave),
      refuse: (to, origin, dot) => this.#refuse(to, origin, dot),
      finished: (entries) => this.#standAs(entries),
    };
    this.#states = new StateExchange(host, 1 + options.random.below(2 ** 40));
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
    return this.#isReady;
  }

  /** Whether a full state is being taken, or has to be. */
  get isSyncing(): boolean {
    return this.#states.isTaking || this.#isStale;
  }

  get origins(): number {
    return this.#positions.size;
  }

  /** Tells the time; call it before anything else that happens at that time. */
  advance(wallMs: number, monotonicMs: number): void {
    if (this.#monotonicMs >= 0 && monotonicMs - this.#monotonicMs > this.#deletionDelayMs) this.#becomeStale();
    this.#monotonicMs = monotonicMs;
    this.#clock.advance(wallMs, monotonicMs);
  }

  /** A stamp above all that this node has seen. */
  stamp(): number {
    return this.#clock.stamp();
  }

  /** Takes a record that came beside its origin's sequence: whoever has a lease's value sends it along. */
  takeAside(change: Change): void {
    if (!this.#positions.isVoid(change.origin, change.dot) && change.dot <= this.#limit(this.#clock.nowMs))
      this.#merge(change);
  }

  /** Sends a change that this node made and has applied. Its dot is the latest `stamp()`, its origin `origin`. */
  publish(change: Change): void {
    this.#positions.mark(this.#own, this.#own.seen + 1, change.dot);
    writeChange(this.#outbox, this.#run, change);
    this.#outboxCount++;
    if (this.#outbox.length >= outboxBytes) this.flush();
  }

  /** Ends the batch: what was published since the last one leaves as one message. */
  flush(): void {
    if (this.#outboxCount === 0) return;
    const first = this.#own.seen - this.#outboxCount + 1;
    const batch = encodeBatch(this.#own.origin, first, this.#outboxCount, this.#outbox.finish());
    this.#outbox.reset();
    this.#run = { dot: 0, space: undefined };
    this.stats.sent += this.#outboxCount;
    this.#outboxCount = 0;
    this.#log.add(batch);
    // What a stale node wrote is pulled from it once it has a full state.
    if (!this.#isStale && this.#peers.length > 0) this.#messages.push({ to: undefined, bytes: batch.bytes });
  }

  /** The living members other than this node. */
  setPeers(peers: readonly string[]): void {
    this.#peers = peers;
    this.#states.setPeers(peers);
  }

  /** A peer can be reached from now on, or again: compare positions with it. */
  connected(peer: string): void {
    this.#sendPositions(peer, true, 0);
  }

  /** There is nobody to learn from: what this node has is all there is. */
  alone(): void {
    this.#becomeReady();
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
    const now = this.#monotonicMs;
    this.flush();
    if (this.#heardAtMs >= 0 && now - this.#heardAtMs > this.#deletionDelayMs) this.#becomeStale();
    this.#states.tick();
    if (now >= this.#reissueAtMs) this.#reissue();
    else if (this.#reissueAtMs === Infinity) this.#fillHoles();
    for (const position of this.#positions.all()) this.#pullAgain(position, now);
    if (now >= this.#exchangeAtMs) {
      for (const position of this.#positions.all()) this.#buryGone(position, now);
      this.#exchangeAtMs = now + this.#exchangeMs * (0.75 + this.#random.next() / 2);
      const peer = this.#randomPeer();
      if (peer !== undefined) this.#sendPositions(peer, true, 0);
    }
  }

  /**
   * Takes a message of a peer. The bytes of updates are kept: hand over an array that nothing else holds.
   * Throws a `BytesError` at nonsense; nothing that was read before it is undone.
   */
  step(from: string, bytes: Uint8Array): void {
    this.#heardAtMs = this.#monotonicMs;
    try {
      if (bytes[0] === MessageType.updates) this.#onUpdates(from, bytes);
      else this.#onMessage(from, decodeMessage(bytes));
    } catch (error) {
      if (error instanceof BytesError) this.stats.nonsense++;
      throw error;
    }
  }

  #onMessage(from: string, message: Message): void {
    switch (message.type) {
      case MessageType.positions:
        this.#onPositions(from, message);
        return;
      case MessageType.pull:
        this.#onPull(from, message.origin, message.from, message.to);
        return;
      case MessageType.tooOld:
        this.#requestState(from);
        return;
      case MessageType.refused:
        // Whose clock is wrong shows when we compare them; its records are void in any case.
        this.#learnVoid(message.origin, message.dot - 1);
        this.#sendPositions(from, true, 0);
        return;
      case MessageType.stateRequest:
        // Two nodes that were both away have nobody better to ask.
        this.#states.onRequest(from, message.id, (!this.#isStale && !this.#isHoley) || message.isStale);
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

  // Updates

  #onUpdates(from: string, bytes: Uint8Array): void {
    const batch = readBatch(bytes);
    // Our own numbers come back only in answers to others' pulls; nobody else gives them.
    if (batch.origin === this.#own.origin) return;
    const position = this.#positions.get(batch.origin);
    const before = position.seen;
    const reader = new ByteReader(bytes, batch.runAt);
    const run: Run = { dot: 0, space: undefined };
    const limit = this.#limit(this.#clock.nowMs);
    let refusedDot = 0;
    let isNews = false;
    for (let i = 0; i < batch.count; i++) {
      const change = readChange(reader, run, batch.origin);
      if (!this.#positions.mark(position, batch.first + i, change.dot)) continue;
      isNews = true;
      this.stats.received++;
      if (change.dot > position.voidAbove) this.stats.voided++;
      else if (change.dot > limit) refusedDot = refusedDot === 0 ? change.dot : Math.min(refusedDot, change.dot);
      else this.#merge(change);
    }
    reader.end();
    if (isNews) this.#log.add(batch);
    if (refusedDot > 0) this.#refuse(from, batch.origin, refusedDot);
    if (position.seen >= position.latest) position.pullUntilMs = 0;
    else if (position.seen > before || this.#monotonicMs >= position.pullUntilMs) {
      this.#pull(this.#peers.includes(position.node) ? position.node : from, position);
    }
  }

  #merge(change: Change): void {
    this.#clock.observe(change.dot);
    if (this.#holdings.apply(change)) this.stats.applied++;
  }

  #refuse(from: string, origin: string, dot: number): void {
    this.stats.refused++;
    // Void here too: should this answer be lost, the next exchange of positions says the same. Known from now on, even
    // where none of its numbers is in order yet.
    this.#positions.get(origin);
    this.#learnVoid(origin, dot - 1);
    this.#send(from, { type: MessageType.refused, nowMs: this.#clock.nowMs, origin, dot });
  }

  /** The highest dot that a clock showing `nowMs` takes. */
  #limit(nowMs: number): number {
    return stampOf(nowMs + this.#maxClockSkewMs + 1);
  }

  #pull(peer: string, position: Position): void {
    if (!this.#isReady) return;
    position.pullUntilMs = this.#monotonicMs + pullWaitMs;
    const to = position.early.size > 0 ? Math.min(...firstFew(position.early.keys())) - 1 : position.latest;
    this.stats.pulls++;
    const from = position.seen + 1;
    this.#send(peer, { type: MessageType.pull, origin: position.origin, from, to: Math.max(from, to) });
  }

  #onPull(from: string, origin: string, first: number, last: number): void {
    if (this.#isStale) return;
    if (origin === this.#own.origin) this.flush();
    const seen = this.#positions.seen(origin);
    const reach = this.#log.reach(origin, seen);
    if (reach > first) {
      if (seen >= first) this.#send(from, { type: MessageType.tooOld, origin, reach });
      return;
    }
    for (const batch of this.#log.range(origin, first, last, pullAnswerBytes))
      this.#messages.push({ to: from, bytes: batch.bytes });
  }

  // Positions

  #sendPositions(to: string, wantsAnswer: boolean, echoMs: number): void {
    this.flush();
    const entries: PositionEntry[] = [];
    for (const { origin, seen, dot, voidAbove } of this.#positions.all())
      entries.push({ origin, seen, dot, reach: this.#log.reach(origin, seen), voidAbove });
    this.#send(to, { type: MessageType.positions, wantsAnswer, nowMs: this.#clock.nowMs, echoMs, entries });
  }

  #onPositions(from: string, message: Message & { type: typeof MessageType.positions }): void {
    if (message.echoMs > 0) this.#compareClocks(from, message.echoMs, message.nowMs);
    // A newcomer takes a state even where the logs reach back to the first update: of origins that are gone their
    // deletions are in no log any more, while what they deleted may be in another's.
    let needsState = this.#isStale || (!this.#isReady && message.entries.some(({ seen }) => seen > 0));
    let isAhead = false;
    const named = new Set<string>();
    for (const entry of message.entries) {
      named.add(entry.origin);
      this.#learnVoid(entry.origin, entry.voidAbove);
      const seen = this.#positions.seen(entry.origin);
      if (seen > entry.seen) isAhead = true;
      if (entry.seen <= seen || entry.origin === this.#own.origin) continue;
      const position = this.#positions.get(entry.origin);
      position.latest = Math.max(position.latest, entry.seen);
      if (entry.reach > seen + 1) needsState = true;
      else if (this.#monotonicMs >= position.pullUntilMs) this.#pull(from, position);
    }
    if (!isAhead)
      for (const { origin, seen } of this.#positions.all()) if (seen > 0 && !named.has(origin)) isAhead = true;
    if (needsState) this.#requestState(from);
    else this.#becomeReady();
    // One answer at most: an answer never asks for another.
    if (message.wantsAnswer) this.#sendPositions(from, false, message.nowMs);
    else if (isAhead && message.echoMs > 0) this.#sendPositions(from, false, 0);
  }

  /** Pulls what is missing still; half of the time from its origin, else from anybody. */
  #pullAgain(position: Position, now: number): void {
    if (position.seen >= position.latest || now < position.pullUntilMs || this.isSyncing) return;
    const { node } = position;
    const peer = this.#peers.includes(node) && this.#random.next() < 0.5 ? node : this.#randomPeer();
    if (peer !== undefined) this.#pull(peer, position);
  }

  /** Buries who is gone for long. */
  #buryGone(position: Position, now: number): void {
    if (position === this.#own || this.#isCurrent(position)) position.goneAtMs = -1;
    else if (position.goneAtMs < 0) position.goneAtMs = now;
    else if (now - position.goneAtMs > this.#deletionDelayMs) {
      this.#positions.bury(position.origin);
      this.#log.forget(position.origin);
    }
  }

  /** Whether this origin may still issue updates: its node lives, and is not known under a later incarnation. */
  #isCurrent(position: Position): boolean {
    const { node } = position;
    if (node === this.#node || position.voidAbove !== Infinity || !this.#peers.includes(node)) return false;
    for (const other of this.#positions.all())
      if (other.dot > position.dot && other.voidAbove === Infinity && other.node === node) return false;
    return true;
  }

  // Clocks that are ahead

  /** The peer read its clock after we had sent ours: if ours was above it even so, ours is ahead. */
  #compareClocks(peer: string, oursMs: number, theirsMs: number): void {
    const aheadMs = oursMs - theirsMs;
    // What was asked before the last correction measured the clock of then.
    if (aheadMs <= this.#maxClockSkewMs || oursMs > this.#clock.nowMs) return;
    this.#clock.correct(aheadMs);
    this.#events.push({ type: 'clock-corrected', peer, aheadMs });
    // Someone else's may be slower still: better to know before the next write than by its refusal.
    for (const other of this.#peers) if (other !== peer) this.#sendPositions(other, true, 0);
  }

  /**
   * A peer took no record of `origin` above a dot. From now on those are void for everyone: each node that holds some
   * issues them anew with a stamp of its own, and who learns of it later does so too. What one of them had overwritten
   * stays overwritten, for the new stamp is above all that this node has seen.
   */
  #learnVoid(origin: string, voidAbove: number): void {
    if (voidAbove === Infinity || !this.#positions.knows(origin)) return;
    if (origin === this.#own.origin) this.flush();
    // Asked before it is looked up: that would bring back one who is buried.
    if (voidAbove >= this.#positions.voidAbove(origin)) return;
    const position = this.#positions.get(origin);
    position.voidAbove = voidAbove;
    this.#voidByRank.set(rankOf(origin), voidAbove);
    this.#holdings.forgetGravesOf(this.#voidByRank);
    if (position === this.#own) this.#takeNewOrigin();
    // Many refusals come at once, and clocks are being compared: once a second is enough, and bounds what it costs.
    if (this.#reissueAtMs === Infinity)
      this.#reissueAtMs = Math.max(this.#monotonicMs + reissueWaitMs, this.#reissuedAtMs + reissueEveryMs);
  }

  #reissue(): void {
    this.#reissueAtMs = Infinity;
    this.#reissuedAtMs = this.#monotonicMs;
    this.flush();
    const { victims, highestDot } = this.#holdings.collect((origin, dot) => this.#positions.isVoid(origin, dot));
    // Dots of one origin rise: only one that has given none may start lower.
    if (this.#own.seen === 0) this.#lowerClock(highestDot);
    victims.sort((a, b) => a.stamp - b.stamp || (a.origin < b.origin ? -1 : 1));
    for (const victim of victims) this.#holdings.forget(victim);
    // What of them expired or was overwritten since it was known to be void has left a grave.
    this.#voidByRank = new Map([...this.#positions.voids()].map(([origin, above]) => [rankOf(origin), above]));
    this.#holdings.forgetGravesOf(this.#voidByRank);
    for (const victim of victims) {
      const stamp = this.#clock.stamp();
      const backMs = Math.max(0, msOf(victim.dot) - msOf(stamp));
      const expiresAtMs = victim.expiresAtMs > 0 ? Math.max(1, victim.expiresAtMs - backMs) : 0;
      const change = { ...victim, stamp, dot: stamp, origin: this.origin, expiresAtMs };
      this.#holdings.apply(change);
      this.publish(change);
      this.stats.restamped++;
    }
    this.flush();
  }

  /**
   * A valid record that came while a void one of its key was held was taken for an older one. Where the void one is still
   * held it is issued anew, above both. Where it had gone before it was known to be void, the valid one is missing here, or
   * the grave of it: a full state has either, from a node without such holes. Where all have some, nobody knows better.
   */
  #fillHoles(): void {
    if (!this.#isHoley) {
      this.#holesSinceMs = -1;
      return;
    }
    if (this.#states.isTaking) return;
    if (this.#holesSinceMs < 0) this.#holesSinceMs = this.#monotonicMs;
    const peer = this.#randomPeer();
    if (this.#monotonicMs - this.#holesSinceMs > this.#exchangeMs * holesExchanges)
      this.#voidGravesKnown = this.#holdings.voidGraves;
    else if (peer !== undefined) this.#requestState(peer);
  }

  get #isHoley(): boolean {
    return this.#holdings.voidGraves !== this.#voidGravesKnown;
  }

  /** Its own stamps were too high: this node goes on under a new incarnation. */
  #takeNewOrigin(): void {
    this.#incarnation++;
    this.#own = this.#positions.get(`${this.#node}/${this.#incarnation.toString(36)}`);
    const { highestDot } = this.#holdings.collect((origin, dot) => this.#positions.isVoid(origin, dot));
    this.#lowerClock(highestDot);
    // The others hear of it with the next exchange, at once.
    this.#exchangeAtMs = 0;
  }

  /** Back to what is valid; still above all that is held, and above every version that is known to be gone. */
  #lowerClock(highestDot: number): void {
    const highestGrave = this.#holdings.forgetGravesAbove(this.#limit(this.#clock.nowMs));
    this.#clock.lower(Math.max(highestDot, highestGrave, stampOf(this.#clock.nowMs)));
  }

  // Full states

  #becomeStale(): void {
    if (this.#isStale || this.#heardAtMs < 0) return;
    this.#isStale = true;
    this.#states.giveUp();
    this.#events.push({ type: 'stale' });
    for (const peer of this.#peers) this.#sendPositions(peer, true, 0);
  }

  #becomeReady(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#events.push({ type: 'ready' });
  }

  #requestState(from: string): void {
    if (!this.#states.request(from, this.#isStale)) return;
    this.stats.states++;
    this.#voidGravesAsked = this.#holdings.voidGraves;
    this.#hasHoles = this.#voidGravesAsked > this.#voidGravesKnown;
  }

  /** Where this node stands, and where those stood that are gone (their `reach` is 1). */
  #standing(): PositionEntry[] {
    this.flush();
    const entries: PositionEntry[] = [];
    for (const { origin, seen, dot, voidAbove } of this.#positions.all())
      entries.push({ origin, seen, dot, reach: 0, voidAbove });
    for (const [origin, { seen, dot, voidAbove }] of this.#positions.epitaphs())
      entries.push({ origin, seen, dot, reach: 1, voidAbove });
    return entries;
  }

  #takeRecord(change: Change): boolean {
    if (this.#positions.isVoid(change.origin, change.dot)) this.stats.voided++;
    else if (change.dot > this.#limit(this.#clock.nowMs)) return false;
    // Seen, and not held any more: it was overwritten, deleted or evicted here.
    else if (this.#hasHoles || !this.#positions.hasSeen(change.origin, change.dot) || this.#holdings.holds(change))
      this.#merge(change);
    return true;
  }

  #takeGrave(grave: Grave): void {
    const [, stamp, rank] = grave;
    if (stamp > this.#limit(this.#clock.nowMs) || stamp > (this.#voidByRank.get(rank) ?? Infinity)) return;
    this.#clock.observe(stamp);
    this.#holdings.bury(grave);
  }

  #standAs(entries: readonly PositionEntry[]): void {
    for (const { origin, seen, dot, reach } of entries) {
      // Of those gone only who is known here is worth keeping.
      if (origin === this.#own.origin || (reach === 1 && this.#positions.seen(origin) === 0)) continue;
      this.#positions.raise(origin, seen, dot);
    }
    this.#isStale = false;
    this.#voidGravesKnown = this.#voidGravesAsked;
    this.#becomeReady();
    for (const peer of this.#peers) this.#sendPositions(peer, true, 0);
  }

  #randomPeer(): string | undefined {
    return this.#peers.length === 0 ? undefined : this.#peers[this.#random.below(this.#peers.length)];
  }

  #send(to: string, message: Message): void {
    this.#messages.push({ to, bytes: encodeMessage(message) });
  }
}

/** Enough of the early numbers to find a low one; the rest is found by the next pull. */
function firstFew(numbers: Iterable<number>): number[] {
  const few: number[] = [];
  for (const number of numbers) {
    few.push(number);
    if (few.length === 64) break;
  }
  return few;
}
