import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Condition, ConditionType, type ReadLevel, type SessionStamp } from './command.js';
import {
  type LeaveRequest,
  LeaveRequestSchema,
  type SnapshotRestoreRequest,
  SnapshotRestoreRequestSchema,
  type SnapshotSaveRequest,
  SnapshotSaveRequestSchema,
  type StatusRequest,
  StatusRequestSchema,
  type TransferLeadershipRequest,
  TransferLeadershipRequestSchema,
} from './gen/dcache/v1/admin_pb.js';
import {
  type CloseSessionRequest,
  CloseSessionRequestSchema,
  Consistency,
  type DeleteRequest,
  DeleteRequestSchema,
  type GetManyRequest,
  GetManyRequestSchema,
  type GetRequest,
  GetRequestSchema,
  type GetResponse,
  type OpenSessionRequest,
  OpenSessionRequestSchema,
  type SetManyRequest,
  SetManyRequestSchema,
  type SetRequest,
  SetRequestSchema,
} from './gen/dcache/v1/cache_pb.js';

/** What a client writes under one key. */
export interface WriteInit {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Milliseconds to live; 0 for no limit. */
  readonly ttlMs: number;
  readonly condition?: Condition | undefined;
}

/** What a client reads of one key. */
export interface EntryView {
  readonly value: Uint8Array;
  readonly revision: number;
  /** Milliseconds left to live; undefined for no limit. */
  readonly ttlMs: number | undefined;
}

const consistencies: Readonly<Record<ReadLevel, Consistency>> = {
  local: Consistency.LOCAL,
  lease: Consistency.LEASE,
  linearizable: Consistency.LINEARIZABLE,
};

export function v1GetRequest(key: Uint8Array, level: ReadLevel | undefined): GetRequest {
  return create(GetRequestSchema, { key, consistency: level ? consistencies[level] : Consistency.UNSPECIFIED });
}

export function v1GetManyRequest(keys: readonly Uint8Array[], level: ReadLevel | undefined): GetManyRequest {
  return create(GetManyRequestSchema, {
    keys: [...keys],
    consistency: level ? consistencies[level] : Consistency.UNSPECIFIED,
  });
}

/** The entry of an answer, undefined for a miss. The value is the answer's own memory. */
export function fromV1GetResponse(response: GetResponse): EntryView | undefined {
  const { entry } = response;
  if (!entry) return undefined;
  return {
    value: entry.value,
    revision: Number(entry.revision),
    ttlMs: entry.ttlMs === 0n ? undefined : Number(entry.ttlMs),
  };
}

export function v1SetRequest(init: WriteInit, session: SessionStamp | undefined): SetRequest {
  return create(SetRequestSchema, setInit(init, session));
}

export function v1SetManyRequest(sets: readonly WriteInit[], session: SessionStamp | undefined): SetManyRequest {
  return create(SetManyRequestSchema, {
    sets: sets.map((set) => setInit(set, undefined)),
    ...(session ? { session: stampInit(session) } : {}),
  });
}

/** A delete takes `present` and `revision` as conditions. */
export function v1DeleteRequest(
  key: Uint8Array,
  condition: Condition | undefined,
  session: SessionStamp | undefined,
): DeleteRequest {
  return create(DeleteRequestSchema, {
    key,
    ...(condition?.type === ConditionType.present ? { condition: { case: 'ifPresent', value: true } } : {}),
    ...(condition?.type === ConditionType.revision
      ? { condition: { case: 'ifRevision', value: BigInt(condition.revision) } }
      : {}),
    ...(session ? { session: stampInit(session) } : {}),
  });
}

export function v1OpenSessionRequest(ttlMs: number): OpenSessionRequest {
  return create(OpenSessionRequestSchema, { ttlMs: BigInt(ttlMs) });
}

export function v1CloseSessionRequest(session: number): CloseSessionRequest {
  return create(CloseSessionRequestSchema, { session: BigInt(session) });
}

export function v1StatusRequest(): StatusRequest {
  return create(StatusRequestSchema);
}

export function v1TransferLeadershipRequest(to: string | undefined): TransferLeadershipRequest {
  return create(TransferLeadershipRequestSchema, { to: to ?? '' });
}

export function v1LeaveRequest(id: string): LeaveRequest {
  return create(LeaveRequestSchema, { id });
}

export function v1SnapshotSaveRequest(level: ReadLevel | undefined): SnapshotSaveRequest {
  return create(SnapshotSaveRequestSchema, {
    consistency: level ? consistencies[level] : Consistency.UNSPECIFIED,
  });
}

export function v1SnapshotRestoreRequest(data: Uint8Array, replace: boolean): SnapshotRestoreRequest {
  return create(SnapshotRestoreRequestSchema, { data, replace });
}

function setInit(init: WriteInit, session: SessionStamp | undefined): MessageInitShape<typeof SetRequestSchema> {
  const { key, value, ttlMs, condition } = init;
  return {
    key,
    value,
    ttlMs: BigInt(ttlMs),
    ...(condition ? { condition: conditionInit(condition) } : {}),
    ...(session ? { session: stampInit(session) } : {}),
  };
}

function conditionInit(condition: Condition): SetRequest['condition'] {
  switch (condition.type) {
    case ConditionType.absent:
      return { case: 'ifAbsent', value: true };
    case ConditionType.present:
      return { case: 'ifPresent', value: true };
    case ConditionType.revision:
      return { case: 'ifRevision', value: BigInt(condition.revision) };
  }
}

function stampInit(stamp: SessionStamp): { session: bigint; sequence: bigint; lowestUnanswered: bigint } {
  return {
    session: BigInt(stamp.session),
    sequence: BigInt(stamp.sequence),
    lowestUnanswered: BigInt(stamp.lowestUnanswered),
  };
}
