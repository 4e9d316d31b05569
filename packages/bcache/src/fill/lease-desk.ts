import type { Clock } from '@dcache/base';
import type { Change } from '../core/change.js';
import { encodeLease, type LeaseMessage, LeaseOutcome, LeaseType, ownerOf } from './lease.js';

export interface LeaseDeskOptions {
  readonly node: string;
  readonly clock: Clock;
  readonly send: (to: string, bytes: Uint8Array) => void;
  /** The fresh value of a key as a record, where this node holds one. */
  readonly recordOf: (space: string, key: string) => Change | undefined;
  /** Merges a record that an owner sent along. */
  readonly take: (record: Change) => void;
}

/** What asking for a lease came to. With `granted` the asker fills, and has to `release`. */
export type LeaseAnswer = 'granted' | 'stored' | 'empty' | 'timeout' | 'denied';

interface Lease {
  readonly holder: string;
  readonly waiting: { readonly peer: string; readonly id: number }[];
  cancel: () => void;
}

interface Ask {
  readonly owner: string;
  readonly settle: (answer: LeaseAnswer) => void;
  readonly cancel: () => void;
  cancelRetry: () => void;
}

const maxLeases = 100_000;
/** How much longer than the lease who asked waits for the owner's word. */
const graceMs = 1_000;
const retryMs = 500;

/**
 * One filler at a time for each key in the whole cluster. This node grants leases for the keys it owns and asks for the
 * others. What goes wrong (an owner that dies, a lease that runs out, a member list that differs) makes fillers run
 * twice, never not at all.
 */
export class LeaseDesk {
  readonly #options: LeaseDeskOptions;
  #peers: readonly string[] = [];
  readonly #leases = new Map<string, Lease>();
  readonly #asks = new Map<number, Ask>();
  #nextId = 1;
  granted = 0;

  constructor(options: LeaseDeskOptions) {
    this.#options = options;
  }

  /** The living members other than this node. */
  setPeers(peers: readonly string[]): void {
    this.#peers = peers;
    for (const [id, { owner }] of this.#asks)
      if (owner !== this.#options.node && !peers.includes(owner)) this.#settle(id, 'granted');
    for (const [name, lease] of this.#leases)
      if (lease.holder !== this.#options.node && !peers.includes(lease.holder)) this.#pass(name, lease);
  }

  /** Asks for the right to fill a key; `waits` false wants it now or not at all. Never rejects. */
  ask(space: string, key: string, leaseMs: number, waits: boolean): Promise<LeaseAnswer> {
    const owner = this.#owner(space, key);
    const id = this.#nextId++;
    return new Promise((settle) => {
      const cancel = this.#options.clock.after(leaseMs + graceMs, () => this.#settle(id, 'timeout'));
      this.#asks.set(id, { owner, settle, cancel, cancelRetry: () => {} });
      const message = { type: LeaseType.ask, id, space, key, leaseMs: Math.ceil(leaseMs), waits } as const;
      if (owner === this.#options.node) this.#onAsk(owner, message);
      else this.#sendAsk(owner, encodeLease(message), id);
    });
  }

  /** Tells how the fill went for which this node had the lease. What it stored has to be on its way before. */
  release(space: string, key: string, outcome: LeaseOutcome): void {
    const owner = this.#owner(space, key);
    if (owner === this.#options.node) this.#onRelease(owner, space, key, outcome);
    else this.#options.send(owner, encodeLease({ type: LeaseType.release, space, key, outcome }));
  }

  step(from: string, message: LeaseMessage): void {
    switch (message.type) {
      case LeaseType.ask:
        this.#onAsk(from, message);
        return;
      case LeaseType.grant:
        this.#settle(message.id, 'granted');
        return;
      case LeaseType.done:
        if (message.record !== undefined) this.#options.take(message.record);
        this.#settle(message.id, answers[message.outcome]!);
        return;
      case LeaseType.release:
        this.#onRelease(from, message.space, message.key, message.outcome);
        return;
    }
  }

  /** Lets go of all who wait. */
  close(): void {
    for (const id of [...this.#asks.keys()]) this.#settle(id, 'timeout');
    for (const lease of this.#leases.values()) lease.cancel();
    this.#leases.clear();
  }

  /** A value came from somewhere: whoever waits for it has it, whatever became of the lease's release. */
  stored(space: string, key: string): void {
    if (this.#leases.size === 0) return;
    const lease = this.#leases.get(`${space}\0${key}`);
    if (lease !== undefined) this.#onRelease(lease.holder, space, key, LeaseOutcome.stored);
  }

  /** Asks until there is an answer: a message may be lost, and asking twice does no harm. */
  #sendAsk(owner: string, bytes: Uint8Array, id: number): void {
    const ask = this.#asks.get(id);
    if (ask === undefined) return;
    this.#options.send(owner, bytes);
    ask.cancelRetry = this.#options.clock.after(retryMs, () => this.#sendAsk(owner, bytes, id));
  }

  #owner(space: string, key: string): string {
    return ownerOf(space, key, [this.#options.node, ...this.#peers]);
  }

  #onAsk(from: string, { id, space, key, leaseMs, waits }: LeaseMessage & { type: typeof LeaseType.ask }): void {
    const name = `${space}\0${key}`;
    const lease = this.#leases.get(name);
    if (lease !== undefined && lease.holder !== from) {
      if (!waits) this.#answer(from, id, LeaseOutcome.failed, undefined);
      else if (!lease.waiting.some((waiting) => waiting.peer === from && waiting.id === id))
        lease.waiting.push({ peer: from, id });
      return;
    }
    // Who asks may have missed the value, or evicted it. A refresh wants another one.
    const record = waits ? this.#options.recordOf(space, key) : undefined;
    if (record !== undefined && from !== this.#options.node) {
      this.#answer(from, id, LeaseOutcome.stored, record);
      return;
    }
    if (this.#leases.size < maxLeases) this.#hold(name, from, lease?.waiting ?? [], leaseMs);
    this.#grant(from, id);
  }

  #onRelease(from: string, space: string, key: string, outcome: LeaseOutcome): void {
    const name = `${space}\0${key}`;
    const lease = this.#leases.get(name);
    if (lease === undefined || lease.holder !== from) return;
    if (outcome === LeaseOutcome.failed) {
      this.#pass(name, lease);
      return;
    }
    lease.cancel();
    this.#leases.delete(name);
    const record = outcome === LeaseOutcome.stored ? this.#options.recordOf(space, key) : undefined;
    for (const { peer, id } of lease.waiting) this.#answer(peer, id, outcome, record);
  }

  /** The next one who waits gets the lease: the holder failed. */
  #pass(name: string, lease: Lease): void {
    lease.cancel();
    this.#leases.delete(name);
    const next = lease.waiting.shift();
    if (next === undefined) return;
    this.#hold(name, next.peer, lease.waiting, defaultLeaseMs);
    this.#grant(next.peer, next.id);
  }

  #hold(name: string, holder: string, waiting: Lease['waiting'], leaseMs: number): void {
    this.#leases.get(name)?.cancel();
    const lease: Lease = { holder, waiting, cancel: () => {} };
    lease.cancel = this.#options.clock.after(leaseMs, () => {
      this.#leases.delete(name);
      for (const { peer, id } of lease.waiting) this.#answer(peer, id, LeaseOutcome.timeout, undefined);
    });
    this.#leases.set(name, lease);
  }

  #grant(to: string, id: number): void {
    this.granted++;
    if (to === this.#options.node) this.#settle(id, 'granted');
    else this.#options.send(to, encodeLease({ type: LeaseType.grant, id }));
  }

  #answer(to: string, id: number, outcome: LeaseOutcome, record: Change | undefined): void {
    if (to === this.#options.node) this.#settle(id, answers[outcome]!);
    else this.#options.send(to, encodeLease({ type: LeaseType.done, id, outcome, record }));
  }

  #settle(id: number, answer: LeaseAnswer): void {
    const ask = this.#asks.get(id);
    if (ask === undefined) return;
    this.#asks.delete(id);
    ask.cancel();
    ask.cancelRetry();
    ask.settle(answer);
  }
}

/** How long a lease lasts where the asker's own limit is not known. */
export const defaultLeaseMs: number = 30_000;

const answers: readonly LeaseAnswer[] = ['stored', 'denied', 'empty', 'timeout'];
