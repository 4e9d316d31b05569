import { ArgumentError, assert, type Known, show } from '@dcache/base';
import {
  adminService,
  fromGrpcSnapshotChunk,
  fromGrpcStatus,
  type GrpcMethod,
  type NodeStatus,
  type ReadLevel,
  type RestoreResult,
  type SavedMoment,
  v1LeaveRequest,
  v1SnapshotRestoreRequest,
  v1SnapshotSaveRequest,
  v1StatusRequest,
  v1TransferLeadershipRequest,
} from '@dcache/protocol';
import { checkAddress } from './address.js';
import { callOptions, checkBoolean, checkBytes, checkCall, checkText } from './argument.js';
import type { Caller, CallLimit, CallOptions } from './caller.js';
import { ClientError } from './errors.js';
import { AttemptError } from './link.js';
import { again } from './session.js';

export interface SaveOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Default `linearizable`: every write that was acknowledged before is in it, and a majority must live. `local`: what
   * the one server that is asked has applied, without a majority; the last acknowledged writes may be missing.
   */
  readonly level?: ReadLevel | undefined;
  /** The server that saves, `host:port`. Default any. */
  readonly address?: string | undefined;
  /** Called once, before the first bytes, with how much there is, and of what. */
  readonly onMoment?: (moment: SavedMoment) => void;
}

export interface RestoreOptions {
  readonly signal?: AbortSignal | undefined;
  /** Delete every entry first; without it a cluster that holds entries refuses. Default false. */
  readonly replace?: boolean | undefined;
  /** Milliseconds for all of it. Default an hour. */
  readonly timeoutMs?: number | undefined;
}

const knownOfSave: Known<SaveOptions> = { signal: true, level: true, address: true, onMoment: true };
const knownOfRestore: Known<RestoreOptions> = { ...callOptions, replace: true };

/** Bytes of one message to the server. */
const pieceBytes = 256 * 1024;

/** What an operator asks of a cluster. Rejects with `ClientError`s, like the client. */
export class Admin {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** A server's own view: of the one at `address`, or of any. */
  async status(address?: string, options: CallOptions = {}): Promise<NodeStatus & { readonly version: string }> {
    checkCall('admin.status', options);
    if (address !== undefined) checkAddress(address);
    const request = v1StatusRequest();
    if (address !== undefined)
      return fromGrpcStatus(
        await this.#direct(address, adminService.status, request, 'read', this.#caller.limit(options, false)),
      );
    const limit = this.#caller.limit(options, false);
    const response = await this.#caller.call(adminService.status, request, 'any', 'read', limit);
    assert(response !== again, 'a read carries no session');
    return fromGrpcStatus(response);
  }

  /** Hands leadership to the voter called `to`, or to the one that the leader chooses; gives who leads now. */
  async transferLeadership(to?: string, options: CallOptions = {}): Promise<string> {
    checkCall('admin.transferLeadership', options);
    if (to !== undefined) checkText('to', to, 'the name of a voter');
    const request = v1TransferLeadershipRequest(to);
    const response = await this.#caller.call(
      adminService.transferLeadership,
      request,
      'leader',
      'once',
      this.#caller.limit(options, true),
    );
    assert(response !== again, 'this call carries no session');
    void this.#caller.refresh();
    return response.leader;
  }

  /**
   * Makes the member called `name` leave: it goes in order if it can be reached, and is removed by the leader if it is
   * dead. Rejects with `not-found` where no member has that name.
   */
  async leave(name: string, options: CallOptions = {}): Promise<void> {
    checkCall('admin.leave', options);
    checkText('name', name, 'the name of a member');
    const limit = this.#caller.limit(options, true);
    const member = (await this.#caller.servers(options)).find((server) => server.id === name);
    if (!member) throw new ClientError('not-found', `no member is called ${name}`);
    const request = v1LeaveRequest(name);
    try {
      await this.#direct(member.rpcAddr, adminService.leave, request, 'once', limit);
      return;
    } catch (error) {
      // Only where it cannot be reached at all; a node that heard the request and then broke off is on its way.
      if (!(error instanceof ClientError && error.code === 'unavailable')) throw error;
    }
    await this.#caller.call(adminService.leave, request, 'leader', 'once', limit);
  }

  /** The file of all entries as of one moment, as it comes from a server; it must be read to its end. */
  async *saveSnapshot(options: SaveOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    checkCall('admin.saveSnapshot', options, knownOfSave);
    const { level, address, signal } = options;
    if (address !== undefined) checkAddress(address);
    if (options.onMoment !== undefined && typeof options.onMoment !== 'function')
      throw new ArgumentError(`onMoment is ${show(options.onMoment)}; it takes a function`);
    // The stream has no time of its own: it begins at a server that answered just now.
    if (address !== undefined) await this.status(address, { signal });
    const link = address === undefined ? await this.#caller.reach({ signal }) : this.#caller.linkTo(address);
    let onMoment = options.onMoment;
    try {
      for await (const chunk of link.download(adminService.snapshotSave, v1SnapshotSaveRequest(level), signal)) {
        onMoment?.(fromGrpcSnapshotChunk(chunk));
        onMoment = undefined;
        yield chunk.data;
      }
    } catch (error) {
      throw error instanceof AttemptError ? error.failure.error : error;
    }
  }

  /** Puts a saved file's entries into the cluster; nothing is written before the server has read it whole. */
  async restoreSnapshot(file: AsyncIterable<Uint8Array>, options: RestoreOptions = {}): Promise<RestoreResult> {
    checkCall('admin.restoreSnapshot', options, knownOfRestore);
    checkBoolean('replace', options.replace);
    if (typeof (Object(file) as Partial<typeof file>)[Symbol.asyncIterator] !== 'function')
      throw new ArgumentError(`file is ${show(file)}; it takes a stream of bytes, such as createReadStream gives`);
    const { replace = false, timeoutMs = 3_600_000, signal } = options;
    const limit = this.#caller.limit({ timeoutMs, signal }, true);
    const link = await this.#caller.reach({ signal });
    let isWhole = false;
    const requests = async function* (): ReturnType<typeof inPieces> {
      yield* inPieces(file, replace);
      isWhole = true;
    };
    try {
      const response = await link.upload(adminService.snapshotRestore, requests(), limit);
      return {
        restored: Number(response.restored),
        expired: Number(response.expired),
        skipped: Number(response.skipped),
      };
    } catch (error) {
      if (!(error instanceof AttemptError)) throw error;
      const { kind, error: cause } = error.failure;
      if (kind !== 'unknown') throw cause;
      // A server writes nothing before it has the end of the file.
      if (!isWhole) throw new ClientError(cause.code, `${cause.message}; nothing was restored`, { cause });
      throw new ClientError('unknown-outcome', `${cause.message}; a part of the snapshot may have been restored`, {
        cause,
      });
    }
  }

  async #direct<Request, Response>(
    address: string,
    method: GrpcMethod<Request, Response>,
    request: Request,
    repeat: 'read' | 'once',
    limit: CallLimit,
  ): Promise<Response> {
    try {
      return await this.#caller.linkTo(address).call(method, request, limit);
    } catch (error) {
      if (!(error instanceof AttemptError)) throw error;
      const { kind, error: cause } = error.failure;
      throw kind === 'unknown' && repeat === 'once'
        ? new ClientError('unknown-outcome', cause.message, { cause })
        : cause;
    }
  }
}

/** The file in messages of bounded size; the first says whether to replace, even for an empty file. */
async function* inPieces(
  file: AsyncIterable<Uint8Array>,
  replace: boolean,
): AsyncGenerator<ReturnType<typeof v1SnapshotRestoreRequest>> {
  yield v1SnapshotRestoreRequest(new Uint8Array(), replace);
  for await (const chunk of file) {
    // A stream with an encoding gives text, from which the bytes cannot be had again.
    checkBytes('a piece of file', chunk);
    for (let at = 0; at < chunk.length; at += pieceBytes)
      yield v1SnapshotRestoreRequest(chunk.subarray(at, at + pieceBytes), replace);
  }
}
