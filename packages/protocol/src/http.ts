import { tryFromUtf8, utf8 } from '@dcache/base';
import {
  type Command,
  CommandType,
  type Condition,
  type Found,
  type ReadLevel,
  type Reply,
  ReplyType,
} from './command.js';
import { contentTypeOf, typedValue } from './content-type.js';
import { parseDuration } from './duration.js';
import { DcacheError } from './errors.js';
import { formatEtag, parseReadConditions, parseWriteCondition, type ReadConditions } from './http-condition.js';
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
      readonly conditions: ReadConditions;
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
  if (isInternalPath(path)) {
    // With another method what is wrong is the method.
    if (cut !== -1 && (method === 'GET' || method === 'HEAD')) checkNoParameters(path, target.slice(cut));
    return { kind: 'internal', path };
  }
  if (!path.startsWith('/'))
    throw new DcacheError('bad-argument', `the request target ${JSON.stringify(target.slice(0, 80))} is not a path`);
  const query = cut === -1 ? noParameters : parseQuery(method, target.slice(cut));
  const key = decodeKey(path.slice(1));
  checkKey(key, limits);
  switch (method) {
    case 'GET':
    case 'HEAD':
      return {
        kind: 'read',
        key,
        level: parseLevel(query.consistency),
        isHead: method === 'HEAD',
        conditions: parseReadConditions(headers['if-match'], headers['if-none-match']),
      };
    case 'POST':
    case 'PUT':
      return {
        kind: 'write',
        key,
        ttlMs: parseTtl(query.ttl),
        contentType: textOf(headers['content-type']),
        condition: parseWriteCondition(headers['if-match'], headers['if-none-match']),
        idempotencyKey: parseIdempotencyKey(headers['idempotency-key']),
      };
    case 'DELETE':
      return {
        kind: 'delete',
        key,
        condition: parseWriteCondition(headers['if-match'], headers['if-none-match']),
        idempotencyKey: parseIdempotencyKey(headers['idempotency-key']),
      };
    default:
      throw new DcacheError('method-not-allowed', `${method} is not supported; use ${allowedMethods}`);
  }
}

/** Whether a target, as it stands in the request line, is one of the server's own pages. */
export function isInternalPath(target: string): boolean {
  return target.startsWith('/-') && (target.length === 2 || target[2] === '/' || target[2] === '?');
}

/** For the `Allow` header of a key. */
export const allowedMethods = 'GET, HEAD, POST, PUT, DELETE';

/** The command of a `write` request and its body. */
export function httpWriteCommand(request: HttpRequest & { kind: 'write' }, value: Uint8Array): Command {
  const { key, ttlMs, condition } = request;
  const typed = typedValue(request.contentType, value);
  return {
    type: CommandType.set,
    key,
    value: typed.value,
    ttlMs,
    flags: typed.flags,
    condition,
    session: undefined,
    idempotency: undefined,
  };
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
        'the cache is full and its eviction policy is none; delete keys, or found the cluster anew with a larger --max-bytes',
      );
    case ReplyType.tooLarge:
      throw new DcacheError(
        'too-large',
        'the entry does not fit into the cache at all: it takes more than the --max-bytes with which the cluster was founded',
      );
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

interface Parameters {
  readonly consistency?: string;
  readonly ttl?: string;
}

const noParameters: Parameters = {};

/** What each method takes behind the `?`. */
const parameters: Readonly<Record<string, readonly (keyof Parameters)[]>> = {
  GET: ['consistency'],
  HEAD: ['consistency'],
  POST: ['ttl'],
  PUT: ['ttl'],
  DELETE: [],
};

/** `query` begins with its `?`. A parameter that is not known here would be a wish that is not granted: `?tll=5s` would store for ever. */
function parseQuery(method: string, query: string): Parameters {
  const taken = Object.hasOwn(parameters, method) ? parameters[method]! : undefined;
  // What is wrong then is the method.
  if (taken === undefined) return noParameters;
  const found: { -readonly [Name in keyof Parameters]: Parameters[Name] } = {};
  for (const [name, value] of new URLSearchParams(query)) {
    const known = taken.find((one) => one === name);
    if (known === undefined)
      throw new DcacheError(
        'bad-argument',
        `${method} takes no parameter ${JSON.stringify(name.slice(0, 40))}; it takes ${taken.length === 0 ? 'none' : taken.join(', ')} (a ? of the key is written %3F)`,
      );
    if (found[known] !== undefined) throw new DcacheError('bad-argument', `the parameter ${known} is given twice`);
    found[known] = value;
  }
  return found;
}

/** The server's own pages take none. */
function checkNoParameters(path: string, query: string): void {
  for (const name of new URLSearchParams(query).keys())
    throw new DcacheError(
      'bad-argument',
      `${path.slice(0, 40)} takes no parameter ${JSON.stringify(name.slice(0, 40))}; it takes none`,
    );
}

function parseLevel(text: string | undefined): ReadLevel | undefined {
  return text === undefined ? undefined : parseReadLevel(text, 'consistency');
}

function parseTtl(text: string | undefined): number {
  if (text === undefined) return 0;
  const ttlMs = parseDuration(text, 'ttl');
  if (ttlMs === 0) throw new DcacheError('bad-argument', 'ttl is 0; leave it out for no limit, or DELETE the key');
  return ttlMs;
}
