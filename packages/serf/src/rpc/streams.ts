import type { UserEvent } from '../core/effects.js';
import type { Member } from '../core/roster.js';
import type { Serf, SerfEvents } from '../node.js';
import type { IncomingQuery } from '../query.js';
import type { MsgpackWriter } from '../wire/msgpack.js';
import type { QueryRegister } from './query-register.js';
import { writeMembers, writeQuery, writeUserEvent } from './reply.js';

export interface RpcStream {
  stop(): void;
}

const memberEvents = ['member-join', 'member-leave', 'member-failed', 'member-update', 'member-reap'] as const;

/** Events of the kinds a client asked for: `*`, `member-join`, `user`, `user:NAME`, `query`, `query:NAME`, with commas. */
export class EventStream implements RpcStream {
  readonly #subscriptions: Subscriptions;

  constructor(
    serf: Serf,
    types: string,
    queries: QueryRegister,
    send: (write: (out: MsgpackWriter) => MsgpackWriter) => void,
  ) {
    this.#subscriptions = new Subscriptions(serf);
    const wanted = types.split(',').map((type) => type.trim());
    const takes = (kind: string, name?: string): boolean =>
      wanted.some((type) => type === '*' || type === kind || (name !== undefined && type === `${kind}:${name}`));
    for (const kind of memberEvents)
      if (takes(kind))
        this.#subscriptions.add(kind, (member: Member) =>
          send((out) => writeMembers(out.map(2).text('Event').text(kind).text('Members'), [member])),
        );
    this.#subscriptions.add('user', (event: UserEvent) => {
      if (takes('user', event.name)) send((out) => writeUserEvent(out, event));
    });
    this.#subscriptions.add('query', (query: IncomingQuery) => {
      if (takes('query', query.name)) send((out) => writeQuery(out, queries.idOf(query), query));
    });
  }

  stop(): void {
    this.#subscriptions.end();
  }
}

/** What an agent would log about its pool, a line for each event. */
export class LogStream implements RpcStream {
  readonly #subscriptions: Subscriptions;

  constructor(serf: Serf, send: (line: string) => void) {
    this.#subscriptions = new Subscriptions(serf);
    const line = (text: string): void => send(`${new Date().toISOString()} [INFO] serf: ${text}`);
    for (const kind of memberEvents)
      this.#subscriptions.add(kind, ({ name, address }: Member) => line(`${kind}: ${name} ${address}`));
    this.#subscriptions.add('user', (event: UserEvent) => line(`user event: ${event.name}`));
    this.#subscriptions.add('query', (query: IncomingQuery) => line(`query: ${query.name} of ${query.from}`));
  }

  stop(): void {
    this.#subscriptions.end();
  }
}

/** Listeners that end together. */
class Subscriptions {
  readonly #serf: Serf;
  readonly #ends: (() => void)[] = [];

  constructor(serf: Serf) {
    this.#serf = serf;
  }

  add<Kind extends keyof SerfEvents>(kind: Kind, listener: (value: SerfEvents[Kind][0]) => void): void {
    const call = (...values: unknown[]): void => listener(values[0] as SerfEvents[Kind][0]);
    this.#serf.on(kind as string as 'user', call);
    this.#ends.push(() => this.#serf.off(kind as string as 'user', call));
  }

  end(): void {
    for (const end of this.#ends.splice(0)) end();
  }
}
