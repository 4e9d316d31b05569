import {
  decodeMessages,
  encodeMessages,
  type Message,
  type NodeId,
  type SnapshotAck,
  type SnapshotPiece,
  type Transport,
  type TransportHandler,
} from '@dcache/raft';
import type { NetworkQuality } from '../network.js';
import { goodNetwork } from '../network.js';
import type { Scheduler } from '../scheduler.js';
import type { VirtualProcess } from './process.js';

/** Time until two nodes whose connection broke have another. */
const minReconnectMs = 2;
const maxReconnectMs = 40;

/**
 * Connections between processes as the driver has them: in order and without loss while they last, and now and then they
 * do not. `loss` is the share of packets at which a connection breaks with all that is under way; duplication does not
 * happen. A link that is cut swallows what goes that way, until it heals and a new connection is made.
 */
export class Connections {
  quality: NetworkQuality = goodNetwork;
  readonly #scheduler: Scheduler;
  readonly #note: (text: string) => void;
  readonly #members = new Map<NodeId, { readonly process: VirtualProcess; readonly handler: TransportHandler }>();
  readonly #cut = new Set<string>();
  /** By pair, the number of its present connection; undefined while there is none. */
  readonly #connections = new Map<string, number>();
  readonly #lastArrivalMs = new Map<string, number>();
  #count = 0;
  delivered = 0;
  dropped = 0;

  constructor(scheduler: Scheduler, note: (text: string) => void) {
    this.#scheduler = scheduler;
    this.#note = note;
  }

  /** The transport of a process that is node `id`. */
  transport(id: NodeId, process: VirtualProcess): Transport {
    process.onEnd(() => this.#leave(id, process));
    return {
      start: (handler) => {
        this.#members.set(id, { process, handler });
        for (const other of this.#members.keys()) if (other !== id) this.#reconnect(id, other);
      },
      send: (to, messages) => {
        const types = messages.map(({ type, term, index, commit }) => `${type}:${term}:${index}:${commit}`).join();
        const bytes = encodeMessages(messages);
        const isTaken = this.#send(id, to, types, (handler) => handler.onMessages(id, this.#decode(bytes)));
        if (!isTaken) process.defer(() => this.#members.get(id)?.handler.onUnreachable(to));
      },
      sendSnapshotPiece: (to, piece: SnapshotPiece) =>
        this.#send(id, to, 'piece', (handler) => handler.onSnapshotPiece(id, piece)),
      sendSnapshotAck: (to, ack: SnapshotAck) => this.#send(id, to, 'ack', (handler) => handler.onSnapshotAck(id, ack)),
      stop: async () => this.#leave(id, process),
    };
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  /** Cuts all links between the groups, in both directions. */
  partition(one: readonly NodeId[], other: readonly NodeId[]): void {
    for (const a of one) {
      for (const b of other) {
        this.cut(a, b);
        this.cut(b, a);
      }
    }
  }

  /** Ends all cuts; what was cut gets a new connection. */
  heal(): void {
    const cut = [...this.#cut];
    this.#cut.clear();
    for (const link of cut) {
      const [from, to] = link.split('>').map(Number) as [NodeId, NodeId];
      if (from < to || !cut.includes(`${to}>${from}`)) this.#break(from, to);
    }
  }

  #decode(bytes: Uint8Array): readonly Message[] {
    return decodeMessages(bytes);
  }

  /** False where there is no connection. */
  #send(from: NodeId, to: NodeId, what: string, receive: (handler: TransportHandler) => void): boolean {
    const connection = this.#connections.get(pair(from, to));
    if (connection === undefined) {
      this.dropped++;
      return false;
    }
    const { minDelayMs, maxDelayMs, stragglers, loss } = this.quality;
    if (this.#scheduler.chance(loss / 10)) {
      this.#break(from, to);
      return false;
    }
    const link = `${from}>${to}`;
    const delayMs = this.#scheduler.between(minDelayMs, maxDelayMs) * (this.#scheduler.chance(stragglers) ? 10 : 1);
    const atMs = Math.max(this.#scheduler.nowMs + delayMs, this.#lastArrivalMs.get(link) ?? 0);
    this.#lastArrivalMs.set(link, atMs);
    this.#scheduler.after(atMs - this.#scheduler.nowMs, () => {
      if (this.#cut.has(link) || this.#connections.get(pair(from, to)) !== connection) {
        this.dropped++;
        return;
      }
      this.delivered++;
      this.#note(`${link} ${what}`);
      const member = this.#members.get(to);
      member?.process.post(() => receive(member.handler));
    });
    return true;
  }

  #break(a: NodeId, b: NodeId): void {
    if (!this.#connections.delete(pair(a, b))) return;
    this.#note(`connection ${a}-${b} broke`);
    for (const [id, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const member = this.#members.get(id);
      member?.process.defer(() => member.handler.onUnreachable(other));
    }
    this.#reconnect(a, b);
  }

  #reconnect(a: NodeId, b: NodeId): void {
    this.#scheduler.after(this.#scheduler.between(minReconnectMs, maxReconnectMs), () => {
      const [one, other] = [this.#members.get(a), this.#members.get(b)];
      if (one === undefined || other === undefined || this.#connections.has(pair(a, b))) return;
      this.#connections.set(pair(a, b), ++this.#count);
      this.#lastArrivalMs.delete(`${a}>${b}`);
      this.#lastArrivalMs.delete(`${b}>${a}`);
      one.process.post(() => one.handler.onConnect(b));
      other.process.post(() => other.handler.onConnect(a));
    });
  }

  #leave(id: NodeId, process: VirtualProcess): void {
    if (this.#members.get(id)?.process !== process) return;
    this.#members.delete(id);
    for (const other of this.#members.keys()) this.#break(id, other);
  }
}

function pair(a: NodeId, b: NodeId): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`;
}
