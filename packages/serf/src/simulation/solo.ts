import { SeededRandom } from '@dcache/base';
import { lan, type Timing } from '../core/config.js';
import type { Send, SerfEvent } from '../core/effects.js';
import type { NodeRecord } from '../core/members.js';
import type { Alive, Endpoint, SwimMessage } from '../core/message.js';
import { SerfCore } from '../core/serf.js';
import { CachingCodec, encodeTags } from '../wire/codec.js';

/** One core alone with a test that plays all other members, and the clock. */
export class Solo {
  readonly core: SerfCore;
  readonly endpoint: Endpoint = endpointOf('self');
  nowMs = 0;
  sends: Send[] = [];
  events: SerfEvent[] = [];
  streamPings = 0;
  pushPulls: string[] = [];

  constructor(timing: Partial<Timing> = {}, seed = 1) {
    this.core = new SerfCore({
      name: 'self',
      endpoint: this.endpoint,
      tags: new Map(),
      timing: { ...lan(), ...timing },
      codec: new CachingCodec(),
      random: new SeededRandom(seed),
      nowMs: 0,
    });
    this.#collect();
  }

  /** Messages arrive, from `from`. */
  hear(...messages: SwimMessage[]): void {
    for (const message of messages) this.core.step(this.nowMs, endpointOf('anybody'), message);
    this.#collect();
  }

  /** Lets time pass in order, each timer at its own time. */
  pass(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    while (this.core.nextTickMs <= endMs) {
      this.nowMs = Math.max(this.nowMs, this.core.nextTickMs);
      this.core.tick(this.nowMs);
      this.#collect();
    }
    this.nowMs = endMs;
  }

  act(run: (core: SerfCore, nowMs: number) => void): void {
    run(this.core, this.nowMs);
    this.#collect();
  }

  /** What was sent since the last call, message by message. */
  said(): SwimMessage[] {
    const messages = this.sends.flatMap((send) => send.messages);
    this.sends = [];
    return messages;
  }

  /** The gossip of some seconds, in which everything queued goes out. */
  gossip(): SwimMessage[] {
    this.said();
    this.pass(2000);
    return this.said();
  }

  record(name: string): Readonly<NodeRecord> | undefined {
    return this.core.record(name);
  }

  eventTypes(): string[] {
    return this.events.map((event) => event.type);
  }

  #collect(): void {
    while (this.core.hasEffects) {
      const { sends, events, streamPings, pushPulls } = this.core.take();
      this.sends.push(...sends);
      this.events.push(...events);
      this.streamPings += streamPings.length;
      this.pushPulls.push(...pushPulls.map((exchange) => exchange.node));
    }
  }
}

/** An address for a name, the same each time. */
export function endpointOf(name: string): Endpoint {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.charCodeAt(0)) & 0xffff;
  return { addr: Uint8Array.of(10, 1, hash >> 8, hash & 0xff), port: 7946 };
}

/** What a member says of itself. */
export function aliveOf(
  node: string,
  incarnation = 1,
  tags: Record<string, string> = {},
  changes: Partial<Alive> = {},
): Alive {
  const meta = encodeTags(new Map(Object.entries(tags)));
  const vsn = Uint8Array.of(1, 5, 2, 2, 5, 5);
  return { type: 'alive', node, incarnation, meta, vsn, ...endpointOf(node), ...changes };
}
