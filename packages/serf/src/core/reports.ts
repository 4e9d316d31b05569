import type { MessageCodec, SwimDelegate } from './context.js';
import type { CoordinateClient } from './coordinate.js';
import type { EffectSink } from './effects.js';
import { endpointOf } from './gossip.js';
import type { Intents } from './intents.js';
import type { NodeRecord } from './members.js';
import type { Alive, Coordinate, Relay, SerfMessage, SwimMessage } from './message.js';
import type { QueryDesk } from './query-desk.js';
import type { Roster } from './roster.js';
import type { SerfQueues } from './serf-queues.js';
import type { Timers } from './timers.js';
import type { UserEvents } from './user-events.js';

export interface ReportsSetup {
  readonly name: string;
  readonly timers: Timers;
  readonly codec: MessageCodec;
  readonly effects: EffectSink;
  readonly queues: SerfQueues;
  readonly roster: Roster;
  readonly intents: Intents;
  readonly events: UserEvents;
  /** The desk sends through the lower layer, which reports here: it is made after both. */
  readonly queries: () => QueryDesk;
  /** Absent where acks carry no coordinates. */
  readonly coordinates: CoordinateClient | undefined;
}

/** What the lower layer reports to the upper one, handed to the part that it concerns. */
export class Reports implements SwimDelegate {
  readonly #setup: ReportsSetup;
  /** Answers of others that this member passed on. */
  relays = 0;

  constructor(setup: ReportsSetup) {
    this.#setup = setup;
  }

  onAlive(record: NodeRecord): void {
    const { roster, codec, timers } = this.#setup;
    roster.alive(record, codec.decodeTags(record.meta), timers.nowMs);
  }

  onUpdate(record: NodeRecord): void {
    const { roster, codec } = this.#setup;
    roster.update(record, codec.decodeTags(record.meta));
  }

  onDead(record: NodeRecord): void {
    this.#setup.roster.gone(record.name, this.#setup.timers.nowMs);
  }

  onConflict(record: NodeRecord, other: Alive): void {
    const { codec, effects } = this.#setup;
    const { name } = record;
    const mine = name === this.#setup.name;
    const tags = codec.decodeTags(other.meta);
    effects.event({ type: 'conflict', name, mine, existing: endpointOf(record), other, tags });
  }

  onRoundTrip(record: NodeRecord, rttMs: number, coordinate: Coordinate): void {
    const { coordinates, effects } = this.#setup;
    if (coordinates?.update(record.name, coordinate, rttMs / 1000) === true)
      effects.event({ type: 'coordinate', node: record.name, coordinate });
  }

  ownCoordinate(): Coordinate | undefined {
    return this.#setup.coordinates?.own;
  }

  onUser(body: SerfMessage, raw: Uint8Array | undefined): void {
    const { intents, events, queries } = this.#setup;
    switch (body.type) {
      case 'join':
      case 'leave':
        intents.hear(body, raw);
        break;
      case 'user-event':
        events.receive(body, raw);
        break;
      case 'query':
        queries().receive(body, raw);
        break;
      case 'query-response':
        queries().receiveResponse(body);
        break;
      case 'relay':
        this.#passOn(body);
    }
  }

  get hasBroadcasts(): boolean {
    return !this.#setup.queues.isEmpty;
  }

  takeBroadcasts(into: SwimMessage[], budgetBytes: number, overheadBytes: number, maxMessages: number): void {
    const { queues, roster } = this.#setup;
    queues.take(into, budgetBytes, overheadBytes, maxMessages, roster.size);
  }

  /** An answer on its way over this member; as it came where the bytes are at hand. */
  #passOn({ destination, response, inner }: Relay): void {
    this.relays++;
    const message =
      inner === undefined
        ? ({ type: 'user', body: response } as const)
        : ({ type: 'user', body: response, raw: inner } as const);
    this.#setup.effects.send(destination, [message], false);
  }
}
