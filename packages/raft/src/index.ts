/**
 * Raft consensus: a pure core, a log in memory or on disk, framed connections, and a driver that brings them together.
 *
 * ```ts
 * import { MemoryNetwork, MemoryStorage, RaftNode } from '@dcache/raft';
 *
 * let sum = 0;
 * const node = new RaftNode<number>({
 *   id: 1,
 *   storage: new MemoryStorage(),
 *   transport: new MemoryNetwork().transport(1),
 *   stateMachine: {
 *     apply: ({ data }) => (sum += data[0]!),
 *     applyMembership: () => {},
 *     snapshot: () => ({ chunks: () => [Uint8Array.of(sum)], close: () => {} }),
 *     restore: async (chunks) => { for await (const chunk of chunks) sum = chunk[0]!; },
 *   },
 *   bootstrap: {},
 * });
 * ```
 *
 * Read next: `core/message.ts`, `core/raw-node.ts`, `storage.ts`, `transport.ts`, `node.ts`.
 */
export { decodeMessages, encodeMessages } from './codec.js';
export {
  type ConfChange,
  ConfChangeType,
  type ConfChangeV2,
  decodeConfChange,
  encodeConfChange,
  Transition,
} from './core/conf-change.js';
export { entrySize } from './core/entry-size.js';
export type { InitialState, LogReader } from './core/log-reader.js';
export {
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  localAppendThread,
  localApplyThread,
  type Message,
  MessageType,
  makeMessage,
  type NodeId,
  noNode,
  Role,
  type Snapshot,
  type SnapshotMetadata,
} from './core/message.js';
export type { RawNodeOptions } from './core/options.js';
export { RawNode } from './core/raw-node.js';
export type { BasicStatus, PeerStatus, ProposeResult, ReadIndexResult, Ready, Status } from './core/ready.js';
export type { Trace, TraceEvent } from './core/trace.js';
export { DiskStorage, type DiskStorageOptions } from './disk/disk-storage.js';
export { type DiskFile, type FileSystem, nodeFileSystem } from './disk/file-system.js';
export { SimulatedDisk } from './disk/simulated-disk.js';
export { RaftError, type RaftErrorCode, type RaftErrorDetails } from './errors.js';
export type { HistogramSnapshot } from './histogram.js';
export type { MembershipChange } from './membership.js';
export { FrameKind } from './net/frame.js';
export { MemoryNetwork, type MemoryNetworkOptions } from './net/memory-network.js';
export {
  PeerConnection,
  type PeerConnectionHandler,
  type PeerConnectionOptions,
  type PeerConnectionStats,
} from './net/peer-connection.js';
export { StreamTransport, type StreamTransportOptions } from './net/stream-transport.js';
export { RaftNode } from './node.js';
export type { RaftNodeOptions } from './options.js';
export type { SnapshotAck, SnapshotAckStatus, SnapshotPiece } from './snapshot/snapshot-frame.js';
export type { AppliedEntry, StateMachine, StateMachineSnapshot } from './state-machine.js';
export type {
  LeaderChange,
  MemberProgress,
  MembershipChanged,
  RaftEvents,
  RaftRole,
  RaftStats,
  RaftStatus,
  SnapshotInstalled,
  SnapshotSent,
} from './status.js';
export { type LogStorage, MemoryStorage, type SnapshotFile, type StoredSnapshot } from './storage.js';
export type { Transport, TransportHandler } from './transport.js';
