import { equalBytes, type Random } from '@dcache/base';
import type { Suspicion } from './lifeguard.js';
import { type Endpoint, type NodeRow, NodeState } from './message.js';
import type { Timer } from './timers.js';

/** What this member believes about one member; its own row is one of them. */
export interface NodeRecord extends Endpoint {
  readonly name: string;
  addr: Uint8Array;
  port: number;
  meta: Uint8Array;
  vsn: Uint8Array;
  /** Only the member itself raises it; a claim with a lower one is old news. */
  incarnation: number;
  state: NodeState;
  stateChangeMs: number;
  /** Present exactly while `state` is suspect. */
  suspicion: Suspicion | undefined;
  /** When the suspicion becomes a verdict. */
  suspicionTimer: Timer | undefined;
}

/** Protocol numbers as a member announces them (six bytes on the wire). */
export interface Versions {
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly protocolCur: number;
  readonly delegateMin: number;
  readonly delegateMax: number;
  readonly delegateCur: number;
}

export function readVersions(vsn: Uint8Array): Versions {
  return {
    protocolMin: vsn[0] ?? 0,
    protocolMax: vsn[1] ?? 0,
    protocolCur: vsn[2] ?? 0,
    delegateMin: vsn[3] ?? 0,
    delegateMax: vsn[4] ?? 0,
    delegateCur: vsn[5] ?? 0,
  };
}

/** Highest protocol of the membership layer a member understands: 3 has stream pings, 4 nacks, 5 checksums. */
export function protocolMax(record: { readonly vsn: Uint8Array }): number {
  return record.vsn[1] ?? 0;
}

/** Whether the numbers of the membership layer can be meant: none is 0, and the range is not empty. */
export function areVersionsSane(vsn: Uint8Array): boolean {
  return vsn.length === 6 && vsn[0] !== 0 && vsn[1] !== 0 && vsn[0]! <= vsn[1]!;
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && (a.addr === b.addr || equalBytes(a.addr, b.addr));
}

/**
 * All members that are known, in three orders: by name, in the order of probing (round robin over a shuffled list,
 * SWIM §4.3), and in an order for random draws.
 */
export class MemberTable {
  readonly #byName = new Map<string, NodeRecord>();
  readonly #probeOrder: NodeRecord[] = [];
  readonly #drawOrder: NodeRecord[] = [];
  readonly #random: Random;
  #probeIndex = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Members in any state, this one included: the n of every formula. */
  get size(): number {
    return this.#byName.size;
  }

  get(name: string): NodeRecord | undefined {
    return this.#byName.get(name);
  }

  all(): IterableIterator<NodeRecord> {
    return this.#byName.values();
  }

  /** Adds a record at a random place of the probe order, so that newcomers are not all probed in one round. */
  add(record: NodeRecord): void {
    this.#byName.set(record.name, record);
    const place = this.#random.below(this.#probeOrder.length + 1);
    this.#probeOrder.push(this.#probeOrder[place] ?? record);
    this.#probeOrder[place] = record;
    this.#drawOrder.push(record);
  }

  /** The next member to probe that `wanted` takes; undefined when a whole round has none. `wrapped` ends each round. */
  nextToProbe(wanted: (record: NodeRecord) => boolean, wrapped: () => void): NodeRecord | undefined {
    for (let checked = 0; checked <= this.#probeOrder.length; checked++) {
      if (this.#probeIndex >= this.#probeOrder.length) {
        this.#probeIndex = 0;
        wrapped();
        shuffle(this.#probeOrder, this.#random);
      }
      const record = this.#probeOrder[this.#probeIndex++];
      if (record !== undefined && wanted(record)) return record;
    }
    return undefined;
  }

  /** Forgets the members that `gone` takes. */
  remove(gone: (record: NodeRecord) => boolean): void {
    let any = false;
    for (const record of this.#byName.values()) {
      if (!gone(record)) continue;
      this.#byName.delete(record.name);
      any = true;
    }
    if (!any) return;
    for (const list of [this.#probeOrder, this.#drawOrder]) {
      const kept = list.filter((record) => this.#byName.get(record.name) === record);
      list.length = 0;
      for (const record of kept) list.push(record);
    }
  }

  /** Up to `count` different members that `wanted` takes, all such sets equally likely. */
  draw(count: number, wanted: (record: NodeRecord) => boolean): NodeRecord[] {
    const drawn: NodeRecord[] = [];
    const order = this.#drawOrder;
    // A Fisher-Yates shuffle that stops when it has enough: no bias, and never misses the last member that fits.
    for (let i = 0; i < order.length && drawn.length < count; i++) {
      const j = i + this.#random.below(order.length - i);
      const record = order[j]!;
      order[j] = order[i]!;
      order[i] = record;
      if (wanted(record)) drawn.push(record);
    }
    return drawn;
  }

  countAlive(): number {
    let alive = 0;
    for (const record of this.#byName.values()) if (isUp(record)) alive++;
    return alive;
  }

  rows(): NodeRow[] {
    const rows: NodeRow[] = [];
    for (const { name, addr, port, incarnation, meta, state, vsn } of this.#byName.values())
      rows.push({ name, addr, port, incarnation, meta, state, vsn });
    return rows;
  }
}

/** Alive or merely suspected. */
export function isUp(record: NodeRecord): boolean {
  return record.state === NodeState.alive || record.state === NodeState.suspect;
}

function shuffle(list: NodeRecord[], random: Random): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const swapped = list[i]!;
    list[i] = list[j]!;
    list[j] = swapped;
  }
}
