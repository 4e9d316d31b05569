import type { Clock, Logger } from '@dcache/base';
import {
  type adminService,
  consistencyMetadata,
  DcacheError,
  grpcLeft,
  grpcRestored,
  grpcSaveLevel,
  grpcSnapshotChunk,
  grpcStatus,
  grpcTransferred,
  type NodeStatus,
  type ReadLevel,
  type RestoreResult,
  type SavedMoment,
} from '@dcache/protocol';
import type {
  handleClientStreamingCall,
  handleServerStreamingCall,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { version } from '../version.js';
import { toServiceError, unary } from './grpc-answer.js';

/** What an operator may ask of a node. Errors are `DcacheError`s. */
export interface AdminHandler {
  status(): NodeStatus;
  isReady(): boolean;
  /** Hands leadership to the voter of that name, or to the best one; resolves with the new leader's name. */
  transferLeadership(to: string | undefined): Promise<string>;
  /**
   * This node leaves and stops (`id` is its own name), or, on the leader, a dead member is removed. Resolves with what
   * remains to be done once the caller has its answer.
   */
  leave(id: string | undefined): Promise<(() => void) | undefined>;
  /** At `local` without a majority: what this node has applied, whatever that is. */
  saveSnapshot(level: ReadLevel): Promise<SavedSnapshot>;
  restoreSnapshot(): RestoreIntake;
}

/** A snapshot that is being saved. */
export interface SavedSnapshot {
  readonly moment: SavedMoment;
  readonly chunks: Iterable<Uint8Array>;
  /** Lets go of what it holds; needed in every case. */
  close(): void;
}

/** A snapshot that is being taken in. */
export interface RestoreIntake {
  /** Throws for bytes that no snapshot holds. */
  write(chunk: Uint8Array): void;
  /** Writes it into the cluster. */
  finish(replace: boolean): Promise<RestoreResult>;
  /** Forgets it; needed in every case. */
  close(): void;
}

type Admin = typeof adminService;
type Request<Method> = Method extends { requestSerialize: (message: infer Message) => Buffer } ? Message : never;
type Response<Method> = Method extends { responseSerialize: (message: infer Message) => Buffer } ? Message : never;
type Save = handleServerStreamingCall<Request<Admin['snapshotSave']>, Response<Admin['snapshotSave']>>;
type Restore = handleClientStreamingCall<Request<Admin['snapshotRestore']>, Response<Admin['snapshotRestore']>>;

/** A client that takes or sends nothing for this long is given up, in milliseconds: what it holds is large. */
const stallMs = 30_000;

/** Service `dcache.v1.Admin`. */
export function adminCalls(admin: AdminHandler, clock: Clock, logger: Logger): UntypedServiceImplementation {
  return {
    status: unary(async () => grpcStatus(admin.status(), version), logger),
    transferLeadership: unary(
      async (request: Request<Admin['transferLeadership']>) =>
        grpcTransferred(await admin.transferLeadership(request.to || undefined)),
      logger,
    ),
    leave: unary(async (request: Request<Admin['leave']>) => {
      const then = await admin.leave(request.id || undefined);
      if (then) setImmediate(then);
      return grpcLeft();
    }, logger),
    snapshotSave: ((call) => {
      save(call, admin, clock).then(
        () => call.end(),
        (thrown) => call.emit('error', toServiceError(thrown, logger)),
      );
    }) satisfies Save,
    snapshotRestore: ((call, callback) => {
      restore(call, admin, clock).then(
        (result) => callback(null, grpcRestored(result)),
        (thrown) => (callback as sendUnaryData<unknown>)(toServiceError(thrown, logger)),
      );
    }) satisfies Restore,
  };
}

async function save(call: Parameters<Save>[0], admin: AdminHandler, clock: Clock): Promise<void> {
  const metadata = call.metadata.get(consistencyMetadata)[0]?.toString();
  const snapshot = await admin.saveSnapshot(grpcSaveLevel(call.request, metadata));
  try {
    let moment: SavedMoment | undefined = snapshot.moment;
    for (const chunk of snapshot.chunks) {
      if (call.cancelled) return;
      const hasRoom = call.write(grpcSnapshotChunk(chunk, moment));
      moment = undefined;
      if (!hasRoom) await drained(call, clock);
      // Others get their turn between two chunks, however fast the client takes them.
      else await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    snapshot.close();
  }
}

/** Resolves once the client has taken what was written; rejects when it went away or stands still. */
function drained(call: Parameters<Save>[0], clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void): void => {
      cancelTimer();
      call.off('drain', onDrain);
      call.off('cancelled', onCancelled);
      settle();
    };
    const onDrain = (): void => done(resolve);
    const onCancelled = (): void => done(() => reject(gone()));
    const cancelTimer = clock.after(stallMs, () =>
      done(() => reject(new DcacheError('busy', `the client took nothing for ${stallMs} ms; the save was given up`))),
    );
    call.on('drain', onDrain);
    call.on('cancelled', onCancelled);
  });
}

async function restore(call: Parameters<Restore>[0], admin: AdminHandler, clock: Clock): Promise<RestoreResult> {
  const intake = admin.restoreSnapshot();
  try {
    let replace: boolean | undefined;
    const messages = call[Symbol.asyncIterator]() as AsyncIterator<Request<Admin['snapshotRestore']>>;
    for (;;) {
      const next = await inTime(messages.next(), clock);
      if (next.done) break;
      replace ??= next.value.replace;
      intake.write(next.value.data);
    }
    if (call.cancelled) throw gone();
    return await intake.finish(replace ?? false);
  } finally {
    intake.close();
  }
}

function inTime<Value>(promise: Promise<Value>, clock: Clock): Promise<Value> {
  return new Promise((resolve, reject) => {
    const cancelTimer = clock.after(stallMs, () =>
      reject(new DcacheError('busy', `the client sent nothing for ${stallMs} ms; nothing was restored`)),
    );
    promise.then(resolve, reject).finally(cancelTimer);
  });
}

function gone(): DcacheError {
  return new DcacheError('stopping', 'the client went away');
}
