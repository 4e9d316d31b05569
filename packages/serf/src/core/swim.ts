import type { Random } from '@dcache/base';
import { BroadcastQueue } from './broadcasts.js';
import { Claims, newRecord } from './claims.js';
import type { Timing } from './config.js';
import type { MessageCodec, SwimContext, SwimCounters, SwimDelegate } from './context.js';
import type { EffectSink } from './effects.js';
import { Gossip } from './gossip.js';
import { Awareness } from './lifeguard.js';
import { isUp, MemberTable, type NodeRecord, readVersions } from './members.js';
import { type Endpoint, type NodeRow, NodeState, type SwimMessage } from './message.js';
import { Prober } from './prober.js';
import type { Timers } from './timers.js';

export interface SwimSetup {
  readonly name: string;
  readonly endpoint: Endpoint;
  /** Encoded tags. */
  readonly meta: Uint8Array;
  readonly vsn: Uint8Array;
  readonly timing: Timing;
  readonly codec: MessageCodec;
  readonly random: Random;
  readonly delegate: SwimDelegate;
  readonly effects: EffectSink;
  readonly timers: Timers;
  /** Bytes that encryption and a label add to a packet. */
  readonly packetOverheadBytes: () => number;
}

/**
 * The membership protocol (Das, Gupta, Motivala: SWIM, 2002; with Lifeguard, 2018): who is in the pool and who is up.
 * Time is what the last call said it is; what is to be done lies in the effects.
 */
export class Swim {
  readonly #context: SwimContext;
  readonly #claims: Claims;
  readonly #gossip: Gossip;
  readonly #prober: Prober;

  constructor(setup: SwimSetup) {
    const { timing, random, timers } = setup;
    const self = newRecord(setup.name, timers.nowMs);
    self.addr = setup.endpoint.addr;
    self.port = setup.endpoint.port;
    self.vsn = setup.vsn;
    this.#context = {
      timers,
      get nowMs() {
        return timers.nowMs;
      },
      self,
      timing,
      random,
      packetOverheadBytes: setup.packetOverheadBytes,
      table: new MemberTable(random),
      awareness: new Awareness(timing.awarenessMaxMultiplier),
      queue: new BroadcastQueue(),
      effects: setup.effects,
      codec: setup.codec,
      delegate: setup.delegate,
      counters: {
        probes: 0,
        probesFailed: 0,
        suspicionsRaised: 0,
        suspicionsExpired: 0,
        suspicionsHeld: 0,
        refutes: 0,
        nacks: 0,
        stalls: 0,
        claimsRefused: 0,
      },
      suspects: new Set(),
      leaving: false,
    };
    this.#claims = new Claims(this.#context);
    this.#gossip = new Gossip(this.#context);
    this.#prober = new Prober(this.#context, this.#claims, this.#gossip);
    this.#claims.announceSelf(setup.meta);
    this.#gossip.start();
    this.#prober.start();
  }

  get table(): MemberTable {
    return this.#context.table;
  }

  get self(): NodeRecord {
    return this.#context.self;
  }

  get healthScore(): number {
    return this.#context.awareness.score;
  }

  get counters(): Readonly<SwimCounters> {
    return this.#context.counters;
  }

  get queueLength(): number {
    return this.#context.queue.length;
  }

  step(from: Endpoint, message: SwimMessage): void {
    switch (message.type) {
      case 'ping':
        this.#prober.onPing(message, from);
        break;
      case 'indirect-ping':
        this.#prober.onIndirectPing(message, from);
        break;
      case 'ack':
        this.#prober.onAck(message);
        break;
      case 'nack':
        this.#prober.onNack(message.seqNo);
        break;
      case 'user':
        this.#context.delegate.onUser(message.body, message.raw);
        break;
      default:
        this.#claims.handle(message);
    }
  }

  streamAck(seqNo: number): void {
    this.#prober.onStreamAck(seqNo);
  }

  /**
   * This process did not run for `durationMs` and could hear nobody. What it did not hear in that time says nothing
   * about others, only about itself: the probe under way has no verdict, suspicions last longer, local health falls.
   */
  stalled(durationMs: number): void {
    this.#context.counters.stalls++;
    this.#context.awareness.apply(1);
    this.#claims.postponeSuspicions(durationMs);
    this.#prober.abandon();
  }

  merge(rows: readonly NodeRow[]): void {
    this.#claims.mergeRows(rows);
  }

  setMeta(meta: Uint8Array, done: () => void): void {
    this.#claims.announceSelf(meta, done);
  }

  /** Tells the pool that this member leaves; `done` is called when that was gossiped often enough. */
  leave(done: () => void): void {
    this.#prober.stop();
    this.#claims.announceLeave(done);
  }

  /** Whether anybody else is up. */
  get hasPeers(): boolean {
    for (const record of this.table.all()) if (record !== this.self && isUp(record)) return true;
    return false;
  }

  /** Says which member of a push/pull speaks a protocol that others do not, or undefined when all agree. */
  incompatible(rows: readonly NodeRow[]): string | undefined {
    const mine = this.table.rows();
    let [maxPMin, minPMax, maxDMin, minDMax] = [0, 255, 0, 255];
    for (const row of [...mine, ...rows]) {
      if (row.state !== NodeState.alive || row.vsn.length !== 6) continue;
      const versions = readVersions(row.vsn);
      maxPMin = Math.max(maxPMin, versions.protocolMin);
      minPMax = Math.min(minPMax, versions.protocolMax);
      maxDMin = Math.max(maxDMin, versions.delegateMin);
      minDMax = Math.min(minDMax, versions.delegateMax);
    }
    for (const row of [...mine, ...rows]) {
      if (row.vsn.length !== 6) continue;
      const { protocolCur, delegateCur } = readVersions(row.vsn);
      if (protocolCur < maxPMin || protocolCur > minPMax)
        return `member ${row.name} speaks protocol ${protocolCur}, the pool takes ${maxPMin} to ${minPMax}`;
      if (delegateCur < maxDMin || delegateCur > minDMax)
        return `member ${row.name} speaks Serf protocol ${delegateCur}, the pool takes ${maxDMin} to ${minDMax}`;
    }
    return undefined;
  }
}
