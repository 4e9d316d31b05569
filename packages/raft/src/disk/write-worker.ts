import { fdatasyncSync, writeSync } from 'node:fs';
import { Worker, workerData } from 'node:worker_threads';

/**
 * A thread of its own for the writes that answers wait for. Node's own pool has four threads, shared with name look-ups,
 * key derivations, compression and every other file; while those are busy, a sync would wait for seconds behind them,
 * and so would every vote and every acknowledgement.
 *
 * The two threads share memory: a message between them takes more processor time than the write. One write at a time:
 * what is to be written is copied to the desk, the other thread is woken, does it, says what came of it, and wakes this
 * one. What is larger than the desk goes in parts, with a sync after the last.
 *
 * This file is both ends: imported, it is `writeDurably`; started as a worker, it does the writing.
 */
interface Desk {
  /** Numbers at the places of `Field`. */
  readonly fields: Int32Array<SharedArrayBuffer>;
  /** The bytes to be written; after a failure the text of what failed. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
}

const Field = {
  /** Number of the newest write asked for, and of the newest that was done; each side waits for the other's to change. */
  asked: 0,
  done: 1,
  fd: 2,
  length: 3,
  /** Position in the file: high part in units of 2^31, and the rest. */
  positionHigh: 4,
  positionLow: 5,
  /** 1 when a sync is to follow. */
  syncs: 6,
  /** What came of it: one of `Outcome`. */
  outcome: 7,
} as const;
const fieldCount = 8;
const Outcome = { ok: 0, writeFailed: 1, syncFailed: 2 } as const;
const deskBytes = 1024 * 1024;

/** `Atomics.waitAsync`, which Node has and the types of ES2023 do not. */
const { waitAsync } = Atomics as unknown as {
  readonly waitAsync: (
    fields: Int32Array,
    field: number,
    value: number,
  ) => { readonly async: false } | { readonly async: true; readonly value: Promise<unknown> };
};

/** What a thread is started with that is this worker; this file may also be imported in another's worker. */
interface WorkerData {
  readonly role: 'raft write worker';
  readonly desk: Desk;
}
const role = 'raft write worker';

interface Job {
  readonly fd: number;
  readonly bytes: Uint8Array;
  readonly position: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** The other thread, seen from this one. */
interface Writer {
  readonly worker: Worker;
  readonly desk: Desk;
  /** Ends what waits for the other thread, because that has ended. */
  fail: ((error: Error) => void) | undefined;
}

let writer: Writer | undefined;
const jobs: Job[] = [];
let isWorking = false;

/**
 * Writes all of `bytes` at `position` and syncs the file; `bytes` must not be changed until then. Rejects with the
 * system's code where the write failed, and with `EIO` where the sync did, whatever its own code was: after that nobody
 * knows what is on the disk.
 */
export function writeDurably(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    jobs.push({ fd, bytes, position, resolve, reject });
    if (!isWorking) void workOff();
  });
}

/** Does the jobs in order. Never rejects. */
async function workOff(): Promise<void> {
  isWorking = true;
  let used: Writer | undefined;
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
    try {
      if (writer === undefined) {
        writer = startWriter();
        used = undefined;
      }
      // While something is being written the process stays.
      if (used !== writer) writer.worker.ref();
      used = writer;
      await write(writer, job);
      job.resolve();
    } catch (error) {
      job.reject(error as Error);
    }
  }
  used?.worker.unref();
  isWorking = false;
}

async function write(to: Writer, { fd, bytes, position }: Job): Promise<void> {
  for (let at = 0; at === 0 || at < bytes.length; at += deskBytes) {
    const part = bytes.subarray(at, at + deskBytes);
    const failure = await ask(to, fd, part, position + at, at + part.length === bytes.length);
    if (failure !== undefined) throw failure;
  }
}

/** One round with the other thread. */
async function ask(
  to: Writer,
  fd: number,
  part: Uint8Array,
  position: number,
  isLast: boolean,
): Promise<Error | undefined> {
  const { fields, bytes } = to.desk;
  bytes.set(part);
  fields[Field.fd] = fd;
  fields[Field.length] = part.length;
  fields[Field.positionHigh] = Math.floor(position / 2 ** 31);
  fields[Field.positionLow] = position % 2 ** 31;
  fields[Field.syncs] = isLast ? 1 : 0;
  const before = Atomics.load(fields, Field.done);
  Atomics.add(fields, Field.asked, 1);
  Atomics.notify(fields, Field.asked);
  const waiting = waitAsync(fields, Field.done, before);
  if (waiting.async)
    await new Promise<void>((resolve, reject) => {
      to.fail = reject;
      waiting.value.then(() => resolve(), reject);
    });
  to.fail = undefined;
  const outcome = Atomics.load(fields, Field.outcome);
  if (outcome === Outcome.ok) return undefined;
  const text = new TextDecoder().decode(bytes.slice(0, fields[Field.length]));
  const [code, ...message] = text.split(' ');
  return outcome === Outcome.syncFailed
    ? systemError('EIO', `sync: ${message.join(' ')}`)
    : systemError(code!, `write: ${message.join(' ')}`);
}

function startWriter(): Writer {
  const desk: Desk = {
    fields: new Int32Array(new SharedArrayBuffer(4 * fieldCount)),
    bytes: new Uint8Array(new SharedArrayBuffer(deskBytes)),
  };
  const data: WorkerData = { role, desk };
  // Flags of the process, such as one about what its command line holds, are not for this file.
  const options = { name: 'raft-log', workerData: data, execArgv: [] };
  const worker = new Worker(new URL(import.meta.url), options);
  worker.unref();
  const started: Writer = { worker, desk, fail: undefined };
  const end = (cause: unknown): void => {
    if (writer === started) writer = undefined;
    started.fail?.(systemError('EIO', `the thread that writes has ended: ${String(cause)}`));
  };
  worker.on('error', end);
  worker.on('exit', (code) => end(`exit code ${code}`));
  return started;
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

// ------------------------------------------------------------------------------------------------- the other thread

/** Waits for what is asked, for ever: this thread has nothing else to do, and ends with the process. */
function serve({ fields, bytes }: Desk): never {
  for (let seen = 0; ; ) {
    Atomics.wait(fields, Field.asked, seen);
    const asked = Atomics.load(fields, Field.asked);
    if (asked === seen) continue;
    seen = asked;
    Atomics.store(fields, Field.outcome, work(fields, bytes));
    Atomics.store(fields, Field.done, seen);
    Atomics.notify(fields, Field.done);
  }
}

function work(fields: Int32Array, bytes: Uint8Array): number {
  const fd = fields[Field.fd]!;
  const length = fields[Field.length]!;
  const position = fields[Field.positionHigh]! * 2 ** 31 + fields[Field.positionLow]!;
  let failed: number = Outcome.writeFailed;
  try {
    // A write may take less than it is given, as any POSIX write: go on until all is taken.
    for (let at = 0; at < length; ) at += writeSync(fd, bytes, at, length - at, position + at);
    failed = Outcome.syncFailed;
    if (fields[Field.syncs] === 1) fdatasyncSync(fd);
    return Outcome.ok;
  } catch (error) {
    const { code = 'EIO', message } = error as NodeJS.ErrnoException;
    const text = new TextEncoder().encode(`${code} ${message}`);
    bytes.set(text);
    fields[Field.length] = text.length;
    return failed;
  }
}

function isWorkerData(data: unknown): data is WorkerData {
  return typeof data === 'object' && data !== null && (data as Partial<WorkerData>).role === role;
}

if (isWorkerData(workerData)) serve(workerData.desk);
