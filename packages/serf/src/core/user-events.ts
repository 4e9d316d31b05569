import type { Timing } from './config.js';
import type { EffectSink } from './effects.js';
import { EventBuffer } from './events.js';
import { LamportClock } from './lamport.js';
import type { EventSlot, UserEventMessage } from './message.js';
import type { SerfQueues } from './serf-queues.js';

/** The application's events: each member delivers each one at most once, in no promised order, and passes it on. */
export class UserEvents {
  readonly clock: LamportClock = new LamportClock();
  readonly #buffer: EventBuffer;
  readonly #queues: SerfQueues;
  readonly #effects: EffectSink;

  constructor(timing: Timing, queues: SerfQueues, effects: EffectSink) {
    this.#buffer = new EventBuffer(timing.eventBuffer);
    this.#queues = queues;
    this.#effects = effects;
  }

  send(name: string, payload: Uint8Array, coalesce: boolean): void {
    this.receive({ type: 'user-event', lTime: this.clock.next(), name, payload, coalesce }, undefined);
  }

  receive(event: UserEventMessage, raw: Uint8Array | undefined): void {
    const { lTime, name, payload, coalesce } = event;
    this.clock.witness(lTime);
    if (!this.#buffer.add(event, this.clock.time)) return;
    this.#effects.event({ type: 'user', event: { name, payload, lTime, coalesce } });
    this.#queues.add(this.#queues.events, event, raw);
  }

  ignoreBefore(lTime: number): void {
    this.#buffer.ignoreBefore(lTime);
  }

  slots(): readonly (EventSlot | undefined)[] {
    return this.#buffer.slots();
  }
}
