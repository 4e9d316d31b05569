import { fdatasyncSync, writeSync } from 'node:fs';
import { parentPort, Worker, workerData } from 'node:worker_threads';

/**
 * A thread of its own for the writes that answers wait for. Node's own pool has four threads, shared with name look-ups,
 * key derivations, compression and every other file; while those are busy, a sync would wait for seconds behind them,
 * and so would every vote and every acknowledgement.
 *
 * This file is both ends: imported, it is `writeDurably`; started as a worker, it does the writing.
 */
interface Job {
  readonly id: number;
  readonly fd: number;
  readonly bytes: Uint8Array;
  readonly position: number;
}

interface Done {
  readonly id: number;
  /** What failed, if anything did. */
  readonly failure?: { readonly step: 'write' | 'sync'; readonly code: string; readonly message: string };
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** What a thread is started with that is this worker; this file may also be imported in another's worker. */
const role = 'raft write worker';

let worker: Worker | undefined;
let nextId = 1;
const waiting = new Map<number, Waiting>();

/**
 * Writes all of `bytes` at `position` and syncs the file. The buffer behind `bytes` is handed over: it is empty
 * afterwards. Rejects with the system's code where the write failed, and with `EIO` where the sync did, whatever its own
 * code was: after that nobody knows what is on the disk.
 */
export function writeDurably(fd: number, bytes: Uint8Array<ArrayBuffer>, position: number): Promise<void> {
  worker ??= startWorker();
  // While something is being written the process stays.
  if (waiting.size === 0) worker.ref();
  const id = nextId++;
  const done = new Promise<void>((resolve, reject) => waiting.set(id, { resolve, reject }));
  const job: Job = { id, fd, bytes, position };
  worker.postMessage(job, [bytes.buffer]);
  return done;
}

function startWorker(): Worker {
  const started = new Worker(new URL(import.meta.url), { name: 'raft-log', workerData: role });
  started.unref();
  started.on('message', ({ id, failure }: Done) => {
    const { resolve, reject } = waiting.get(id)!;
    waiting.delete(id);
    if (waiting.size === 0) started.unref();
    if (failure === undefined) resolve();
    else reject(systemError(failure.step === 'sync' ? 'EIO' : failure.code, `${failure.step}: ${failure.message}`));
  });
  const end = (cause: unknown): void => {
    worker = undefined;
    for (const { reject } of waiting.values())
      reject(systemError('EIO', `the thread that writes has ended: ${String(cause)}`));
    waiting.clear();
  };
  started.on('error', end);
  started.on('exit', (code) => end(`exit code ${code}`));
  return started;
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

function work({ id, fd, bytes, position }: Job): Done {
  let step: 'write' | 'sync' = 'write';
  try {
    // A write may take less than it is given, as any POSIX write: go on until all is taken.
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
    step = 'sync';
    fdatasyncSync(fd);
    return { id };
  } catch (error) {
    const { code = 'EIO', message } = error as NodeJS.ErrnoException;
    return { id, failure: { step, code, message } };
  }
}

if (workerData === role && parentPort !== null) {
  const port = parentPort;
  port.on('message', (job: Job) => port.postMessage(work(job)));
}
