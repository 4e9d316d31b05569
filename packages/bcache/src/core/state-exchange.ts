import type { Change } from './change.js';
import type { ReplicatorEvent } from './effects.js';
import type { Grave, Holdings } from './holdings.js';
import { type Message, MessageType, type PositionEntry } from './message.js';
import { StateDonor, type StatePart, StateReceiver } from './state-transfer.js';

/** What the exchange of full states needs of its replicator. */
export interface StateHost {
  readonly holdings: Holdings;
  /** Monotonic time. */
  now(): number;
  send(to: string, message: Message): void;
  tell(event: ReplicatorEvent): void;
  /** All that this node has seen, gone origins among it, for one that takes its state. */
  positions(): PositionEntry[];
  /** What is void is learned before the records come. */
  learnVoid(entry: PositionEntry): void;
  /** Merges a record of a state. False where its stamp is too far ahead. */
  take(change: Change): boolean;
  takeGrave(grave: Grave): void;
  /** Tells the donor that all of `origin` from `dot` on is void, and holds it so here. */
  refuse(to: string, origin: string, dot: number): void;
  /** The donor's positions are this node's now. */
  finished(positions: readonly PositionEntry[]): void;
}

const waitMs = 5_000;
const maxDonors = 4;

/** Gives full states to a few nodes at a time, and takes one. What stands still is given up and asked for again. */
export class StateExchange {
  readonly #host: StateHost;
  #receiver: StateReceiver | undefined;
  #donors: StateDonor[] = [];
  #nextId: number;
  /** The last request that each peer made. */
  readonly #asked = new Map<string, number>();

  /** `firstId` differs between starts of a node: a request is known by its number. */
  constructor(host: StateHost, firstId: number) {
    this.#host = host;
    this.#nextId = firstId;
  }

  get isTaking(): boolean {
    return this.#receiver !== undefined;
  }

  /** Whether there are chunks to make. */
  get hasMore(): boolean {
    return this.#donors.some((donor) => donor.mayGive);
  }

  setPeers(peers: readonly string[]): void {
    if (this.#receiver !== undefined && !peers.includes(this.#receiver.from)) this.giveUp();
    this.#donors = this.#donors.filter((donor) => peers.includes(donor.to));
    for (const peer of this.#asked.keys()) if (!peers.includes(peer)) this.#asked.delete(peer);
  }

  tick(): void {
    const now = this.#host.now();
    if (this.#receiver !== undefined && now - this.#receiver.heardAtMs > waitMs) this.giveUp();
    this.#donors = this.#donors.filter((donor) => now - donor.heardAtMs <= waitMs * 2);
  }

  /** Makes the next chunk for each node that takes a state from this one. */
  pump(): void {
    for (const donor of this.#donors.filter(({ mayGive }) => mayGive)) {
      const body = donor.chunk();
      const { id, to } = donor;
      if (body !== undefined) this.#host.send(to, { type: MessageType.stateChunk, id, index: donor.index++, body });
      else {
        this.#host.send(to, { type: MessageType.stateEnd, id, index: donor.index });
        this.#donors.splice(this.#donors.indexOf(donor), 1);
      }
    }
  }

  /** Asks a peer for its state, unless one is on its way. False where one is. */
  request(from: string, isStale: boolean): boolean {
    if (this.#receiver !== undefined) return false;
    const id = this.#nextId++;
    this.#receiver = new StateReceiver(id, from, this.#host.now());
    this.#host.tell({ type: 'sync-start', peer: from });
    this.#host.send(from, { type: MessageType.stateRequest, id, isStale });
    return true;
  }

  /** A peer asks for this node's state. `mayGive` false: this node has to take one first. */
  onRequest(from: string, id: number, mayGive: boolean): void {
    // The same request again: a second state beside the first, begun at another time, would be mixed with it.
    if (this.#asked.get(from) === id) return;
    this.#asked.set(from, id);
    this.#donors = this.#donors.filter((donor) => donor.to !== from);
    if (this.#donors.length >= maxDonors || !mayGive) {
      this.#host.send(from, { type: MessageType.stateBusy, id });
      return;
    }
    const entries = this.#host.positions();
    this.#donors.push(new StateDonor(id, from, this.#host.holdings, this.#host.now()));
    this.#host.send(from, { type: MessageType.stateBegin, id, entries });
  }

  onMore(from: string, id: number): void {
    this.#donors.find((donor) => donor.to === from && donor.id === id)?.more(this.#host.now());
  }

  onBusy(from: string, id: number): void {
    if (this.#isOurs(from, id)) this.giveUp();
  }

  onPart(from: string, index: number, message: StatePart): void {
    const receiver = this.#receiver;
    if (receiver === undefined || !this.#isOurs(from, message.id)) return;
    receiver.heardAtMs = this.#host.now();
    for (const part of receiver.due(index, message)) {
      if (part.type === MessageType.stateBegin) this.#begin(receiver, part.entries);
      else if (part.type === MessageType.stateChunk) this.#takeChunk(receiver, part.body);
      else this.#finish(receiver);
    }
  }

  /** Lets go of a state that is on its way; what it has brought stays. */
  giveUp(): void {
    const receiver = this.#receiver;
    if (receiver === undefined) return;
    this.#receiver = undefined;
    this.#host.tell({ type: 'sync-end', peer: receiver.from, records: receiver.records, ok: false });
  }

  #begin(receiver: StateReceiver, entries: readonly PositionEntry[]): void {
    receiver.begin(this.#host.holdings);
    for (const entry of entries) {
      this.#host.learnVoid(entry);
      receiver.donorSeen.set(entry.origin, entry.dot);
      receiver.positions.push(entry);
    }
  }

  #takeChunk(receiver: StateReceiver, body: Uint8Array): void {
    /** The lowest dot of each origin that was too far ahead: at the end its number counts as seen, so all must be told. */
    const refused = new Map<string, number>();
    receiver.read(
      body,
      (change) => {
        if (this.#host.take(change)) return;
        const { origin, dot } = change;
        refused.set(origin, Math.min(dot, refused.get(origin) ?? dot));
      },
      (grave) => this.#host.takeGrave(grave),
    );
    for (const [origin, dot] of refused) this.#host.refuse(receiver.from, origin, dot);
    this.#host.send(receiver.from, { type: MessageType.stateMore, id: receiver.id });
  }

  #finish(receiver: StateReceiver): void {
    this.#receiver = undefined;
    receiver.end(this.#host.holdings);
    this.#host.finished(receiver.positions);
    this.#host.tell({ type: 'sync-end', peer: receiver.from, records: receiver.records, ok: true });
  }

  #isOurs(from: string, id: number): boolean {
    return this.#receiver !== undefined && this.#receiver.from === from && this.#receiver.id === id;
  }
}
