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
export { DiskStorage, type DiskStorageOptions } from './disk-storage.js';
export { RaftError, type RaftErrorCode, type RaftErrorDetails } from './errors.js';
export { type DiskFile, type FileSystem, nodeFileSystem } from './file-system.js';
export { FrameKind } from './frame.js';
export type { HistogramSnapshot } from './histogram.js';
export type { MembershipChange } from './membership.js';
export { MemoryNetwork, type MemoryNetworkOptions } from './memory-network.js';
export { RaftNode } from './node.js';
export type { RaftNodeOptions } from './options.js';
export {
  PeerConnection,
  type PeerConnectionHandler,
  type PeerConnectionOptions,
  type PeerConnectionStats,
} from './peer-connection.js';
export { SimulatedDisk } from './simulated-disk.js';
export type { SnapshotAck, SnapshotAckStatus, SnapshotPiece } from './snapshot-frame.js';
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
export { StreamTransport, type StreamTransportOptions } from './stream-transport.js';
export type { Transport, TransportHandler } from './transport.js';
