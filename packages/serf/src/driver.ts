import type { Clock, Logger } from '@dcache/base';
import type { SerfEvent, StreamPing } from './core/effects.js';
import type { Endpoint, PushPullState, SwimMessage } from './core/message.js';
import type { SerfCore } from './core/serf.js';
import { SerfError } from './errors.js';
import { describe } from './host.js';
import type { Transport } from './transport.js';
import { type CachingCodec, encodeMessage } from './wire/codec.js';
import { WireError } from './wire/msgpack.js';
import { decodePacket, encodePacket, type PacketOptions } from './wire/packet.js';
import { encodePushPull } from './wire/push-pull.js';
import type { StreamMessage } from './wire/stream.js';

export interface DriverSetup extends PacketOptions {
  readonly core: SerfCore;
  readonly codec: CachingCodec;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly compress: boolean;
  readonly streamTimeoutMs: number;
  readonly onEvent: (event: SerfEvent) => void;
}

interface PushPullOptions {
  /** Default false. */
  readonly ignoreOldEvents?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Called before the answer is taken in. */
  readonly onAnswer?: () => void;
}

export interface DriverCounters {
  packetsIn: number;
  packetsOut: number;
  packetFaults: number;
  streamsIn: number;
  streamsOut: number;
  streamFaults: number;
  pushPulls: number;
}

/** A timer that fires later than this may have packets before it that were not read yet. */
const lateMs = 50;
/** libuv reads so many datagrams in one turn; after a turn with as many, more may wait. */
const burst = 16;
const maxDrainTurns = 64;

/** Runs the core: gives it time and messages, carries out its effects. Everything here happens on the event loop. */
export class Driver {
  readonly #setup: DriverSetup;
  readonly counters: DriverCounters = {
    packetsIn: 0,
    packetsOut: 0,
    packetFaults: 0,
    streamsIn: 0,
    streamsOut: 0,
    streamFaults: 0,
    pushPulls: 0,
  };
  #cancelTimer: (() => void) | undefined;
  #timerMs = Number.POSITIVE_INFINITY;
  #isRunning = false;
  #stopped = false;

  constructor(setup: DriverSetup) {
    this.#setup = setup;
  }

  get nowMs(): number {
    return this.#setup.clock.monotonicMs();
  }

  /** Calls the core and carries out what it wants, then arms the timer. */
  run<Result>(act: (core: SerfCore, nowMs: number) => Result): Result {
    // A listener may call back into the node; what that wants waits for the outer call to carry it out, in order.
    const isOuter = !this.#isRunning;
    this.#isRunning = true;
    try {
      return act(this.#setup.core, this.nowMs);
    } finally {
      if (isOuter) {
        if (!this.#stopped) this.#flush();
        this.#isRunning = false;
      }
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer?.();
  }

  onPacket(from: Endpoint, bytes: Uint8Array): void {
    if (this.#stopped) return;
    this.counters.packetsIn++;
    try {
      const { messages, faults } = decodePacket(bytes, this.#setup);
      for (const fault of faults) this.onFault('packet', fault, from);
      this.run((core, nowMs) => {
        for (const message of messages) core.step(nowMs, from, message);
      });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.onFault('packet', error, from);
    }
  }

  /** Answers a stream; throws a `WireError` whose text the peer is told. */
  onStream(message: StreamMessage): Uint8Array | undefined {
    if (this.#stopped) return undefined;
    this.counters.streamsIn++;
    const { core } = this.#setup;
    switch (message.type) {
      case 'push-pull': {
        // The answer is the state before the merge, as the peer would see it from anybody else.
        const reply = encodePushPull(core.localState(message.state.join));
        this.#merge(message.state, false);
        return reply;
      }
      case 'ping':
        if (message.node !== '' && message.node !== core.self.name) {
          this.#setup.logger.warn({ node: message.node }, 'a stream ping for another member came here');
          return undefined;
        }
        return encodeMessage({ type: 'ack', seqNo: message.seqNo });
      case 'user':
        this.run((running, nowMs) => running.step(nowMs, { addr: new Uint8Array(4), port: 0 }, message));
        return undefined;
      default:
        throw new WireError(`a stream that begins with ${message.type}`);
    }
  }

  onFault(where: 'packet' | 'stream', error: Error, from?: Endpoint): void {
    if (where === 'packet') this.counters.packetFaults++;
    else this.counters.streamFaults++;
    const peer = from === undefined ? {} : { from: describe(from) };
    this.#setup.logger.debug({ ...peer, error: error.message }, `a ${where} was dropped`);
  }

  /** Swaps full states with a member; rejects with a `SerfError`. */
  async pushPull(to: Endpoint, join: boolean, options: PushPullOptions = {}): Promise<void> {
    const { ignoreOldEvents = false, signal, onAnswer } = options;
    const { core, transport, streamTimeoutMs } = this.#setup;
    this.counters.streamsOut++;
    const answer = await transport.exchange(to, encodePushPull(core.localState(join)), 2 * streamTimeoutMs, signal);
    if (answer.type !== 'push-pull')
      throw new SerfError('protocol', `${describe(to)} answered a push/pull with ${answer.type}`);
    if (this.#stopped) throw new SerfError('not-running', 'the node has stopped');
    this.counters.pushPulls++;
    this.#merge(answer.state, ignoreOldEvents, onAnswer);
  }

  #merge(state: PushPullState, ignoreOldEvents: boolean, onAnswer?: () => void): void {
    const fault = this.#setup.core.incompatible(state);
    if (fault !== undefined) {
      this.#setup.logger.error({ fault }, 'a push/pull was not merged');
      throw new SerfError('incompatible', fault);
    }
    onAnswer?.();
    this.run((core, nowMs) => core.merge(nowMs, state, ignoreOldEvents));
  }

  #flush(): void {
    const { core, codec, transport, onEvent, logger } = this.#setup;
    let failure: { readonly error: unknown } | undefined;
    while (core.hasEffects && !this.#stopped) {
      const { sends, streamPings, pushPulls, events } = core.take();
      for (const { to, messages, checksum } of sends) {
        const bytes = messages.map((message: SwimMessage) => codec.bytesOf(message));
        this.counters.packetsOut++;
        transport.send(to, encodePacket(bytes, { ...this.#setup, checksum }));
      }
      for (const ping of streamPings) this.#streamPing(ping);
      for (const { to, node, join } of pushPulls) {
        logger.debug({ node, to: describe(to) }, join ? 'trying to reach a failed member' : 'push/pull');
        this.pushPull(to, join).catch((error: Error) =>
          logger.debug({ node, error: error.message }, 'a push/pull failed'),
        );
      }
      for (const event of events) {
        try {
          onEvent(event);
        } catch (error) {
          // A listener's error is not the protocol's: the rest goes on, then the process hears of it as usual.
          failure ??= { error };
        }
      }
    }
    this.#arm();
    if (failure !== undefined) {
      const { error } = failure;
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #streamPing({ to, node, seqNo, timeoutMs }: StreamPing): void {
    const { transport } = this.#setup;
    const ping = encodeMessage({ type: 'ping', seqNo, node, ...this.#source() });
    this.counters.streamsOut++;
    transport.exchange(to, ping, timeoutMs).then(
      (answer) => {
        if (answer.type === 'ack' && answer.seqNo === seqNo && !this.#stopped)
          this.run((core, nowMs) => core.streamAck(nowMs, seqNo));
      },
      (error: Error) => this.#setup.logger.debug({ node, error: error.message }, 'a stream ping failed'),
    );
  }

  #source(): { source: Endpoint; sourceNode: string } {
    const { name } = this.#setup.core.self;
    const { addr, port } = this.#setup.core.record(name)!;
    return { source: { addr, port }, sourceNode: name };
  }

  #arm(): void {
    const { core, clock } = this.#setup;
    const dueMs = core.nextTickMs;
    if (dueMs === this.#timerMs && this.#cancelTimer !== undefined) return;
    this.#cancelTimer?.();
    this.#timerMs = dueMs;
    // A timer may fire a fraction of a millisecond early; one that is late by less than one does no harm.
    const delayMs = Math.min(0x7fff_ffff, Math.max(1, Math.ceil(dueMs - clock.monotonicMs())));
    this.#cancelTimer = clock.after(delayMs, () => {
      this.#cancelTimer = undefined;
      if (this.nowMs - dueMs > lateMs) this.#drain(0);
      else this.run((running, nowMs) => running.tick(nowMs));
    });
  }

  /**
   * The process did not run for a while. Timers fire before sockets are read, and a tick now would judge members whose
   * answers lie unread in the socket: read first.
   */
  #drain(turn: number): void {
    const { transport } = this.#setup;
    const before = transport.received;
    setImmediate(() => {
      if (this.#stopped) return;
      if (transport.received - before >= burst && turn < maxDrainTurns) this.#drain(turn + 1);
      else this.run((core, nowMs) => core.tick(nowMs));
    });
  }
}
