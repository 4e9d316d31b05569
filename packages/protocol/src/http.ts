import { tryFromUtf8, utf8 } from '@dcache/base';
import {
  type Command,
  CommandType,
  type Condition,
  ConditionType,
  type Found,
  type ReadLevel,
  type Reply,
  ReplyType,
} from './command.js';
import { contentTypeOf, typedValue } from './content-type.js';
import { parseDuration } from './duration.js';
import { DcacheError } from './errors.js';
import { parseIdempotencyKey } from './idempotency-key.js';
import { checkKey, type Limits } from './limits.js';
import { parseReadLevel } from './read-level.js';

/*
 * HTTP <-> Command, without sockets.
 *
 * The key is the path without its first slash, percent-decoded to bytes: `/a%20b` is the key `a b`, `//a` is `/a`, and
 * `..` is two dots like any other. Paths that begin with `/-/` as they stand on the wire are the server's own;
 * `/%2D/x` is the key `-/x`.
 */

export type HttpHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What a request asks for; a write still needs its body. */
export type HttpRequest =
  | {
      readonly kind: 'read';
      readonly key: Uint8Array;
      readonly level: ReadLevel | undefined;
      readonly isHead: boolean;
      /** What `If-None-Match` lists; an answer with one of these needs no body. */
      readonly unlessEtag: string | undefined;
    }
  | {
      readonly kind: 'write';
      readonly key: Uint8Array;
      readonly ttlMs: number;
      /** Kept with the value as it is. */
      readonly contentType: string | undefined;
      readonly condition: Condition | undefined;
      readonly idempotencyKey: string | undefined;
    }
  | {
      readonly kind: 'delete';
      readonly key: Uint8Array;
      readonly condition: Condition | undefined;
      readonly idempotencyKey: string | undefined;
    }
  | { readonly kind: 'internal'; readonly path: string };

/** Understands a request line and its headers. Throws `DcacheError`. */
export function parseHttpRequest(method: string, target: string, headers: HttpHeaders, limits: Limits): HttpRequest {
  const cut = target.indexOf('?');
  const path = cut === -1 ? target : target.slice(0, cut);
  if (path.startsWith('/-/') || path === '/-') return { kind: 'internal', path };
  if (!path.startsWith('/'))
    throw new DcacheError('bad-argument', `the request target ${JSON.stringify(target.slice(0, 80))} is not a path`);
  const query = cut === -1 ? undefined : new URLSearchParams(target.slice(cut + 1));
  const key = decodeKey(path.slice(1));
  checkKey(key, limits);
  switch (method) {
    case 'GET':
    case 'HEAD':
      return {
        kind: 'read',
        key,
        level: parseLevel(query?.get('consistency')),
        isHead: method === 'HEAD',
        unlessEtag: textOf(headers['if-none-match']),
      };
    case 'POST':
    case 'PUT':
      return {
        kind: 'write',
        key,
        ttlMs: parseTtl(query?.get('ttl')),
        contentType: textOf(headers['content-type']),
        condition: parseCondition(headers),
        idempotencyKey: parseIdempotencyKey(headers['idempotency-key']),
      };
    case 'DELETE':
      return {
        kind: 'delete',
        key,
        condition: parseCondition(headers),
        idempotencyKey: parseIdempotencyKey(headers['idempotency-key']),
      };
    default:
      throw new DcacheError('method-not-allowed', `${method} is not supported; use ${allowedMethods}`);
  }
}

/** For the `Allow` header. */
export const allowedMethods = 'GET, HEAD, POST, PUT, DELETE';

/** The command of a `write` request and its body. */
export function httpWriteCommand(request: HttpRequest & { kind: 'write' }, value: Uint8Array): Command {
  return {
    type: CommandType.set,
    key: request.key,
    ttlMs: request.ttlMs,
    ...typedValue(request.contentType, value),
    condition: request.condition,
  };
}

/** Whether the client has what was found: an `If-None-Match` names it, weakly compared, or is `*`. (RFC 9110 §13.1.2) */
export function isUnchanged(request: HttpRequest & { kind: 'read' }, found: Found): boolean {
  const { unlessEtag } = request;
  if (unlessEtag === undefined) return false;
  const etag = formatEtag(found.revision);
  return unlessEtag.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag);
}

function textOf(header: string | readonly string[] | undefined): string | undefined {
  return header === undefined || typeof header === 'string' ? header : header.join();
}

/**
 * The headers that tell a value's revision and type. A value with a type of its own may be a page that somebody else
 * wrote: a browser that opens it must not take it for a page of this server, which may read and write every key.
 */
export function httpFoundHeaders(found: Found): Record<string, string | number> {
  const headers = {
    'content-type': found.contentType ?? contentTypeOf(found.flags),
    'content-length': found.value.length,
    etag: formatEtag(found.revision),
  };
  if (found.contentType === undefined && (found.flags & 0xff) === 0) return headers;
  return { ...headers, 'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox' };
}

/** The ETag of a revision: a strong one, RFC 9110 §8.8.3. */
export function formatEtag(revision: number): string {
  return `"${revision}"`;
}

/** Turns what a write gave into success (its revision) or the error that HTTP shows. */
export function checkReply(reply: Reply): number {
  switch (reply.type) {
    case ReplyType.ok:
      return reply.revision;
    case ReplyType.notFound:
      throw new DcacheError('not-found', 'no such key');
    case ReplyType.preconditionFailed:
      throw new DcacheError(
        'precondition-failed',
        reply.revision === 0 ? 'the key does not exist' : `the key's revision is ${reply.revision}`,
      );
    case ReplyType.full:
      throw new DcacheError(
        'full',
        'the cache is full and its eviction policy is none; delete keys or raise --max-bytes',
      );
    case ReplyType.tooLarge:
      throw new DcacheError('too-large', 'the entry does not fit into the cache at all; see --max-bytes');
    case ReplyType.keyReused:
      throw new DcacheError(
        'key-reused',
        'this Idempotency-Key was used for another request before; nothing was done: a new request takes a new key',
      );
    case ReplyType.busy:
      throw new DcacheError(
        'busy',
        'all the Idempotency-Keys that are kept are in use; nothing was done: try again in a moment',
      );
    case ReplyType.sessionExpired:
      throw new DcacheError(
        'unknown-outcome',
        'the session has expired, so whether this write was applied before is not known; read the key before writing again',
      );
    default:
      throw new DcacheError('internal', `unknown reply type ${reply.type as number}`);
  }
}

function decodeKey(path: string): Uint8Array {
  if (!path.includes('%')) return utf8(path);
  const raw = utf8(path);
  const key = new Uint8Array(raw.length);
  let length = 0;
  for (let i = 0; i < raw.length; i++) {
    if (raw[i] !== 0x25) {
      key[length++] = raw[i]!;
      continue;
    }
    const high = hexDigit(raw[i + 1]);
    const low = hexDigit(raw[i + 2]);
    if (high === -1 || low === -1)
      throw new DcacheError(
        'bad-argument',
        `the path has a broken escape ${JSON.stringify(tryFromUtf8(raw.subarray(i, i + 3)) ?? '%')}; a % is written %25`,
      );
    key[length++] = high * 16 + low;
    i += 2;
  }
  return key.subarray(0, length);
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function parseLevel(text: string | null | undefined): ReadLevel | undefined {
  return text === null || text === undefined ? undefined : parseReadLevel(text, 'consistency');
}

function parseTtl(text: string | null | undefined): number {
  if (text === null || text === undefined) return 0;
  const ttlMs = parseDuration(text, 'ttl');
  if (ttlMs === 0) throw new DcacheError('bad-argument', 'ttl is 0; leave it out for no limit, or DELETE the key');
  return ttlMs;
}

/** `If-None-Match: *` and `If-Match: "revision"` or `*`, RFC 9110 §13.1; other forms are refused, never ignored. */
function parseCondition(headers: HttpHeaders): Condition | undefined {
  const noneMatch = headers['if-none-match'];
  const match = headers['if-match'];
  if (noneMatch !== undefined) {
    if (noneMatch !== '*' || match !== undefined)
      throw new DcacheError('bad-argument', 'a write takes either If-None-Match: * or If-Match with one ETag');
    return { type: ConditionType.absent, revision: 0 };
  }
  if (match === undefined) return undefined;
  if (match === '*') return { type: ConditionType.present, revision: 0 };
  const revision = typeof match === 'string' ? /^"(\d{1,16})"$/.exec(match) : null;
  if (!revision || !Number.isSafeInteger(Number(revision[1])))
    throw new DcacheError('bad-argument', 'If-Match takes * or one ETag as this server gave it, such as "42"');
  return { type: ConditionType.revision, revision: Number(revision[1]) };
}
