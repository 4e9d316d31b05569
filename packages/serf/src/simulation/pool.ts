import { type Random, SeededRandom } from '@dcache/base';
import { lan, type Timing } from '../core/config.js';
import type { MessageCodec } from '../core/context.js';
import type { SerfEvent, StreamPing } from '../core/effects.js';
import type { Endpoint, PushPullState, SwimMessage, Tags } from '../core/message.js';
import { SerfCore } from '../core/serf.js';
import { CachingCodec } from '../wire/codec.js';
import { VirtualTime } from './network.js';
import { SimulatedWire } from './wire.js';

export interface PoolOptions {
  readonly seed: number;
  readonly size: number;
  readonly timing?: Partial<Timing>;
  /** Share of datagrams, and of segments of a stream, that get lost. Default 0. */
  readonly loss?: number;
  /** One way, in ms, drawn evenly. Default 1 to 5. */
  readonly latencyMs?: readonly [number, number];
  /** So many members, the last ones, get little CPU. Default 0. */
  readonly starved?: number;
  /** How long a starved member runs at a time, in ms, drawn evenly. Default 5 to 100. */
  readonly runMs?: readonly [number, number];
  /** How long it then stands still, drawn evenly in the logarithm. Default 100 to 8000. */
  readonly pauseMs?: readonly [number, number];
  /** Send every packet and stream as its bytes, decoded again by the receiver; slow. Default false. */
  readonly onWire?: boolean;
  readonly onEvent?: (at: SimulatedMember, event: SerfEvent, nowMs: number) => void;
}

/** Packets a paused process's socket holds; a kernel's default buffer of 208 KiB takes about as many. */
const socketPackets = 400;
const synRetryMs = 1000;
const segmentRetryMs = 200;

export interface SimulatedMember {
  readonly index: number;
  readonly name: string;
  readonly endpoint: Endpoint;
  readonly core: SerfCore;
  readonly isStarved: boolean;
  crashed: boolean;
  /** While not undefined the process stands still and what arrives waits here. */
  inbox: (() => void)[] | undefined;
  /** The wake-up that is arranged, to arrange no more than one. */
  wakeMs: number;
}

/** Sizes near those on the wire, without the cost of encoding. */
const roughCodec: MessageCodec = {
  sizeOf(message: SwimMessage): number {
    switch (message.type) {
      case 'ping':
        return 70;
      case 'indirect-ping':
        return 100;
      case 'ack':
        return message.coordinate === undefined ? 18 : 150;
      case 'nack':
        return 9;
      case 'alive':
        return 75 + message.meta.length;
      case 'user':
        return 40;
      default:
        return 40;
    }
  },
  encodeTags: () => Uint8Array.of(0xff, 0x80),
  decodeTags: (): Tags => new Map(),
};

/** A pool of cores on one virtual network. Equal options give equal runs. */
export class SimulatedPool {
  readonly time: VirtualTime = new VirtualTime();
  readonly members: readonly SimulatedMember[];
  readonly #options: PoolOptions;
  readonly #random: Random;
  readonly #loss: number;
  datagrams = 0;
  /** Full states swapped, joins included. */
  exchanges = 0;
  /** While set, nothing gets from one member to the other where it says so. */
  cut: ((from: SimulatedMember, to: SimulatedMember) => boolean) | undefined;
  readonly #codec: MessageCodec;
  /** With `onWire` only. */
  readonly #wire: SimulatedWire | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#loss = options.loss ?? 0;
    const codec = new CachingCodec();
    this.#wire = options.onWire === true ? new SimulatedWire(codec) : undefined;
    this.#codec = options.onWire === true ? codec : roughCodec;
    const timing = { ...lan(), ...options.timing };
    this.members = Array.from({ length: options.size }, (_, index) => this.#member(index, timing));
    for (const member of this.members) {
      if (member.isStarved) this.#starve(member);
      this.#carryOut(member);
    }
  }

  /** With `onWire`, the size of the largest packet so far, before compression and encryption. */
  get largestPacketBytes(): number {
    return this.#wire?.largestPacketBytes ?? 0;
  }

  /** Every member joins the first one, one after the other. */
  joinAll(): void {
    const [first] = this.members;
    for (const member of this.members.slice(1)) this.time.after(member.index * 10, () => this.#join(member, first!));
  }

  /** The process is gone, as after a power cut. */
  crash(member: SimulatedMember): void {
    member.crashed = true;
    member.inbox = undefined;
  }

  /** Lets the process of a member act, and carries out what it wants. */
  act(member: SimulatedMember, run: (core: SerfCore, nowMs: number) => void): void {
    if (member.crashed) return;
    run(member.core, this.time.nowMs);
    this.#carryOut(member);
  }

  /** Whether the member stands still now. */
  pause(member: SimulatedMember, durationMs: number): void {
    member.inbox ??= [];
    this.time.after(durationMs, () => this.#resume(member));
  }

  #member(index: number, timing: Timing): SimulatedMember {
    const endpoint = { addr: Uint8Array.of(10, 0, index >> 8, index & 0xff), port: 7946 };
    const name = `m${index}`;
    const random = new SeededRandom(this.#options.seed * 1009 + index);
    const core = new SerfCore({
      name,
      endpoint,
      tags: new Map(),
      timing,
      codec: this.#codec,
      random,
      coordinates: false,
      nowMs: 0,
    });
    const isStarved = index >= this.#options.size - (this.#options.starved ?? 0);
    return { index, name, endpoint, core, isStarved, crashed: false, inbox: undefined, wakeMs: 0 };
  }

  #starve(member: SimulatedMember): void {
    const { runMs = [5, 100], pauseMs = [100, 8000] } = this.#options;
    const next = (): void => {
      if (member.crashed) return;
      this.time.after(this.#between(runMs), () => {
        const duration = Math.exp(this.#between([Math.log(pauseMs[0]), Math.log(pauseMs[1])]));
        this.pause(member, duration);
        this.time.after(duration + 1, next);
      });
    };
    next();
  }

  #resume(member: SimulatedMember): void {
    const waiting = member.inbox;
    if (waiting === undefined || member.crashed) return;
    member.inbox = undefined;
    // As the driver does: what was received first, then the clock.
    for (const receive of waiting) receive();
    this.#tick(member);
  }

  #tick(member: SimulatedMember): void {
    if (member.crashed || member.inbox !== undefined) return;
    if (member.core.nextTickMs <= this.time.nowMs) this.act(member, (core, nowMs) => core.tick(nowMs));
    else this.#arm(member);
  }

  #carryOut(member: SimulatedMember): void {
    const { core } = member;
    while (core.hasEffects) {
      const { sends, streamPings, pushPulls, events } = core.take();
      for (const send of sends) this.#datagram(member, this.#at(send.to), this.#wire?.packet(send) ?? send.messages);
      for (const ping of streamPings) this.#streamPing(member, ping);
      for (const { to } of pushPulls) this.#pushPull(member, this.#at(to), false);
      if (this.#options.onEvent !== undefined)
        for (const event of events) this.#options.onEvent(member, event, this.time.nowMs);
    }
    this.#arm(member);
  }

  #arm(member: SimulatedMember): void {
    const nextMs = Math.ceil(member.core.nextTickMs);
    const nowMs = this.time.nowMs;
    if (member.wakeMs > nowMs && member.wakeMs <= nextMs) return;
    member.wakeMs = Math.max(nowMs + 1, nextMs);
    this.time.after(member.wakeMs - nowMs, () => this.#tick(member));
  }

  #at(to: Endpoint): SimulatedMember {
    return this.members[(to.addr[2]! << 8) | to.addr[3]!]!;
  }

  #datagram(from: SimulatedMember, to: SimulatedMember, messages: readonly SwimMessage[]): void {
    this.datagrams++;
    if (this.#isLost() || to.crashed || this.cut?.(from, to)) return;
    this.time.after(this.#latency(), () => {
      if (to.inbox === undefined) this.#deliver(to, from.endpoint, messages);
      else this.#receive(to, () => this.#deliver(to, from.endpoint, messages));
    });
  }

  #deliver(to: SimulatedMember, from: Endpoint, messages: readonly SwimMessage[]): void {
    if (to.crashed) return;
    const { nowMs } = this.time;
    for (const message of messages) to.core.step(nowMs, from, message);
    this.#carryOut(to);
  }

  /** Hands over at once, or puts into the socket of a process that stands still. */
  #receive(member: SimulatedMember, run: () => void): void {
    if (member.crashed) return;
    if (member.inbox === undefined) run();
    else if (member.inbox.length < socketPackets) member.inbox.push(run);
  }

  #streamPing(from: SimulatedMember, ping: StreamPing): void {
    const to = this.#at(ping.to);
    if (to.crashed || this.cut?.(from, to)) return;
    this.time.after(this.#handshakeMs() + this.#segmentMs(), () =>
      this.#receive(to, () =>
        this.time.after(this.#segmentMs(), () =>
          this.#receive(from, () => this.act(from, (core, nowMs) => core.streamAck(nowMs, ping.seqNo))),
        ),
      ),
    );
  }

  #join(from: SimulatedMember, to: SimulatedMember): void {
    this.#pushPull(from, to, true, () => this.act(from, (core, nowMs) => core.announceJoin(nowMs)));
  }

  #pushPull(from: SimulatedMember, to: SimulatedMember, join: boolean, done?: () => void): void {
    if (to.crashed || from === to || this.cut?.(from, to)) return;
    this.exchanges++;
    const request = this.#state(from, join);
    this.time.after(this.#handshakeMs() + this.#segmentMs(), () =>
      this.#receive(to, () => {
        const reply = this.#state(to, join);
        this.#merge(to, request, false);
        this.time.after(this.#segmentMs(), () =>
          this.#receive(from, () => {
            this.#merge(from, reply, join);
            done?.();
          }),
        );
      }),
    );
  }

  #state(member: SimulatedMember, join: boolean): PushPullState {
    const state = member.core.localState(join);
    return this.#wire?.state(state) ?? state;
  }

  #merge(member: SimulatedMember, state: PushPullState, ignoreOldEvents: boolean): void {
    this.act(member, (core, nowMs) => core.merge(nowMs, state, ignoreOldEvents));
  }

  /** A SYN and its answer; a lost one is sent again after 1 s, 2 s, 4 s (Linux). */
  #handshakeMs(): number {
    let delayMs = this.#latency() + this.#latency();
    for (let retry = 0; (this.#isLost() || this.#isLost()) && retry < 5; retry++) delayMs += synRetryMs << retry;
    return delayMs;
  }

  /** One segment one way; a lost one is sent again after 200 ms, 400 ms and so on. */
  #segmentMs(): number {
    let delayMs = this.#latency();
    for (let retry = 0; this.#isLost() && retry < 6; retry++) delayMs += segmentRetryMs << retry;
    return delayMs;
  }

  #isLost(): boolean {
    return this.#loss > 0 && this.#random.next() < this.#loss;
  }

  #latency(): number {
    return this.#between(this.#options.latencyMs ?? [1, 5]);
  }

  #between([least, most]: readonly [number, number]): number {
    return least + (most - least) * this.#random.next();
  }
}
