import { equalBytes } from '@dcache/base';
import { transmitLimit } from './broadcasts.js';
import { maxMetaBytes } from './config.js';
import type { SwimContext } from './context.js';
import { expectedConfirmations, minSuspicionMs, Suspicion } from './lifeguard.js';
import { areVersionsSane, type NodeRecord, protocolMax, sameEndpoint } from './members.js';
import { type Alive, type Claim, type Dead, type NodeRow, NodeState, type Suspect } from './message.js';

/** An incarnation no refutation could exceed, so nobody is believed who claims it. */
const lastIncarnation = 0xffff_ffff;
const noBytes: Uint8Array = new Uint8Array(0);

/**
 * What alive, suspect and dead messages change (SWIM §4.2). A claim counts only against an incarnation that is not
 * newer; only the member itself makes a newer one, and so refutes what is wrong about it. Every claim that changed
 * something is gossiped on.
 */
export class Claims {
  readonly #context: SwimContext;

  constructor(context: SwimContext) {
    this.#context = context;
  }

  /** Announces this member, with a new incarnation; also the way changed tags travel. */
  announceSelf(meta: Uint8Array, done?: () => void): void {
    const { self, table } = this.#context;
    if (table.get(self.name) === undefined) table.add(self);
    self.meta = meta;
    self.incarnation++;
    this.#setState(self, NodeState.alive);
    this.#broadcastSelf(done);
  }

  /** Announces that this member leaves. `done` is called when that was gossiped often enough. */
  announceLeave(done: () => void): void {
    const { self } = this.#context;
    this.#context.leaving = true;
    this.#setState(self, NodeState.left);
    this.#broadcast({ type: 'dead', incarnation: self.incarnation, node: self.name, from: self.name }, self.name, done);
    this.#context.delegate.onDead(self);
  }

  alive(claim: Alive): void {
    const { table, self, leaving, delegate, timing } = this.#context;
    const isSelf = claim.node === self.name;
    if (isSelf && leaving) return;
    if (!areVersionsSane(claim.vsn) || claim.meta.length > maxMetaBytes || claim.node === '') {
      this.#context.counters.claimsRefused++;
      return;
    }
    let record = table.get(claim.node);
    let addressChanges = false;
    if (record === undefined) {
      if (table.size >= timing.maxMembers) {
        this.#context.counters.claimsRefused++;
        return;
      }
      record = newRecord(claim.node, this.#context.nowMs);
      record.addr = claim.addr;
      record.port = claim.port;
      table.add(record);
    } else if (!sameEndpoint(record, claim)) {
      if (record.state !== NodeState.left) {
        delegate.onConflict(record, claim);
        return;
      }
      addressChanges = true;
    }
    if (!isSelf && claim.incarnation <= record.incarnation && !addressChanges) return;
    if (isSelf && claim.incarnation < record.incarnation) return;
    if (isSelf) {
      const same = equalBytes(claim.meta, record.meta) && equalBytes(claim.vsn, record.vsn);
      if (claim.incarnation !== record.incarnation || !same) this.#refute(claim.incarnation);
      return;
    }

    this.#endSuspicion(record);
    this.#broadcast(claim, claim.node);
    const cameBack = record.state === NodeState.dead || record.state === NodeState.left;
    const changed = !equalBytes(record.meta, claim.meta) || addressChanges;
    record.incarnation = claim.incarnation;
    record.meta = claim.meta;
    record.addr = claim.addr;
    record.port = claim.port;
    record.vsn = claim.vsn;
    if (record.state !== NodeState.alive) this.#setState(record, NodeState.alive);
    if (cameBack) delegate.onAlive(record);
    else if (changed) delegate.onUpdate(record);
  }

  suspect(claim: Suspect): void {
    const { table, self, timing } = this.#context;
    const record = table.get(claim.node);
    if (record === undefined) return;
    if (claim.incarnation < record.incarnation) {
      this.#answerStale(record);
      return;
    }
    if (record.suspicion !== undefined) {
      if (record.suspicion.confirm(claim.from)) {
        this.#armSuspicion(record);
        this.#broadcast(claim, claim.node);
      }
      return;
    }
    if (record.state !== NodeState.alive) return;
    if (record === self) {
      this.#refute(claim.incarnation);
      return;
    }
    this.#broadcast(claim, claim.node);
    record.incarnation = claim.incarnation;
    this.#setState(record, NodeState.suspect);
    const minMs = minSuspicionMs(timing.suspicionMult, table.size, timing.probeIntervalMs);
    record.suspicion = new Suspicion(
      claim.from,
      this.#context.nowMs,
      expectedConfirmations(timing.suspicionMult, table.size),
      minMs,
      minMs * timing.suspicionMaxTimeoutMult,
    );
    this.#context.suspects.add(record);
    this.#context.counters.suspicionsRaised++;
    this.#armSuspicion(record);
  }

  dead(claim: Dead): void {
    const { table, self, leaving, delegate } = this.#context;
    const record = table.get(claim.node);
    if (record === undefined) return;
    if (claim.incarnation < record.incarnation) {
      this.#answerStale(record);
      return;
    }
    if (record.state === NodeState.dead || record.state === NodeState.left) return;
    if (record === self) {
      if (!leaving) this.#refute(claim.incarnation);
      return;
    }
    this.#endSuspicion(record);
    this.#broadcast(claim, claim.node);
    record.incarnation = claim.incarnation;
    this.#setState(record, claim.from === claim.node ? NodeState.left : NodeState.dead);
    delegate.onDead(record);
  }

  /** Takes over another member's table. Its "dead" is only a suspicion here: the member may have refuted since. */
  mergeRows(rows: readonly NodeRow[]): void {
    const { self } = this.#context;
    for (const row of rows) {
      const { name: node, incarnation } = row;
      if (incarnation >= lastIncarnation) continue;
      if (row.state === NodeState.alive) {
        const { addr, port, meta, vsn } = row;
        this.alive({ type: 'alive', node, incarnation, addr, port, meta, vsn });
      } else if (row.state === NodeState.left) this.dead({ type: 'dead', node, incarnation, from: node });
      else this.suspect({ type: 'suspect', node, incarnation, from: self.name });
    }
  }

  handle(claim: Claim): void {
    if (claim.incarnation >= lastIncarnation) {
      this.#context.counters.claimsRefused++;
      return;
    }
    if (claim.type === 'alive') this.alive(claim);
    else if (claim.type === 'suspect') this.suspect(claim);
    else this.dead(claim);
  }

  /** Gives every running suspicion the time in which this process could not hear a refutation. */
  postponeSuspicions(durationMs: number): void {
    for (const record of this.#context.suspects) {
      record.suspicion!.postpone(durationMs);
      this.#armSuspicion(record);
    }
  }

  /**
   * A suspected member answered us, so it lives and we have missed its refutation. The claim stands until we hear
   * that, but it is not carried out; the member's own table tells us its incarnation.
   */
  heardFrom(suspicion: Suspicion, record: NodeRecord): void {
    if (record.suspicion !== suspicion) return;
    const { nowMs, effects, counters, timing } = this.#context;
    counters.suspicionsHeld++;
    const isStuck = suspicion.restart(nowMs, timing.probeIntervalMs);
    this.#armSuspicion(record);
    if (isStuck) effects.pushPull({ to: { addr: record.addr, port: record.port }, node: record.name, join: false });
  }

  /** Forgets members that are dead for longer than gossip goes to the dead. */
  forgetDead(): void {
    const { table, nowMs, timing } = this.#context;
    table.remove(
      (record) =>
        record !== this.#context.self &&
        record.state === NodeState.dead &&
        nowMs - record.stateChangeMs > timing.gossipToTheDeadMs,
    );
  }

  #armSuspicion(record: NodeRecord): void {
    const { timers } = this.#context;
    const suspicion = record.suspicion!;
    timers.cancel(record.suspicionTimer);
    record.suspicionTimer = timers.at(suspicion.deadlineMs, () => {
      if (record.suspicion !== suspicion) return;
      this.#context.counters.suspicionsExpired++;
      this.dead({
        type: 'dead',
        node: record.name,
        incarnation: record.incarnation,
        from: this.#context.self.name,
      });
    });
  }

  #endSuspicion(record: NodeRecord): void {
    this.#context.suspects.delete(record);
    this.#context.timers.cancel(record.suspicionTimer);
    record.suspicionTimer = undefined;
    record.suspicion = undefined;
  }

  /** Speaks above what is claimed about this member, and takes the accusation as a sign of its own poor health. */
  #refute(accusedIncarnation: number): void {
    const { self, awareness } = this.#context;
    self.incarnation = Math.max(self.incarnation, accusedIncarnation) + 1;
    awareness.apply(1);
    this.#context.counters.refutes++;
    this.#broadcastSelf();
  }

  /**
   * Someone accuses this member of an incarnation it has refuted already: they missed the refutation, and by the rules
   * would hear it from nobody who has stopped gossiping it. So it is gossiped again.
   */
  #answerStale(record: NodeRecord): void {
    const { self, leaving, queue } = this.#context;
    if (record !== self || leaving || self.state !== NodeState.alive) return;
    if (!queue.holds(self.name)) this.#broadcastSelf();
  }

  #broadcastSelf(done?: () => void): void {
    const { self } = this.#context;
    const { addr, port, meta, vsn, incarnation } = self;
    this.#broadcast({ type: 'alive', node: self.name, incarnation, addr, port, meta, vsn }, self.name, done);
  }

  #broadcast(claim: Claim, subject: string, done?: () => void): void {
    const { queue, codec } = this.#context;
    queue.add(claim, codec.sizeOf(claim), subject, done);
  }

  #setState(record: NodeRecord, state: NodeState): void {
    record.state = state;
    record.stateChangeMs = this.#context.nowMs;
  }
}

export function newRecord(name: string, nowMs: number): NodeRecord {
  return {
    name,
    addr: noBytes,
    port: 0,
    meta: noBytes,
    vsn: noBytes,
    incarnation: 0,
    state: NodeState.dead,
    stateChangeMs: nowMs,
    suspicion: undefined,
    suspicionTimer: undefined,
  };
}

/** Times a claim is gossiped in this pool. */
export function claimLimit(context: SwimContext): number {
  return transmitLimit(context.timing.retransmitMult, context.table.size);
}

/** Whether a packet to the member may carry a checksum. */
export function takesChecksum(record: NodeRecord | undefined): boolean {
  return record !== undefined && protocolMax(record) >= 5;
}
