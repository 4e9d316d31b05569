import type { Alive, Coordinate, Endpoint, QueryMessage, SwimMessage } from './message.js';
import type { MemberEvent } from './roster.js';

/** A datagram to send: one message bare, several as a compound. */
export interface Send {
  readonly to: Endpoint;
  readonly messages: readonly SwimMessage[];
  /** Whether the receiver understands a checksum and this kind of packet carries one. */
  readonly checksum: boolean;
}

/** A ping over a stream, for members whose datagrams get lost. Report the outcome with `streamAck`. */
export interface StreamPing {
  readonly to: Endpoint;
  readonly node: string;
  readonly seqNo: number;
  /** After so long nobody waits for the outcome any more. */
  readonly timeoutMs: number;
}

/** A full exchange to make with a member. Report its answer with `merge`. */
export interface PushPull {
  readonly to: Endpoint;
  readonly node: string;
  readonly join: boolean;
}

export interface UserEvent {
  readonly name: string;
  readonly payload: Uint8Array;
  readonly lTime: number;
  readonly coalesce: boolean;
}

/** What the application is to be told. */
export type SerfEvent =
  | MemberEvent
  | { readonly type: 'user'; readonly event: UserEvent }
  | { readonly type: 'query'; readonly query: QueryMessage; readonly deadlineMs: number }
  | { readonly type: 'query-ack'; readonly lTime: number; readonly id: number; readonly from: string }
  | {
      readonly type: 'query-response';
      readonly lTime: number;
      readonly id: number;
      readonly from: string;
      readonly payload: Uint8Array;
    }
  | { readonly type: 'query-done'; readonly lTime: number; readonly id: number }
  /** Two members use one name; `mine` when it is this member's own. */
  | {
      readonly type: 'conflict';
      readonly name: string;
      readonly mine: boolean;
      readonly existing: Endpoint;
      readonly other: Alive;
      /** The other's. */
      readonly tags: ReadonlyMap<string, string>;
    }
  | { readonly type: 'coordinate'; readonly node: string; readonly coordinate: Coordinate }
  /** This member's leave is known to the pool as far as it can be; it may close now. */
  | { readonly type: 'left' };

/** All that one call of the core wants done, in order within each list. */
export interface Effects {
  readonly sends: readonly Send[];
  readonly streamPings: readonly StreamPing[];
  readonly pushPulls: readonly PushPull[];
  readonly events: readonly SerfEvent[];
}

/** Where the parts of the core leave their effects. */
export class EffectSink {
  #sends: Send[] = [];
  #streamPings: StreamPing[] = [];
  #pushPulls: PushPull[] = [];
  #events: SerfEvent[] = [];

  send(to: Endpoint, messages: readonly SwimMessage[], checksum: boolean): void {
    this.#sends.push({ to, messages, checksum });
  }

  streamPing(ping: StreamPing): void {
    this.#streamPings.push(ping);
  }

  pushPull(exchange: PushPull): void {
    this.#pushPulls.push(exchange);
  }

  event(event: SerfEvent): void {
    this.#events.push(event);
  }

  get isEmpty(): boolean {
    return (
      this.#sends.length === 0 &&
      this.#events.length === 0 &&
      this.#streamPings.length === 0 &&
      this.#pushPulls.length === 0
    );
  }

  take(): Effects {
    const taken = {
      sends: this.#sends,
      streamPings: this.#streamPings,
      pushPulls: this.#pushPulls,
      events: this.#events,
    };
    // Most calls leave few kinds of effects; the lists that stayed empty are used again.
    if (taken.sends.length > 0) this.#sends = [];
    if (taken.streamPings.length > 0) this.#streamPings = [];
    if (taken.pushPulls.length > 0) this.#pushPulls = [];
    if (taken.events.length > 0) this.#events = [];
    return taken;
  }
}
