/**
 * `Command` and `Reply`, and how each protocol maps to them. No sockets here: a server brings its own, and so does a
 * client.
 *
 * ```ts
 * import { defaultLimits, parseHttpRequest } from '@dcache/protocol';
 *
 * const request = parseHttpRequest('POST', '/hello?ttl=5s', {}, defaultLimits);
 * console.log(request.kind); // write
 * ```
 *
 * Read next: `command.ts` (the narrow waist), `log-entry.ts` and `command-codec.ts` (their bytes), `errors.ts` (the one
 * error table), then `http.ts`, `grpc.ts` (the original's service) and `grpc-cache.ts` (the richer one).
 */
export {
  type ClearCommand,
  type CloseSessionCommand,
  type Command,
  type CommandHandler,
  CommandType,
  type Condition,
  ConditionType,
  type ConfigureCommand,
  type DeleteCommand,
  type EntryWrite,
  type Found,
  type IdempotencyStamp,
  idempotencyBytes,
  type LoadCommand,
  type OpenSessionCommand,
  ReadLevel,
  type ReadOptions,
  type Reply,
  ReplyType,
  type RequestOptions,
  type ServerInfo,
  type SessionStamp,
  type SetCommand,
  type SetManyCommand,
  type StampedCommand,
  type TouchCommand,
  takesSession,
  withSession,
} from './command.js';
export { readCommand, readReply, writeCommand, writeReply } from './command-codec.js';
export { hasTypePrefix, maxTypePrefixBytes, splitTyped, typedValue } from './content-type.js';
export { maxDurationMs, parseDuration } from './duration.js';
export { DcacheError, type ErrorCode, errorTable, toDcacheError } from './errors.js';
export {
  cacheService,
  consistencyMetadata,
  errorMetadata,
  grpcDeleteCommand,
  grpcDeleteRequest,
  grpcEmpty,
  grpcGetRequest,
  grpcGetResponse,
  grpcKey,
  grpcServers,
  grpcSetCommand,
  grpcSetRequest,
} from './grpc.js';
export {
  adminService,
  fromGrpcSnapshotChunk,
  fromGrpcStatus,
  grpcLeft,
  grpcRestored,
  grpcSaveLevel,
  grpcSnapshotChunk,
  grpcStatus,
  grpcTransferred,
  type NodeStatus,
  type RestoreResult,
  type SavedMoment,
} from './grpc-admin.js';
export {
  cacheServiceV1,
  maxManyBytes,
  maxManyKeys,
  v1CloseSessionCommand,
  v1CloseSessionResponse,
  v1DeleteCommand,
  v1DeleteResponse,
  v1GetManyResponse,
  v1GetResponse,
  v1Keys,
  v1OpenSessionCommand,
  v1OpenSessionResponse,
  v1ReadLevel,
  v1SetCommand,
  v1SetManyCommand,
  v1SetManyResponse,
  v1SetResponse,
} from './grpc-cache.js';
export { type GrpcMethod, type GrpcMethods, keepByteOrderMarks } from './grpc-method.js';
export { grpcFileDescriptors } from './grpc-reflection.js';
export {
  type EntryView,
  fromV1GetResponse,
  v1CloseSessionRequest,
  v1DeleteRequest,
  v1GetManyRequest,
  v1GetRequest,
  v1LeaveRequest,
  v1OpenSessionRequest,
  v1SetManyRequest,
  v1SetRequest,
  v1SnapshotRestoreRequest,
  v1SnapshotSaveRequest,
  v1StatusRequest,
  v1TransferLeadershipRequest,
  type WriteInit,
} from './grpc-requests.js';
export {
  allowedMethods,
  checkReply,
  type HttpHeaders,
  type HttpRequest,
  httpFoundHeaders,
  httpWriteCommand,
  isInternalPath,
  parseHttpRequest,
} from './http.js';
export { type EtagList, formatEtag, judgeRead, type ReadConditions } from './http-condition.js';
export { maxIdempotencyKeyBytes, parseIdempotencyKey } from './idempotency-key.js';
export { checkKey, checkValueBytes, defaultLimits, type Limits } from './limits.js';
export {
  decodeLogEntry,
  encodeLogEntry,
  type LogEntry,
  LogEntryType,
  logEntryFormat,
  maxBatchBytes,
} from './log-entry.js';
export { parseReadLevel } from './read-level.js';
