import { ArgumentError, assert, type Known } from '@dcache/base';
import {
  type Condition,
  ConditionType,
  cacheServiceV1,
  type EntryView,
  fromV1GetResponse,
  type GrpcMethod,
  maxDurationMs,
  type ReadLevel,
  type ServerInfo,
  type SessionStamp,
  v1CloseSessionRequest,
  v1DeleteRequest,
  v1GetManyRequest,
  v1GetRequest,
  v1OpenSessionRequest,
  v1SetManyRequest,
  v1SetRequest,
  type WriteInit,
} from '@dcache/protocol';
import { Admin } from './admin.js';
import {
  type Bytes,
  callOptions,
  checkArray,
  checkBoolean,
  checkCall,
  checkInteger,
  checkKnown,
  readOptions,
  toBytes,
} from './argument.js';
import { Caller, type CallOptions } from './caller.js';
import { type ClientOptions, type ResolvedOptions, resolveOptions } from './options.js';
import { again, Session } from './session.js';

export type { Bytes } from './argument.js';

export interface ReadOptions extends CallOptions {
  /** How fresh the answer must be. Default the client's `level`. */
  readonly level?: ReadLevel | undefined;
}

/** What must hold when a write is applied, else it is refused with `precondition-failed`. At most one of them. */
export interface ConditionOptions {
  /** Only where the key is missing. */
  readonly ifAbsent?: boolean | undefined;
  /** Only where the key exists. */
  readonly ifPresent?: boolean | undefined;
  /** Only where the key has this revision. */
  readonly ifRevision?: number | undefined;
}

export interface EntryOptions extends ConditionOptions {
  /** Milliseconds to live. Default no limit. */
  readonly ttlMs?: number | undefined;
}

export interface SetOptions extends CallOptions, EntryOptions {}

export interface DeleteOptions extends CallOptions, Omit<ConditionOptions, 'ifAbsent'> {}

/** One of the writes of `setMany`. */
export interface SetManyEntry extends EntryOptions {
  readonly key: Bytes;
  readonly value: Bytes;
}

const conditionOptions = { ifPresent: true, ifRevision: true } as const;
const knownOfRead: Known<ReadOptions> = readOptions;
const knownOfDelete: Known<DeleteOptions> = { ...conditionOptions, ...callOptions };
const knownOfSet: Known<SetOptions> = { ttlMs: true, ifAbsent: true, ...conditionOptions, ...callOptions };
const knownOfEntry: Known<SetManyEntry> = { key: true, value: true, ttlMs: true, ifAbsent: true, ...conditionOptions };

/** How long `close` waits for the cluster to forget this client's session. */
const closeMs = 1_000;

/**
 * A client of a whole cluster. It learns the servers from any one, sends writes to the leader, spreads reads, and goes on
 * with the others when one fails. A write is applied once, however often it has to be sent; where even that cannot be
 * told in time, the error is `unknown-outcome`.
 *
 * With `level: 'local'` two reads may be answered by different servers, and the second be older than the first.
 */
export class Client {
  readonly #options: ResolvedOptions;
  readonly #caller: Caller;
  readonly #session: Session;
  /** When the last opening of a session ends, whatever comes of it. */
  #openingUntilMs = 0;
  /** What an operator asks. */
  readonly admin: Admin;

  /** Throws an `ArgumentError` that names an option that is wrong. Connects with the first call. */
  constructor(options: ClientOptions) {
    this.#options = resolveOptions(options);
    this.#caller = new Caller(this.#options);
    this.#session = new Session(() => this.#openSession(), this.#options.maxPendingWrites);
    this.admin = new Admin(this.#caller);
  }

  /**
   * The value of a key; undefined is a miss. Rejects with a `ClientError`, and like every call with an `ArgumentError`,
   * before anything is sent, for an argument or an option that is wrong.
   */
  async get(key: Bytes, options: ReadOptions = {}): Promise<Uint8Array | undefined> {
    return (await this.#getEntry('get', key, options))?.value;
  }

  /** The value of a key with its revision and the time it has left; undefined is a miss. */
  async getEntry(key: Bytes, options: ReadOptions = {}): Promise<EntryView | undefined> {
    return this.#getEntry('getEntry', key, options);
  }

  /** Several keys as of one moment, in their order; undefined is a miss. At most 1,024. */
  async getMany(keys: readonly Bytes[], options: ReadOptions = {}): Promise<(EntryView | undefined)[]> {
    checkCall('getMany', options, knownOfRead);
    checkArray('keys', keys, 'keys');
    const level = options.level ?? this.#options.level;
    // Not `map`, which passes over holes.
    const bytes = Array.from(keys, (key, at) => toBytes(`keys[${at}]`, key));
    const request = v1GetManyRequest(bytes, level);
    return (await this.#read(cacheServiceV1.getMany, request, level, options)).results.map(fromV1GetResponse);
  }

  /** Writes one key and gives its new revision. */
  async set(key: Bytes, value: Bytes, options: SetOptions = {}): Promise<number> {
    checkCall('set', options, knownOfSet);
    const init = toInit({ ...options, key, value });
    const response = await this.#write(cacheServiceV1.set, (stamp) => v1SetRequest(init, stamp), options);
    return Number(response.revision);
  }

  /** Writes several different keys, all or none, and gives their new revisions in order. At most 1,024. */
  async setMany(entries: readonly SetManyEntry[], options: CallOptions = {}): Promise<number[]> {
    checkCall('setMany', options);
    checkArray('entries', entries, '{ key, value }');
    const inits = Array.from(entries, (entry, at) => {
      const name = `entries[${at}]`;
      checkKnown(name, entry, knownOfEntry);
      return toInit(entry, `${name}.`);
    });
    const response = await this.#write(cacheServiceV1.setMany, (stamp) => v1SetManyRequest(inits, stamp), options);
    return response.revisions.map(Number);
  }

  /** Deletes one key; whether it was there. */
  async delete(key: Bytes, options: DeleteOptions = {}): Promise<boolean> {
    checkCall('delete', options, knownOfDelete);
    const bytes = toBytes('key', key);
    const condition = toCondition(options);
    const response = await this.#write(
      cacheServiceV1.delete,
      (stamp) => v1DeleteRequest(bytes, condition, stamp),
      options,
    );
    return response.deleted;
  }

  /** Every server of the cluster, as the one asked knows them. */
  async servers(options: CallOptions = {}): Promise<ServerInfo[]> {
    checkCall('servers', options);
    return this.#caller.servers(options);
  }

  /**
   * Ends the session, then every connection; calls that are under way fail with `closed`, writes among them with
   * `unknown-outcome`. Takes a second at most. The process may end without it.
   */
  async close(): Promise<void> {
    if (this.#caller.isClosed) return;
    const { id } = this.#session;
    if (id !== 0) {
      const request = v1CloseSessionRequest(id);
      // Where it cannot be told, the cluster forgets the session after its time.
      const limit = this.#caller.limit({ timeoutMs: closeMs }, true);
      await this.#caller.call(cacheServiceV1.closeSession, request, 'leader', 'read', limit).catch(() => {});
    }
    this.#caller.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #getEntry(of: string, key: Bytes, options: ReadOptions): Promise<EntryView | undefined> {
    checkCall(of, options, knownOfRead);
    const level = options.level ?? this.#options.level;
    const request = v1GetRequest(toBytes('key', key), level);
    return fromV1GetResponse(await this.#read(cacheServiceV1.get, request, level, options));
  }

  async #read<Request, Response>(
    method: GrpcMethod<Request, Response>,
    request: Request,
    level: ReadLevel | undefined,
    options: CallOptions,
  ): Promise<Response> {
    // The leader holds the lease; on another server it costs a round.
    const target = level === 'lease' ? 'leader' : 'any';
    const limit = this.#caller.limit(options, level !== 'local');
    return (await this.#caller.call(method, request, target, 'read', limit)) as Response;
  }

  async #write<Request, Response>(
    method: GrpcMethod<Request, Response>,
    request: (stamp: SessionStamp) => Request,
    options: CallOptions,
  ): Promise<Response> {
    const limit = this.#caller.limit(options, true);
    return await this.#session.run(
      (stamp) => this.#caller.call(method, request(stamp), 'leader', 'stamped', limit),
      (opening) => this.#caller.inTime(opening, limit, this.#openingUntilMs),
    );
  }

  async #openSession(): Promise<number> {
    const request = v1OpenSessionRequest(this.#options.sessionTtlMs);
    // A second session, opened because an answer was lost, is forgotten after its time.
    const limit = this.#caller.limit({}, true);
    this.#openingUntilMs = limit.deadlineMs;
    const response = await this.#caller.call(cacheServiceV1.openSession, request, 'leader', 'read', limit);
    assert(response !== again, 'opening a session needs none');
    return Number(response.session);
  }
}

/** `of` is what the names of its members begin with in a message. */
function toInit(entry: SetManyEntry, of = ''): WriteInit {
  const { ttlMs } = entry;
  checkInteger(`${of}ttlMs`, ttlMs, 1, maxDurationMs);
  return {
    key: toBytes(`${of}key`, entry.key),
    value: toBytes(`${of}value`, entry.value),
    ttlMs: ttlMs ?? 0,
    condition: toCondition(entry, of),
  };
}

function toCondition({ ifAbsent, ifPresent, ifRevision }: ConditionOptions, of = ''): Condition | undefined {
  checkBoolean(`${of}ifAbsent`, ifAbsent);
  checkBoolean(`${of}ifPresent`, ifPresent);
  checkInteger(`${of}ifRevision`, ifRevision, 0, Number.MAX_SAFE_INTEGER);
  if (Number(ifAbsent ?? false) + Number(ifPresent ?? false) + Number(ifRevision !== undefined) > 1)
    throw new ArgumentError('a write has several conditions; it takes one of ifAbsent, ifPresent and ifRevision');
  if (ifAbsent) return { type: ConditionType.absent, revision: 0 };
  if (ifPresent) return { type: ConditionType.present, revision: 0 };
  if (ifRevision === undefined) return undefined;
  return { type: ConditionType.revision, revision: ifRevision };
}
