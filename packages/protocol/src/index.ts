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
 * error table), then `http.ts` and `grpc.ts`.
 */
export {
  type CloseSessionCommand,
  type Command,
  type CommandHandler,
  CommandType,
  type Condition,
  ConditionType,
  type ConfigureCommand,
  type DeleteCommand,
  type Found,
  type OpenSessionCommand,
  ReadLevel,
  type ReadOptions,
  type Reply,
  ReplyType,
  type RequestOptions,
  type ServerInfo,
  type SessionStamp,
  type SetCommand,
  type TouchCommand,
} from './command.js';
export { readCommand, readReply, writeCommand, writeReply } from './command-codec.js';
export { maxDurationMs, parseDuration } from './duration.js';
export { DcacheError, type ErrorCode, errorTable, toDcacheError } from './errors.js';
export {
  cacheService,
  grpcEmpty,
  grpcGetKey,
  grpcGetRequest,
  grpcGetResponse,
  grpcServers,
  grpcSetCommand,
  grpcSetRequest,
  type UnaryMethod,
} from './grpc.js';
export {
  allowedMethods,
  checkReply,
  formatEtag,
  type HttpHeaders,
  type HttpRequest,
  httpFoundHeaders,
  httpWriteCommand,
  parseHttpRequest,
} from './http.js';
export { checkKey, checkValueBytes, defaultLimits, type Limits } from './limits.js';
export {
  decodeLogEntry,
  encodeLogEntry,
  type LogEntry,
  LogEntryType,
  logEntryFormat,
  maxBatchBytes,
} from './log-entry.js';
