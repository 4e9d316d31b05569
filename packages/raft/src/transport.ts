import type { Message, NodeId } from './core/message.js';
import type { SnapshotAck, SnapshotPiece } from './snapshot/snapshot-frame.js';

/**
 * How a node reaches the others. Nothing here waits and nothing is certain to arrive: Raft sends again what matters. To
 * one node, what arrives does so in the order sent, as long as the connection lasts.
 *
 * The sender's id that a handler is told is the one the other side has proved to have, not one from the bytes.
 */
export interface Transport {
  /** Called once, before anything is sent. */
  start(handler: TransportHandler): void;
  /**
   * Sends messages, all of one turn of the event loop together, or drops them when there is no connection or too much is
   * waiting. The array may be reused by the caller afterwards.
   */
  send(to: NodeId, messages: readonly Message[]): void;
  /** False when it cannot be taken now; `onConnect`, a later ack or a tick is the time to try again. */
  sendSnapshotPiece(to: NodeId, piece: SnapshotPiece): boolean;
  /** False when it cannot be taken now. */
  sendSnapshotAck(to: NodeId, ack: SnapshotAck): boolean;
  /** Closes all connections; nothing is delivered afterwards. */
  stop(): Promise<void>;
}

/** What a transport tells its node. */
export interface TransportHandler {
  /** Entries and their bytes may be kept. */
  onMessages(from: NodeId, messages: readonly Message[]): void;
  /** `data` of the piece may be kept. */
  onSnapshotPiece(from: NodeId, piece: SnapshotPiece): void;
  onSnapshotAck(from: NodeId, ack: SnapshotAck): void;
  /** There is a connection, perhaps after a time without one. */
  onConnect(id: NodeId): void;
  /** Messages to this node were dropped, or its connection is gone. */
  onUnreachable(id: NodeId): void;
}
