import type { Duplex } from 'node:stream';
import { assert } from '@dcache/base';
import type { Message, NodeId } from '../core/message.js';
import type { SnapshotAck, SnapshotPiece } from '../snapshot/snapshot-frame.js';
import type { Transport, TransportHandler } from '../transport.js';
import { PeerConnection, type PeerConnectionOptions } from './peer-connection.js';

export interface StreamTransportOptions extends PeerConnectionOptions {
  /** Is given the frames of kind 64 to 255. `payload` is valid until the call returns. Default: they are dropped. */
  readonly onApplicationFrame?: (from: NodeId, kind: number, payload: Uint8Array) => void;
  /** A connection ended; `isLast` says that none is left to that node. Where to dial again. */
  readonly onDisconnect?: (id: NodeId, error: Error | undefined, isLast: boolean) => void;
}

/**
 * The transport over connections that somebody else makes: whoever dials or accepts, shakes hands and checks
 * identities, hands the stream over with `attach`. Two nodes that dial each other at the same time have two
 * connections: both are read, the newer one is written to, and when it ends the older one is used again.
 */
export class StreamTransport implements Transport {
  readonly #options: StreamTransportOptions;
  readonly #peers = new Map<NodeId, PeerConnection[]>();
  #handler: TransportHandler | undefined;
  #stopped = false;

  constructor(options: StreamTransportOptions = {}) {
    this.#options = options;
  }

  start(handler: TransportHandler): void {
    assert(this.#handler === undefined, 'a transport is started once');
    this.#handler = handler;
    for (const id of this.#peers.keys()) handler.onConnect(id);
  }

  /** Takes over a stream whose other end is `id`, as a handshake has proved. */
  attach(id: NodeId, stream: Duplex): PeerConnection {
    const connection = new PeerConnection(
      stream,
      {
        onMessages: (messages) => this.#handler?.onMessages(id, messages),
        onSnapshotPiece: (piece) => this.#handler?.onSnapshotPiece(id, piece),
        onSnapshotAck: (ack) => this.#handler?.onSnapshotAck(id, ack),
        onApplicationFrame: (kind, payload) => this.#options.onApplicationFrame?.(id, kind, payload),
        onDropped: () => this.#handler?.onUnreachable(id),
        onClose: (error) => this.#detach(id, connection, error),
      },
      this.#options,
    );
    if (this.#stopped) {
      connection.destroy();
      return connection;
    }
    const connections = this.#peers.get(id);
    if (connections === undefined) this.#peers.set(id, [connection]);
    else connections.push(connection);
    this.#handler?.onConnect(id);
    return connection;
  }

  /** The connection that is written to, or undefined. */
  connection(id: NodeId): PeerConnection | undefined {
    return this.#peers.get(id)?.findLast((connection) => connection.isOpen);
  }

  /** Whom there is a connection to. */
  connected(): NodeId[] {
    return [...this.#peers.keys()].filter((id) => this.connection(id) !== undefined);
  }

  /** Ends all connections to a node, such as one that was removed. */
  disconnect(id: NodeId): void {
    for (const connection of this.#peers.get(id) ?? []) connection.close();
  }

  send(to: NodeId, messages: readonly Message[]): void {
    const connection = this.connection(to);
    if (connection === undefined) this.#handler?.onUnreachable(to);
    else connection.send(messages);
  }

  sendSnapshotPiece(to: NodeId, piece: SnapshotPiece): boolean {
    return this.connection(to)?.sendSnapshotPiece(piece) ?? false;
  }

  sendSnapshotAck(to: NodeId, ack: SnapshotAck): boolean {
    return this.connection(to)?.sendSnapshotAck(ack) ?? false;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#handler = undefined;
    for (const connections of this.#peers.values()) for (const connection of connections) connection.destroy();
    this.#peers.clear();
  }

  #detach(id: NodeId, connection: PeerConnection, error: Error | undefined): void {
    const rest = (this.#peers.get(id) ?? []).filter((other) => other !== connection);
    if (rest.length === 0) this.#peers.delete(id);
    else this.#peers.set(id, rest);
    if (this.#stopped) return;
    if (rest.length === 0) this.#handler?.onUnreachable(id);
    this.#options.onDisconnect?.(id, error, rest.length === 0);
  }
}
