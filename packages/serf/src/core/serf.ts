import type { Random } from '@dcache/base';
import type { Timing } from './config.js';
import type { MessageCodec, SwimCounters } from './context.js';
import { CoordinateClient } from './coordinate.js';
import { EffectSink, type Effects } from './effects.js';
import { type ExchangeParts, makeSerfState, mergeSerfState } from './exchange.js';
import { Intents } from './intents.js';
import { Leaving } from './leaving.js';
import type { NodeRecord } from './members.js';
import type { Coordinate, Endpoint, PushPullState, SwimMessage, Tags } from './message.js';
import { QueryDesk, type QueryRequest } from './query-desk.js';
import { Reports } from './reports.js';
import { type Member, Roster } from './roster.js';
import { SerfQueues } from './serf-queues.js';
import { Swim } from './swim.js';
import { Timers } from './timers.js';
import { startUpkeep } from './upkeep.js';
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
export class SerfCore {
  readonly #setup: SerfCoreSetup;
  readonly #timing: Timing;
  readonly #timers: Timers;
  readonly #effects = new EffectSink();
  readonly #queues: SerfQueues;
  readonly #roster: Roster;
  readonly #intents: Intents;
  readonly #events: UserEvents;
  readonly #queries: QueryDesk;
  readonly #coordinates: CoordinateClient;
  readonly #leaving: Leaving;
  readonly #reports: Reports;
  readonly #swim: Swim;
  #tags: Tags;

  constructor(setup: SerfCoreSetup) {
    const { timing, codec, random, nowMs } = setup;
    this.#setup = setup;
    this.#timing = timing;
    this.#timers = new Timers(nowMs);
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
    this.#reports = new Reports({
      name: setup.name,
      timers: this.#timers,
      codec,
      effects: this.#effects,
      queues: this.#queues,
      roster: this.#roster,
      intents: this.#intents,
      events: this.#events,
      queries: () => this.#queries,
      coordinates: setup.coordinates === false ? undefined : this.#coordinates,
    });
    this.#swim = new Swim({
      name: setup.name,
      endpoint: setup.endpoint,
      meta: codec.encodeTags(setup.tags),
      vsn: versions,
      timing,
      codec,
      random,
      delegate: this.#reports,
      effects: this.#effects,
      timers: this.#timers,
      packetOverheadBytes: setup.packetOverheadBytes ?? (() => 0),
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
    startUpkeep({
      timing,
      timers: this.#timers,
      random,
      roster: this.#roster,
      queues: this.#queues,
      coordinates: this.#coordinates,
      effects: this.#effects,
      isLeaving: () => this.#leaving.hasStarted,
    });
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
    return this.#reports.relays;
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

  get #exchange(): ExchangeParts {
    return { roster: this.#roster, intents: this.#intents, events: this.#events, queries: this.#queries };
  }

  #enter(nowMs: number): void {
    this.#timers.nowMs = nowMs;
  }
}
