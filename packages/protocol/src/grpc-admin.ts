import { create } from '@bufbuild/protobuf';
import type { ServerInfo } from './command.js';
import {
  Admin,
  type LeaveResponse,
  LeaveResponseSchema,
  type SnapshotChunk,
  SnapshotChunkSchema,
  type SnapshotRestoreResponse,
  SnapshotRestoreResponseSchema,
  type StatusResponse,
  StatusResponseSchema,
  type TransferLeadershipResponse,
  TransferLeadershipResponseSchema,
} from './gen/dcache/v1/admin_pb.js';
import { type GrpcMethods, grpcMethods } from './grpc-method.js';

/** Service `dcache.v1.Admin`. */
export const adminService: GrpcMethods<typeof Admin> = grpcMethods(Admin);

/** A node's own view, for people and probes. */
export interface NodeStatus {
  /** The node's name. */
  readonly id: string;
  readonly raftId: number;
  readonly rpcAddr: string;
  /** Undefined before the node belongs to a cluster. */
  readonly cluster: string | undefined;
  readonly role: string;
  readonly term: number;
  /** The leader's name, undefined where none is known. */
  readonly leader: string | undefined;
  /** A member that has applied what it knows to be committed. */
  readonly isReady: boolean;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly revision: number;
  /** Log time of the last applied entry, in milliseconds since 1970. */
  readonly stampMs: number;
  readonly entries: number;
  /** Logical bytes of all entries. */
  readonly liveBytes: number;
  /** Equal on any two nodes at the same applied index. */
  readonly stateHash: string;
  readonly servers: readonly ServerInfo[];
}

/** What a restore did, in entries. */
export interface RestoreResult {
  /** Written. */
  readonly restored: number;
  /** Their time had run out since they were saved. */
  readonly expired: number;
  /** A client wrote their key meanwhile, or they do not fit. */
  readonly skipped: number;
}

export function grpcStatus(status: NodeStatus, version: string): StatusResponse {
  const { servers, isReady, cluster, leader, raftId, term, commitIndex, appliedIndex, ...rest } = status;
  return create(StatusResponseSchema, {
    id: rest.id,
    rpcAddr: rest.rpcAddr,
    role: rest.role,
    stateHash: rest.stateHash,
    raftId: BigInt(raftId),
    cluster: cluster ?? '',
    term: BigInt(term),
    leader: leader ?? '',
    ready: isReady,
    commitIndex: BigInt(commitIndex),
    appliedIndex: BigInt(appliedIndex),
    revision: BigInt(rest.revision),
    stampMs: BigInt(rest.stampMs),
    entries: BigInt(rest.entries),
    liveBytes: BigInt(rest.liveBytes),
    version,
    members: servers.map((server) => ({
      id: server.id,
      rpcAddr: server.rpcAddr,
      leader: server.isLeader,
      voteStatus: server.voteStatus,
    })),
  });
}

/** The client's side of `grpcStatus`. */
export function fromGrpcStatus(message: StatusResponse): NodeStatus & { readonly version: string } {
  return {
    id: message.id,
    raftId: Number(message.raftId),
    rpcAddr: message.rpcAddr,
    cluster: message.cluster || undefined,
    role: message.role,
    term: Number(message.term),
    leader: message.leader || undefined,
    isReady: message.ready,
    commitIndex: Number(message.commitIndex),
    appliedIndex: Number(message.appliedIndex),
    revision: Number(message.revision),
    stampMs: Number(message.stampMs),
    entries: Number(message.entries),
    liveBytes: Number(message.liveBytes),
    stateHash: message.stateHash,
    version: message.version,
    servers: message.members.map((member) => ({
      id: member.id,
      rpcAddr: member.rpcAddr,
      isLeader: member.leader,
      voteStatus: member.voteStatus as ServerInfo['voteStatus'],
    })),
  };
}

export function grpcTransferred(leader: string): TransferLeadershipResponse {
  return create(TransferLeadershipResponseSchema, { leader });
}

export function grpcLeft(): LeaveResponse {
  return create(LeaveResponseSchema);
}

/** The first chunk tells how much there is. */
export function grpcSnapshotChunk(data: Uint8Array, size?: { entries: number; liveBytes: number }): SnapshotChunk {
  return create(SnapshotChunkSchema, {
    data,
    entries: BigInt(size?.entries ?? 0),
    liveBytes: BigInt(size?.liveBytes ?? 0),
  });
}

export function grpcRestored(result: RestoreResult): SnapshotRestoreResponse {
  return create(SnapshotRestoreResponseSchema, {
    restored: BigInt(result.restored),
    expired: BigInt(result.expired),
    skipped: BigInt(result.skipped),
  });
}
