import { create } from '@bufbuild/protobuf';
import {
  type Command,
  CommandType,
  type Condition,
  ConditionType,
  type EntryWrite,
  type Found,
  type OpenSessionCommand,
  ReadLevel,
  type Reply,
  ReplyType,
  type SessionStamp,
  type SetManyCommand,
} from './command.js';
import { maxDurationMs } from './duration.js';
import { DcacheError } from './errors.js';
import {
  Cache,
  type CloseSessionResponse,
  CloseSessionResponseSchema,
  Consistency,
  type DeleteRequest,
  type DeleteResponse,
  DeleteResponseSchema,
  type Entry,
  EntrySchema,
  type GetManyResponse,
  GetManyResponseSchema,
  type GetResponse,
  GetResponseSchema,
  type OpenSessionRequest,
  type OpenSessionResponse,
  OpenSessionResponseSchema,
  type SessionStamp as SessionStampMessage,
  type SetManyRequest,
  type SetManyResponse,
  SetManyResponseSchema,
  type SetRequest,
  type SetResponse,
  SetResponseSchema,
} from './gen/dcache/v1/cache_pb.js';
import { type GrpcMethods, grpcMethods } from './grpc-method.js';
import { checkReply } from './http.js';
import { checkKey, checkValueBytes, type Limits } from './limits.js';
import { parseReadLevel } from './read-level.js';

/** Service `dcache.v1.Cache`, as a server sees it: requests become commands, replies become responses. */
export const cacheServiceV1: GrpcMethods<typeof Cache> = grpcMethods(Cache);

/** Keys of one `GetMany` or `SetMany`. */
export const maxManyKeys = 1_024;
/** Value bytes of one `GetMany` answer. */
export const maxManyBytes: number = 32 * 1_048_576;

const defaultSessionTtlMs = 300_000;
const maxSessionTtlMs = 86_400_000;

/** The level that the request asks for, or else its metadata; undefined leaves it to the server. */
export function v1ReadLevel(consistency: Consistency, metadata: string | undefined): ReadLevel | undefined {
  switch (consistency) {
    case Consistency.UNSPECIFIED:
      return metadata === undefined ? undefined : parseReadLevel(metadata, 'dcache-consistency');
    case Consistency.LOCAL:
      return ReadLevel.local;
    case Consistency.LEASE:
      return ReadLevel.lease;
    case Consistency.LINEARIZABLE:
      return ReadLevel.linearizable;
    default:
      throw new DcacheError('bad-argument', `consistency is ${consistency as number}; it takes 0 to 3`);
  }
}

export function v1Keys(keys: readonly Uint8Array[], limits: Limits): readonly Uint8Array[] {
  checkCount(keys.length, 'keys');
  for (const key of keys) checkKey(key, limits);
  return keys;
}

export function v1SetCommand(request: SetRequest, limits: Limits): Command {
  const { key, value, ttlMs, flags, condition } = entryWrite(request, limits);
  const session = sessionStamp(request.session);
  return { type: CommandType.set, key, value, ttlMs, flags, condition, session, idempotency: undefined };
}

/** Throws for the same key twice too: which of the two would win is nothing to guess. */
export function v1SetManyCommand(request: SetManyRequest, limits: Limits): SetManyCommand {
  checkCount(request.sets.length, 'sets');
  let bytes = 0;
  const seen = new Set<string>();
  const sets = request.sets.map((set, at) => {
    if (set.session) throw new DcacheError('bad-argument', `set ${at} has a session of its own; the request takes one`);
    bytes += set.key.length + set.value.length;
    const name = Buffer.from(set.key).toString('latin1');
    if (seen.has(name)) throw new DcacheError('bad-argument', `set ${at} writes a key that one before it writes`);
    seen.add(name);
    return entryWrite(set, limits);
  });
  const maxBytes = limits.maxValueBytes + limits.maxKeyBytes;
  if (bytes > maxBytes)
    throw new DcacheError(
      'too-large',
      `the keys and values have ${bytes} bytes; at most ${maxBytes} are allowed in one SetMany`,
    );
  return { type: CommandType.setMany, sets, session: sessionStamp(request.session) };
}

export function v1DeleteCommand(request: DeleteRequest, limits: Limits): Command {
  checkKey(request.key, limits);
  return {
    type: CommandType.delete,
    key: request.key,
    condition: toCondition(request.condition),
    session: sessionStamp(request.session),
  };
}

export function v1OpenSessionCommand(request: OpenSessionRequest): OpenSessionCommand {
  const ttlMs = toNumber(request.ttlMs, 'ttl_ms', maxSessionTtlMs) || defaultSessionTtlMs;
  return { type: CommandType.openSession, ttlMs };
}

export function v1CloseSessionCommand(session: bigint): Command {
  return { type: CommandType.closeSession, id: toNumber(session, 'session') };
}

/** `nowMs` is log time. */
export function v1GetResponse(found: Found | undefined, nowMs: number): GetResponse {
  return create(GetResponseSchema, found ? { entry: entryMessage(found, nowMs) } : {});
}

export function v1GetManyResponse(found: readonly (Found | undefined)[], nowMs: number): GetManyResponse {
  const bytes = found.reduce((sum, one) => sum + (one?.value.length ?? 0), 0);
  if (bytes > maxManyBytes)
    throw new DcacheError(
      'too-large',
      `the values have ${bytes} bytes; at most ${maxManyBytes} are given at once: ask for fewer keys`,
    );
  return create(GetManyResponseSchema, { results: found.map((one) => v1GetResponse(one, nowMs)) });
}

export function v1SetResponse(reply: Reply): SetResponse {
  return create(SetResponseSchema, { revision: BigInt(checkStamped(reply)) });
}

/** The keys took consecutive revisions, of which the reply has the last. */
export function v1SetManyResponse(reply: Reply, count: number): SetManyResponse {
  if (reply.type !== ReplyType.ok && reply.count !== undefined) refuseMany(reply, reply.count);
  const last = checkStamped(reply);
  return create(SetManyResponseSchema, {
    revisions: Array.from({ length: count }, (_, at) => BigInt(last - count + 1 + at)),
  });
}

export function v1DeleteResponse(reply: Reply): DeleteResponse {
  if (reply.type === ReplyType.notFound) return create(DeleteResponseSchema);
  return create(DeleteResponseSchema, { deleted: true, revision: BigInt(checkStamped(reply)) });
}

export function v1OpenSessionResponse(reply: Reply, ttlMs: number): OpenSessionResponse {
  return create(OpenSessionResponseSchema, { session: BigInt(checkReply(reply)), ttlMs: BigInt(ttlMs) });
}

export function v1CloseSessionResponse(): CloseSessionResponse {
  return create(CloseSessionResponseSchema);
}

/** As `checkReply`, but a session that is gone has a code of its own: who sent the write once may send it anew. */
function checkStamped(reply: Reply): number {
  if (reply.type === ReplyType.sessionExpired)
    throw new DcacheError(
      'session-expired',
      'the session is gone, so the write was not applied now; if it was sent before, read before writing again',
    );
  return checkReply(reply);
}

/** Says which of the sets was at fault. */
function refuseMany(reply: Reply, at: number): never {
  try {
    checkReply(reply);
  } catch (error) {
    if (error instanceof DcacheError)
      throw new DcacheError(error.code, `set ${at} was refused, so none was written: ${error.message}`);
    throw error;
  }
  throw new DcacheError('internal', `a set was refused with reply type ${reply.type}`);
}

function entryMessage(found: Found, nowMs: number): Entry {
  return create(EntrySchema, {
    value: found.value,
    revision: BigInt(found.revision),
    ttlMs: BigInt(found.expiresAtMs === 0 ? 0 : Math.max(1, found.expiresAtMs - nowMs)),
  });
}

function entryWrite(request: SetRequest, limits: Limits): EntryWrite {
  checkKey(request.key, limits);
  checkValueBytes(request.value.length, limits);
  return {
    key: request.key,
    value: request.value,
    ttlMs: toNumber(request.ttlMs, 'ttl_ms', maxDurationMs),
    flags: 0,
    condition: toCondition(request.condition),
  };
}

function toCondition(condition: SetRequest['condition'] | DeleteRequest['condition']): Condition | undefined {
  switch (condition.case) {
    case undefined:
      return undefined;
    case 'ifAbsent':
    case 'ifPresent':
      if (!condition.value)
        throw new DcacheError(
          'bad-argument',
          `${condition.case === 'ifAbsent' ? 'if_absent' : 'if_present'} is false; leave it out`,
        );
      return { type: ConditionType[condition.case === 'ifAbsent' ? 'absent' : 'present'], revision: 0 };
    case 'ifRevision':
      return { type: ConditionType.revision, revision: toNumber(condition.value, 'if_revision') };
  }
}

function sessionStamp(stamp: SessionStampMessage | undefined): SessionStamp | undefined {
  if (!stamp) return undefined;
  const session = toNumber(stamp.session, 'session');
  const sequence = toNumber(stamp.sequence, 'sequence');
  const lowestUnanswered = toNumber(stamp.lowestUnanswered, 'lowest_unanswered');
  if (session === 0 || sequence === 0 || lowestUnanswered > sequence)
    throw new DcacheError(
      'bad-argument',
      `the session stamp is ${session}, ${sequence}, ${lowestUnanswered}; session and sequence are at least 1, and lowest_unanswered is at most the sequence`,
    );
  return { session, sequence, lowestUnanswered };
}

function checkCount(count: number, name: string): void {
  if (count === 0 || count > maxManyKeys)
    throw new DcacheError('bad-argument', `${count} ${name}; a call takes 1 to ${maxManyKeys}`);
}

function toNumber(value: bigint, name: string, most: number = Number.MAX_SAFE_INTEGER): number {
  if (value > BigInt(most)) throw new DcacheError('bad-argument', `${name} is ${value}; it takes 0 to ${most}`);
  return Number(value);
}
