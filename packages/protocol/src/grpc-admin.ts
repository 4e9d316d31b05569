import { create } from '@bufbuild/protobuf';
import { ReadLevel, type ServerInfo } from './command.js';
import {
  Admin,
  type LeaveResponse,
  LeaveResponseSchema,
  type SnapshotChunk,
  SnapshotChunkSchema,
  type SnapshotRestoreResponse,
  SnapshotRestoreResponseSchema,
  type SnapshotSaveRequest,
  type StatusResponse,
  StatusResponseSchema,
  type TransferLeadershipResponse,
  TransferLeadershipResponseSchema,
} from './gen/dcache/v1/admin_pb.js';
import { v1ReadLevel } from './grpc-cache.js';
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
  /** Whether the node's disk has no room for more log: it leads only if nobody else can. */
  readonly isDiskFull: boolean;
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

/** What a saved snapshot is of. */
export interface SavedMoment {
  readonly entries: number;
  /** Logical bytes of all entries. */
  readonly liveBytes: number;
  /** The name of the node that saved it. */
  readonly id: string;
  /** Undefined where the node belongs to none. */
  readonly cluster: string | undefined;
  /** Of two nodes of one cluster the one with the higher index has everything that the other has. */
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** Log time of the last applied entry, in milliseconds since 1970. */
  readonly stampMs: number;
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
    diskFull: rest.isDiskFull,
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
      raftId: BigInt(server.raftId ?? 0),
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
    isDiskFull: message.diskFull,
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
      // An older server does not tell.
      ...(member.raftId === 0n ? {} : { raftId: Number(member.raftId) }),
    })),
  };
}

export function grpcTransferred(leader: string): TransferLeadershipResponse {
  return create(TransferLeadershipResponseSchema, { leader });
}

export function grpcLeft(): LeaveResponse {
  return create(LeaveResponseSchema);
}

/** How fresh the snapshot must be: what the request says, or else its metadata, or else linearizable. */
export function grpcSaveLevel(request: SnapshotSaveRequest, metadata: string | undefined): ReadLevel {
  return v1ReadLevel(request.consistency, metadata) ?? ReadLevel.linearizable;
}

/** The first chunk tells how much there is, and of what. */
export function grpcSnapshotChunk(data: Uint8Array, moment?: SavedMoment): SnapshotChunk {
  if (!moment) return create(SnapshotChunkSchema, { data });
  const { id, cluster = '', entries, liveBytes, appliedIndex, appliedTerm, stampMs } = moment;
  return create(SnapshotChunkSchema, {
    ...{ data, id, cluster, entries: BigInt(entries), liveBytes: BigInt(liveBytes), stampMs: BigInt(stampMs) },
    ...{ appliedIndex: BigInt(appliedIndex), appliedTerm: BigInt(appliedTerm) },
  });
}

/** The client's side of `grpcSnapshotChunk`, of a first chunk. */
export function fromGrpcSnapshotChunk(message: SnapshotChunk): SavedMoment {
  return {
    entries: Number(message.entries),
    liveBytes: Number(message.liveBytes),
    id: message.id,
    cluster: message.cluster || undefined,
    appliedIndex: Number(message.appliedIndex),
    appliedTerm: Number(message.appliedTerm),
    stampMs: Number(message.stampMs),
  };
}

export function grpcRestored(result: RestoreResult): SnapshotRestoreResponse {
  return create(SnapshotRestoreResponseSchema, {
    restored: BigInt(result.restored),
    expired: BigInt(result.expired),
    skipped: BigInt(result.skipped),
  });
}
