import type { Random } from '@dcache/base';
import type { Timing } from './config.js';
import type { MessageCodec } from './context.js';
import type { EffectSink } from './effects.js';
import { endpointOf } from './gossip.js';
import { LamportClock } from './lamport.js';
import { protocolMax, sameEndpoint } from './members.js';
import type { Tags } from './message.js';
import {
  type Endpoint,
  NodeState,
  type QueryFilter,
  QueryFlag,
  type QueryMessage,
  type QueryResponse,
} from './message.js';
import { filtersMatch, PendingQueries, QueryBuffer } from './queries.js';
import type { Roster } from './roster.js';
import type { SerfQueues } from './serf-queues.js';
import type { Swim } from './swim.js';
import type { Timers } from './timers.js';

export interface QueryRequest {
  readonly name: string;
  readonly payload: Uint8Array;
  readonly filters: readonly QueryFilter[];
  readonly ack: boolean;
  readonly relayFactor: number;
  readonly timeoutMs: number;
}

export interface QueryDeskSetup {
  readonly timing: Timing;
  readonly random: Random;
  readonly codec: MessageCodec;
  readonly queues: SerfQueues;
  readonly effects: EffectSink;
  readonly timers: Timers;
  readonly roster: Roster;
  readonly swim: Swim;
  readonly tags: () => Tags;
}

/** Queries of others that may still be answered; further ones are passed on but not answered. */
const maxOpenQueries = 4096;
const noBytes: Uint8Array = new Uint8Array(0);

/** Questions to the pool: sends this member's own, passes on and answers those of others. */
export class QueryDesk {
  readonly clock: LamportClock = new LamportClock();
  readonly #setup: QueryDeskSetup;
  readonly #buffer: QueryBuffer;
  readonly #pending = new PendingQueries();
  /** By `lTime:id`. */
  readonly #open = new Map<string, QueryMessage>();

  constructor(setup: QueryDeskSetup) {
    this.#setup = setup;
    this.#buffer = new QueryBuffer(setup.timing.queryBuffer);
  }

  /** `gossipIntervalMs · queryTimeoutMult · ceil(log10(n + 1))` for n members that are up. */
  get defaultTimeoutMs(): number {
    const { timing, swim } = this.#setup;
    const up = swim.table.countAlive();
    return timing.gossipIntervalMs * timing.queryTimeoutMult * Math.ceil(Math.log10(up + 1));
  }

  ignoreBefore(lTime: number): void {
    this.#buffer.ignoreBefore(lTime);
  }

  /** Builds a query as it would be sent now, to see how large it is. */
  build(request: QueryRequest, lTime: number, id: number): QueryMessage {
    const { self } = this.#setup.swim;
    const { name, payload, filters, relayFactor, timeoutMs } = request;
    return {
      type: 'query',
      lTime,
      id,
      origin: endpointOf(self),
      sourceNode: self.name,
      filters,
      flags: request.ack ? QueryFlag.ack : 0,
      relayFactor,
      timeoutMs,
      name,
      payload,
    };
  }

  send(request: QueryRequest): { readonly lTime: number; readonly id: number } {
    const { timers, effects, random } = this.#setup;
    const lTime = this.clock.next();
    const id = random.below(0x8000_0000);
    this.#pending.open(lTime, id);
    timers.at(timers.nowMs + request.timeoutMs, () => {
      if (this.#pending.close(lTime)) effects.event({ type: 'query-done', lTime, id });
    });
    this.receive(this.build(request, lTime, id), undefined);
    return { lTime, id };
  }

  close(lTime: number): void {
    this.#pending.close(lTime);
  }

  receive(query: QueryMessage, raw: Uint8Array | undefined): void {
    const { queues, swim, timers, effects, tags } = this.#setup;
    const { lTime, id, flags } = query;
    this.clock.witness(lTime);
    if (!this.#buffer.add(query, this.clock.time)) return;
    if ((flags & QueryFlag.noBroadcast) === 0) queues.add(queues.queries, query, raw);
    if (!filtersMatch(query.filters, swim.self.name, tags())) return;
    if ((flags & QueryFlag.ack) !== 0) this.#respond(query, QueryFlag.ack, noBytes);
    if (this.#open.size >= maxOpenQueries) return;
    const key = `${lTime}:${id}`;
    const deadlineMs = timers.nowMs + query.timeoutMs;
    this.#open.set(key, query);
    timers.at(deadlineMs, () => this.#open.delete(key));
    effects.event({ type: 'query', query, deadlineMs });
  }

  respond(lTime: number, id: number, payload: Uint8Array): boolean {
    const key = `${lTime}:${id}`;
    const query = this.#open.get(key);
    if (query === undefined) return false;
    this.#open.delete(key);
    this.#respond(query, 0, payload);
    return true;
  }

  receiveResponse(response: QueryResponse): void {
    const { lTime, id, from, payload } = response;
    const taken = this.#pending.take(response);
    if (taken === 'ack') this.#setup.effects.event({ type: 'query-ack', lTime, id, from });
    else if (taken === 'answer') this.#setup.effects.event({ type: 'query-response', lTime, id, from, payload });
  }

  #respond(query: QueryMessage, flags: number, payload: Uint8Array): void {
    const { lTime, id, origin, relayFactor, sourceNode } = query;
    const { swim, effects } = this.#setup;
    const response: QueryResponse = { type: 'query-response', lTime, id, from: swim.self.name, flags, payload };
    if (sameEndpoint(origin, swim.self)) {
      this.receiveResponse(response);
      return;
    }
    effects.send(origin, [{ type: 'user', body: response }], false);
    if (relayFactor > 0) this.#relay(response, origin, sourceNode, relayFactor);
  }

  #relay(response: QueryResponse, destination: Endpoint, destinationName: string, relayFactor: number): void {
    const { swim, effects, codec, timing } = this.#setup;
    if (swim.table.size < relayFactor + 1) return;
    const relay = { type: 'relay', destination, destinationName, response } as const;
    const message = { type: 'user', body: relay } as const;
    if (codec.sizeOf(message) - 1 > timing.queryResponseSizeBytes) return;
    const helpers = swim.table.draw(
      relayFactor,
      (record) =>
        record !== swim.self &&
        record.name !== destinationName &&
        record.state === NodeState.alive &&
        protocolMax(record) >= 5,
    );
    for (const helper of helpers) effects.send(endpointOf(helper), [message], false);
  }
}
