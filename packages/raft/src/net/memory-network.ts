import { assert, type Random, SeededRandom } from '@dcache/base';
import { decodeMessages, encodeMessages } from '../codec.js';
import type { Message, NodeId } from '../core/message.js';
import {
  decodeSnapshotAck,
  decodeSnapshotPiece,
  encodeSnapshotAck,
  encodeSnapshotPiece,
  type SnapshotAck,
  type SnapshotPiece,
} from '../snapshot/snapshot-frame.js';
import type { Transport, TransportHandler } from '../transport.js';

export interface MemoryNetworkOptions {
  /** Share of what is sent that gets lost, from 0 to 1. May be changed later. Default 0. */
  readonly loss?: number;
  /** Decides what gets lost. Default seeded with 1. */
  readonly random?: Random;
  /** Runs a delivery later, in the order called. Default `setImmediate`; a simulation brings its own. */
  readonly defer?: (run: () => void) => void;
}

/**
 * Connects nodes of one process, for tests: everything goes through the codec, and links can be cut and lossy.
 *
 * ```ts
 * const network = new MemoryNetwork();
 * const node = new RaftNode({ id: 1, transport: network.transport(1), … });
 * network.cut(1, 2); // neither hears the other
 * network.heal();
 * ```
 */
export class MemoryNetwork {
  loss: number;
  /** Is asked for everything that is about to be delivered; false loses it. For tests that lose one certain message. */
  filter: ((from: NodeId, to: NodeId, what: Message | SnapshotPiece | SnapshotAck) => boolean) | undefined;
  readonly #random: Random;
  readonly #defer: (run: () => void) => void;
  readonly #handlers = new Map<NodeId, TransportHandler>();
  readonly #cuts = new Set<string>();

  constructor(options: MemoryNetworkOptions = {}) {
    this.loss = options.loss ?? 0;
    this.#random = options.random ?? new SeededRandom(1);
    this.#defer = options.defer ?? ((run) => setImmediate(run));
  }

  /** The transport of node `id`. */
  transport(id: NodeId): Transport {
    return {
      start: (handler) => {
        assert(!this.#handlers.has(id), `node ${id} is on the network already`);
        this.#handlers.set(id, handler);
        for (const other of this.#handlers.keys()) if (other !== id) this.#connect(id, other);
      },
      send: (to, messages) => this.#sendMessages(id, to, messages),
      sendSnapshotPiece: (to, piece) =>
        this.#deliver(id, to, encodeSnapshotPiece(piece), (handler, bytes) => {
          const decoded = decodeSnapshotPiece(bytes);
          if (this.filter?.(id, to, decoded) !== false) handler.onSnapshotPiece(id, decoded);
        }),
      sendSnapshotAck: (to, ack) =>
        this.#deliver(id, to, encodeSnapshotAck(ack), (handler, bytes) => {
          const decoded = decodeSnapshotAck(bytes);
          if (this.filter?.(id, to, decoded) !== false) handler.onSnapshotAck(id, decoded);
        }),
      stop: async () => {
        this.#handlers.delete(id);
      },
    };
  }

  /** Cuts both ways between two nodes. */
  cut(a: NodeId, b: NodeId): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  /** What `from` sends no longer reaches `to`. */
  cutOneWay(from: NodeId, to: NodeId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  /** Cuts a node off from all that are on the network now. */
  isolate(id: NodeId): void {
    for (const other of this.#handlers.keys()) if (other !== id) this.cut(id, other);
  }

  /** Ends all cuts. */
  heal(): void {
    this.#cuts.clear();
    for (const a of this.#handlers.keys()) for (const b of this.#handlers.keys()) if (a < b) this.#connect(a, b);
  }

  #connect(a: NodeId, b: NodeId): void {
    this.#defer(() => {
      this.#handlers.get(a)?.onConnect(b);
      this.#handlers.get(b)?.onConnect(a);
    });
  }

  #sendMessages(from: NodeId, to: NodeId, messages: readonly Message[]): void {
    const sent = this.#deliver(from, to, encodeMessages(messages), (handler, bytes) => {
      const passed = decodeMessages(bytes).filter((message) => this.filter?.(from, to, message) !== false);
      if (passed.length > 0) handler.onMessages(from, passed);
    });
    if (!sent) this.#handlers.get(from)?.onUnreachable(to);
  }

  #deliver(
    from: NodeId,
    to: NodeId,
    bytes: Uint8Array,
    receive: (handler: TransportHandler, bytes: Uint8Array) => void,
  ): boolean {
    if (!this.#handlers.has(to) || this.#cuts.has(`${from}>${to}`)) return false;
    if (this.loss > 0 && this.#random.next() < this.loss) return true;
    this.#defer(() => {
      const handler = this.#handlers.get(to);
      if (handler !== undefined && !this.#cuts.has(`${from}>${to}`)) receive(handler, bytes);
    });
    return true;
  }
}
