import type { Random } from '@dcache/base';
import type { Timing } from './config.js';
import type { MessageCodec, SwimCounters, SwimDelegate } from './context.js';
import { CoordinateClient } from './coordinate.js';
import { EffectSink, type Effects } from './effects.js';
import { type ExchangeParts, makeSerfState, mergeSerfState } from './exchange.js';
import { endpointOf } from './gossip.js';
import { Intents } from './intents.js';
import { Leaving } from './leaving.js';
import type { NodeRecord } from './members.js';
import type { Alive, Coordinate, Endpoint, PushPullState, SerfMessage, SwimMessage, Tags } from './message.js';
import { QueryDesk, type QueryRequest } from './query-desk.js';
import { type Member, Roster } from './roster.js';
import { SerfQueues } from './serf-queues.js';
import { Swim } from './swim.js';
import { Timers } from './timers.js';
import { UserEvents } from './user-events.js';

export interface SerfCoreSetup {
  readonly name: string;
  /** Where others reach this member. */
  readonly endpoint: Endpoint;
  readonly tags: Tags;
  readonly timing: Timing;
  readonly codec: MessageCodec;
  readonly random: Random;
  readonly packetOverheadBytes?: () => number;
  /** Whether acks carry a coordinate. Default true. */
  readonly coordinates?: boolean;
  readonly nowMs: number;
}

/** Versions this implementation announces: those of a Serf 0.9.4 agent. Exactly six bytes; fewer crash that agent. */
const versions = Uint8Array.from([1, 5, 2, 2, 5, 5]);

/** Clocks as a push/pull and a snapshot carry them. */
export interface ClockTimes {
  readonly member: number;
  readonly event: number;
  readonly query: number;
}

/**
 * A member of a Serf pool without sockets or clock. Call `tick` when `nextTickMs` is reached, `step` for each message,
 * then carry out what `take` returns. Nothing here awaits; given equal calls and randomness it does equal things.
 */
export class SerfCore implements SwimDelegate {
  readonly #setup: SerfCoreSetup;
  readonly #timing: Timing;
  readonly #timers = new Timers();
  readonly #effects = new EffectSink();
  readonly #queues: SerfQueues;
  readonly #roster: Roster;
  readonly #intents: Intents;
  readonly #events: UserEvents;
  readonly #queries: QueryDesk;
  readonly #coordinates: CoordinateClient;
  readonly #leaving: Leaving;
  readonly #swim: Swim;
  #nowMs: number;
  #tags: Tags;
  #relays = 0;

  constructor(setup: SerfCoreSetup) {
    const { timing, codec, random, nowMs } = setup;
    this.#setup = setup;
    this.#timing = timing;
    this.#nowMs = nowMs;
    this.#tags = setup.tags;
    this.#queues = new SerfQueues(codec, timing);
    this.#roster = new Roster(timing, (event) => this.#effects.event(event));
    this.#intents = new Intents({
      name: setup.name,
      timing,
      roster: this.#roster,
      queues: this.#queues,
      timers: this.#timers,
      isLeaving: () => this.#leaving.hasStarted,
    });
    this.#events = new UserEvents(timing, this.#queues, this.#effects);
    this.#coordinates = new CoordinateClient(random);
    this.#swim = new Swim({
      name: setup.name,
      endpoint: setup.endpoint,
      meta: codec.encodeTags(setup.tags),
      vsn: versions,
      timing,
      codec,
      random,
      delegate: this,
      effects: this.#effects,
      timers: this.#timers,
      packetOverheadBytes: setup.packetOverheadBytes ?? (() => 0),
      nowMs,
    });
    this.#queries = new QueryDesk({
      timing,
      random,
      codec,
      queues: this.#queues,
      effects: this.#effects,
      timers: this.#timers,
      roster: this.#roster,
      swim: this.#swim,
      tags: () => this.#tags,
    });
    this.#leaving = new Leaving({
      timing,
      timers: this.#timers,
      swim: this.#swim,
      effects: this.#effects,
      announceIntent: (done) => this.#intents.announceLeave(done),
    });
    this.#roster.alive(this.#swim.self, setup.tags, nowMs);
    this.#every(timing.reapIntervalMs, () => this.#reap());
    this.#every(timing.reconnectIntervalMs, () => this.#reconnect());
    this.#every(timing.queueCheckIntervalMs, () => this.#queues.prune());
  }

  // ---- time and messages

  /** When `tick` is due next, at the latest. */
  get nextTickMs(): number {
    return this.#timers.nextMs;
  }

  /**
   * Does what is due. A tick that comes far too late means that this process did not run; that time counts against
   * nobody else. Hand over what was received meanwhile before the tick.
   */
  tick(nowMs: number): void {
    const lateMs = nowMs - this.#timers.nextMs;
    this.#enter(nowMs);
    if (lateMs > this.#timing.probeTimeoutMs) this.#swim.stalled(lateMs);
    this.#timers.run(nowMs);
  }

  step(nowMs: number, from: Endpoint, message: SwimMessage): void {
    this.#enter(nowMs);
    this.#swim.step(from, message);
  }

  /** The member answered the ping over a stream. */
  streamAck(nowMs: number, seqNo: number): void {
    this.#enter(nowMs);
    this.#swim.streamAck(seqNo);
  }

  get hasEffects(): boolean {
    return !this.#effects.isEmpty;
  }

  /** What is to be done; the core forgets it. */
  take(): Effects {
    return this.#effects.take();
  }

  // ---- push/pull

  /** This side of a push/pull. */
  localState(join: boolean): PushPullState {
    return { join, nodes: this.#swim.table.rows(), serf: makeSerfState(this.#exchange) };
  }

  /** Says which protocol version stands against merging the state; undefined when none does. */
  incompatible(state: PushPullState): string | undefined {
    return this.#swim.incompatible(state.nodes);
  }

  /** Takes over the other side's state. `ignoreOldEvents` at a join: events sent before it are not delivered. */
  merge(nowMs: number, state: PushPullState, ignoreOldEvents: boolean): void {
    this.#enter(nowMs);
    this.#swim.merge(state.nodes);
    if (state.serf !== undefined) mergeSerfState(state.serf, this.#exchange, ignoreOldEvents);
  }

  /** After a join: tells the pool, with a clock that exceeds all it knew about this name. */
  announceJoin(nowMs: number): void {
    this.#enter(nowMs);
    this.#intents.announceJoin();
  }

  // ---- commands

  setTags(nowMs: number, tags: Tags, done: () => void): void {
    this.#enter(nowMs);
    this.#tags = tags;
    const hasPeers = this.#swim.hasPeers;
    this.#swim.setMeta(this.#setup.codec.encodeTags(tags), hasPeers ? done : () => {});
    this.#roster.update(this.#swim.self, tags);
    if (!hasPeers) done();
  }

  userEvent(nowMs: number, name: string, payload: Uint8Array, coalesce: boolean): void {
    this.#enter(nowMs);
    this.#events.send(name, payload, coalesce);
  }

  query(nowMs: number, request: QueryRequest): { readonly lTime: number; readonly id: number } {
    this.#enter(nowMs);
    return this.#queries.send(request);
  }

  /** Bytes the query would take on the wire, without the lower layer's type byte. */
  sizeOfQuery(request: QueryRequest): number {
    const body = this.#queries.build(request, this.#queries.clock.time, 0x7fff_ffff);
    return this.#setup.codec.sizeOf({ type: 'user', body }) - 1;
  }

  /** Bytes the answer would take on the wire, likewise. */
  sizeOfResponse(query: { readonly lTime: number; readonly id: number }, payload: Uint8Array): number {
    const { lTime, id } = query;
    const body = { type: 'query-response', lTime, id, from: this.#setup.name, flags: 0, payload } as const;
    return this.#setup.codec.sizeOf({ type: 'user', body }) - 1;
  }

  /** Ends the wait for answers to an own query. */
  closeQuery(lTime: number): void {
    this.#queries.close(lTime);
  }

  /** Answers a query that an event brought; false when its time is over or it was answered before. */
  respond(nowMs: number, lTime: number, id: number, payload: Uint8Array): boolean {
    this.#enter(nowMs);
    return this.#queries.respond(lTime, id, payload);
  }

  /** Declares a failed member to have left; with `prune` it is forgotten too. */
  forceLeave(nowMs: number, node: string, prune: boolean, done: () => void): void {
    this.#enter(nowMs);
    this.#intents.forceLeave(node, prune, this.#swim.hasPeers, done);
  }

  /** Leaves in order; the event `left` says when it is done. */
  leave(nowMs: number): void {
    this.#enter(nowMs);
    this.#leaving.start();
  }

  /** Restores what a snapshot kept, before the first join: events and queries seen then are not delivered again. */
  restore(times: ClockTimes): void {
    this.#intents.clock.witness(times.member);
    this.#events.clock.witness(times.event);
    this.#events.ignoreBefore(times.event + 1);
    this.#queries.clock.witness(times.query);
    this.#queries.ignoreBefore(times.query + 1);
  }

  // ---- views

  get self(): Member {
    return this.#roster.get(this.#setup.name)!;
  }

  get roster(): Roster {
    return this.#roster;
  }

  get clocks(): ClockTimes {
    return { member: this.#intents.clock.time, event: this.#events.clock.time, query: this.#queries.clock.time };
  }

  get coordinate(): Coordinate {
    return this.#coordinates.own;
  }

  get healthScore(): number {
    return this.#swim.healthScore;
  }

  get counters(): Readonly<SwimCounters> {
    return this.#swim.counters;
  }

  /** Answers of others that this member passed on. */
  get relays(): number {
    return this.#relays;
  }

  get queueLengths(): { claims: number; intents: number; queries: number; events: number } {
    const { intents, queries, events } = this.#queues;
    return {
      claims: this.#swim.queueLength,
      intents: intents.length,
      queries: queries.length,
      events: events.length,
    };
  }

  /** The lower layer's view of one member, for tests and diagnosis. */
  record(name: string): Readonly<NodeRecord> | undefined {
    return this.#swim.table.get(name);
  }

  /** Milliseconds that a query waits for answers unless told otherwise. */
  get defaultQueryTimeoutMs(): number {
    return this.#queries.defaultTimeoutMs;
  }

  // ---- what the lower layer reports

  onAlive(record: NodeRecord): void {
    this.#roster.alive(record, this.#setup.codec.decodeTags(record.meta), this.#nowMs);
  }

  onUpdate(record: NodeRecord): void {
    this.#roster.update(record, this.#setup.codec.decodeTags(record.meta));
  }

  onDead(record: NodeRecord): void {
    this.#roster.gone(record.name, this.#nowMs);
  }

  onConflict(existing: NodeRecord, other: Alive): void {
    const { name } = existing;
    this.#effects.event({
      type: 'conflict',
      name,
      mine: existing === this.#swim.self,
      existing: endpointOf(existing),
      other,
    });
  }

  onRoundTrip(record: NodeRecord, rttMs: number, coordinate: Coordinate): void {
    if (this.#setup.coordinates === false) return;
    if (this.#coordinates.update(record.name, coordinate, rttMs / 1000))
      this.#effects.event({ type: 'coordinate', node: record.name, coordinate });
  }

  ownCoordinate(): Coordinate | undefined {
    return this.#setup.coordinates === false ? undefined : this.#coordinates.own;
  }

  onUser(body: SerfMessage, raw: Uint8Array | undefined): void {
    switch (body.type) {
      case 'join':
      case 'leave':
        this.#intents.hear(body, raw);
        break;
      case 'user-event':
        this.#events.receive(body, raw);
        break;
      case 'query':
        this.#queries.receive(body, raw);
        break;
      case 'query-response':
        this.#queries.receiveResponse(body);
        break;
      case 'relay':
        this.#relays++;
        this.#effects.send(
          body.destination,
          [
            body.inner === undefined
              ? { type: 'user', body: body.response }
              : { type: 'user', body: body.response, raw: body.inner },
          ],
          false,
        );
    }
  }

  get hasBroadcasts(): boolean {
    return !this.#queues.isEmpty;
  }

  takeBroadcasts(into: SwimMessage[], budgetBytes: number, overheadBytes: number, maxMessages: number): void {
    this.#queues.take(into, budgetBytes, overheadBytes, maxMessages, this.#roster.size);
  }

  get #exchange(): ExchangeParts {
    return { roster: this.#roster, intents: this.#intents, events: this.#events, queries: this.#queries };
  }

  // ---- background

  #reap(): void {
    const before = new Set(this.#roster.members().map((member) => member.name));
    this.#roster.reap(this.#nowMs);
    for (const name of before) if (this.#roster.get(name) === undefined) this.#coordinates.forget(name);
  }

  /** Tries to reach a failed member, the more often the more have failed: it may be back without knowing anybody. */
  #reconnect(): void {
    if (this.#leaving.hasStarted) return;
    const failed = this.#roster.withStatus('failed');
    if (failed.length === 0) return;
    const up = Math.max(1, this.#roster.size - failed.length - this.#roster.count('left'));
    if (this.#setup.random.next() > failed.length / up) return;
    const chosen = failed[this.#setup.random.below(failed.length)]!;
    this.#effects.pushPull({ to: this.#roster.endpoint(chosen.name)!, node: chosen.name, join: true });
  }

  #every(intervalMs: number, run: () => void): void {
    const again = (): void => {
      this.#timers.at(this.#nowMs + intervalMs, again);
      run();
    };
    this.#timers.at(this.#nowMs + intervalMs, again);
  }

  #enter(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#swim.nowMs = nowMs;
    this.#intents.nowMs = nowMs;
    this.#events.nowMs = nowMs;
    this.#queries.nowMs = nowMs;
    this.#leaving.nowMs = nowMs;
  }
}
