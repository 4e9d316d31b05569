import type { Claims } from './claims.js';
import { takesChecksum } from './claims.js';
import type { SwimContext } from './context.js';
import { endpointOf, type Gossip } from './gossip.js';
import type { Suspicion } from './lifeguard.js';
import { isUp, type NodeRecord, protocolMax } from './members.js';
import { type Ack, type Endpoint, type IndirectPing, NodeState, type Ping } from './message.js';
import { Strangers } from './strangers.js';
import type { Timer } from './timers.js';

/** The probe under way; there is never more than one. */
interface Probe {
  readonly seqNo: number;
  readonly target: NodeRecord;
  readonly sentMs: number;
  readonly timers: Timer[];
  /** Members asked to probe for us that would send a nack if they got no answer either. */
  nacksExpected: number;
  nacks: number;
  /** Whether others were asked, so that an ack says nothing about the round trip. */
  indirect: boolean;
}

/** A probe made for another member. */
interface Errand {
  readonly seqNo: number;
  readonly replyTo: Endpoint;
  readonly timer: Timer;
}

/** A ping to a member that is about to be declared dead. */
interface Question {
  readonly record: NodeRecord;
  readonly suspicion: Suspicion;
}

/** Errands at once; more are not taken on, their askers have other helpers. */
const maxErrands = 4096;

/**
 * Failure detection: every interval one member is pinged; without an ack some others are asked to ping it, and it is
 * pinged over a stream; without any ack it is suspected (SWIM §3.1, Lifeguard §IV-A for the nacks).
 *
 *     0 ms ping ── probeTimeout: indirect pings, stream ping ── interval · (health + 1): verdict
 */
export class Prober {
  readonly #context: SwimContext;
  readonly #claims: Claims;
  readonly #gossip: Gossip;
  readonly #strangers: Strangers;
  readonly #errands = new Map<number, Errand>();
  readonly #questions = new Map<number, Question>();
  #seqNo = 0;
  #probe: Probe | undefined;
  #tickWaits = false;
  #stopped = false;

  constructor(context: SwimContext, claims: Claims, gossip: Gossip) {
    this.#context = context;
    this.#claims = claims;
    this.#gossip = gossip;
    this.#strangers = new Strangers(context);
  }

  start(): void {
    const { timers, random, timing, nowMs } = this.#context;
    timers.at(nowMs + random.next() * timing.probeIntervalMs, () => this.#round());
    timers.at(nowMs + random.next() * timing.probeTimeoutMs, () => this.#questionSuspects());
  }

  stop(): void {
    this.#stopped = true;
    this.#strangers.stop();
    this.#endProbe();
  }

  /** This process did not run for a while: a probe's missing answer then says nothing about its target. */
  abandon(): void {
    if (this.#probe !== undefined) this.#finish();
  }

  onPing(ping: Ping, from: Endpoint): void {
    const { self, delegate } = this.#context;
    if (ping.node !== '' && ping.node !== self.name) return;
    const coordinate = delegate.ownCoordinate();
    const { seqNo } = ping;
    this.#gossip.sendDirect(
      ping.source ?? from,
      coordinate === undefined ? { type: 'ack', seqNo } : { type: 'ack', seqNo, coordinate },
    );
    if (!this.#stopped) this.#strangers.notice(ping);
  }

  onIndirectPing(request: IndirectPing, from: Endpoint): void {
    if (this.#stopped || this.#errands.size >= maxErrands) return;
    const { timers, timing, nowMs } = this.#context;
    const { node, nack } = request;
    const own = this.#nextSeqNo();
    const replyTo = request.source ?? from;
    const timer = timers.at(nowMs + timing.probeTimeoutMs, () => {
      this.#errands.delete(own);
      if (!nack) return;
      this.#context.counters.nacks++;
      this.#gossip.sendDirect(replyTo, { type: 'nack', seqNo: request.seqNo });
    });
    this.#errands.set(own, { seqNo: request.seqNo, replyTo, timer });
    this.#gossip.sendDirect(request.target, this.#ping(own, node));
  }

  onAck(ack: Ack): void {
    const errand = this.#errands.get(ack.seqNo);
    if (errand !== undefined) {
      this.#context.timers.cancel(errand.timer);
      this.#errands.delete(ack.seqNo);
      this.#gossip.sendDirect(errand.replyTo, { type: 'ack', seqNo: errand.seqNo });
      return;
    }
    const question = this.#questions.get(ack.seqNo);
    if (question !== undefined) {
      this.#questions.delete(ack.seqNo);
      this.#claims.heardFrom(question.suspicion, question.record);
      return;
    }
    const probe = this.#probe;
    if (probe === undefined || probe.seqNo !== ack.seqNo) return;
    if (!probe.indirect && ack.coordinate !== undefined)
      this.#context.delegate.onRoundTrip(probe.target, this.#context.nowMs - probe.sentMs, ack.coordinate);
    this.#succeed();
  }

  onNack(seqNo: number): void {
    const probe = this.#probe;
    if (probe?.seqNo === seqNo && probe.nacks < probe.nacksExpected) probe.nacks++;
  }

  onStreamAck(seqNo: number): void {
    if (this.#probe?.seqNo === seqNo) this.#succeed();
  }

  #round(): void {
    if (this.#stopped) return;
    const { timers, timing, nowMs } = this.#context;
    timers.at(nowMs + timing.probeIntervalMs, () => this.#round());
    // One probe at a time: while one takes longer, a single round waits for it and the others are skipped.
    if (this.#probe !== undefined) this.#tickWaits = true;
    else this.#begin();
  }

  /**
   * A suspicion that nobody has refuted for half its shortest time may be one whose refutation was lost on the way to
   * us: gossip reaches each member with high probability only. Before it becomes a verdict the accused is asked,
   * again and again, and told of what. For a member that is dead indeed this changes nothing.
   */
  #questionSuspects(): void {
    if (this.#stopped) return;
    const { timers, timing, nowMs, suspects, effects, self } = this.#context;
    timers.at(nowMs + timing.probeTimeoutMs, () => this.#questionSuspects());
    for (const record of suspects) {
      const suspicion = record.suspicion!;
      if (!suspicion.isOverdue(nowMs)) continue;
      const seqNo = this.#nextSeqNo();
      this.#questions.set(seqNo, { record, suspicion });
      timers.at(nowMs + timing.probeIntervalMs, () => this.#questions.delete(seqNo));
      const { incarnation, name: node } = record;
      effects.send(
        endpointOf(record),
        [this.#ping(seqNo, node), { type: 'suspect', incarnation, node, from: self.name }],
        takesChecksum(record),
      );
    }
  }

  #begin(): void {
    const { table, self, timers, timing, nowMs, awareness, effects, counters } = this.#context;
    const target = table.nextToProbe(
      (record) => record !== self && isUp(record),
      () => this.#claims.forgetDead(),
    );
    if (target === undefined) return;
    counters.probes++;
    const seqNo = this.#nextSeqNo();
    const ping = this.#ping(seqNo, target.name);
    const durationMs = awareness.scale(timing.probeIntervalMs);
    const probe: Probe = {
      seqNo,
      target,
      sentMs: nowMs,
      timers: [],
      nacksExpected: 0,
      nacks: 0,
      indirect: false,
    };
    this.#probe = probe;
    if (timing.probeTimeoutMs < durationMs)
      probe.timers.push(timers.at(nowMs + timing.probeTimeoutMs, () => this.#askOthers(probe, nowMs + durationMs)));
    probe.timers.push(timers.at(nowMs + durationMs, () => this.#fail(probe)));
    if (target.state === NodeState.alive) this.#gossip.sendDirect(endpointOf(target), ping);
    else {
      // Tells a suspect what it is accused of, so that it can refute at once.
      const { incarnation, name: node } = target;
      effects.send(
        endpointOf(target),
        [ping, { type: 'suspect', incarnation, node, from: self.name }],
        takesChecksum(target),
      );
    }
  }

  #askOthers(probe: Probe, deadlineMs: number): void {
    const { table, self, timing, nowMs, effects } = this.#context;
    const { seqNo, target } = probe;
    probe.indirect = true;
    const helpers = table.draw(
      timing.indirectChecks,
      (record) => record !== self && record !== target && record.state === NodeState.alive,
    );
    for (const helper of helpers) {
      const nack = protocolMax(helper) >= 4;
      if (nack) probe.nacksExpected++;
      this.#gossip.sendDirect(endpointOf(helper), {
        type: 'indirect-ping',
        seqNo,
        node: target.name,
        target: endpointOf(target),
        nack,
        source: endpointOf(self),
        sourceNode: self.name,
      });
    }
    if (protocolMax(target) >= 3)
      effects.streamPing({ to: endpointOf(target), node: target.name, seqNo, timeoutMs: deadlineMs - nowMs });
  }

  #succeed(): void {
    this.#context.awareness.apply(-1);
    this.#finish();
  }

  #fail(probe: Probe): void {
    if (this.#probe !== probe) return;
    const { awareness, self, counters } = this.#context;
    const { target, nacksExpected, nacks } = probe;
    counters.probesFailed++;
    // Helpers that stay silent hint that it is us who hear nothing (Lifeguard §IV-A).
    awareness.apply(nacksExpected > 0 ? nacksExpected - nacks : 1);
    this.#claims.suspect({ type: 'suspect', incarnation: target.incarnation, node: target.name, from: self.name });
    this.#finish();
  }

  #finish(): void {
    this.#endProbe();
    if (!this.#tickWaits) return;
    this.#tickWaits = false;
    this.#begin();
  }

  #endProbe(): void {
    for (const timer of this.#probe?.timers ?? []) this.#context.timers.cancel(timer);
    this.#probe = undefined;
  }

  #ping(seqNo: number, node: string): Ping {
    const { self } = this.#context;
    return { type: 'ping', seqNo, node, source: endpointOf(self), sourceNode: self.name };
  }

  #nextSeqNo(): number {
    this.#seqNo = this.#seqNo >= 0xffff_ffff ? 1 : this.#seqNo + 1;
    return this.#seqNo;
  }
}
