import { once } from 'node:events';
import { show } from '@dcache/base';
import type { SavedMoment } from '@dcache/protocol';
import { bench, formatBench } from './bench.js';
import type { Client } from './client.js';
import { type Action, ExitCode } from './command-line.js';
import { complain } from './complaint.js';
import { ClientError } from './errors.js';
import { FileError, isOfDisk } from './file-error.js';
import { openFor, refuseTerminal, replaceFile, targetKind, writeThrough } from './files.js';
import { counted, formatBytes, formatSaved, formatServer, formatStatus, formatValue } from './format.js';
import { Progress } from './progress.js';
import { statusOf } from './status.js';
import { readValue } from './value.js';

export interface Surroundings {
  /** What was given as --addr; never empty. */
  readonly addresses: readonly string[];
  readonly isJson: boolean;
  /** Aborts when the user has enough. */
  readonly signal: AbortSignal;
  /** Where progress is shown, if it is a terminal. */
  readonly progress: NodeJS.WriteStream;
}

type Of<Kind extends Action['kind']> = Action & { readonly kind: Kind };

/** Does what the command line asks for; resolves with the exit code, rejects with a `ClientError`. */
export async function run(client: Client, action: Action, surroundings: Surroundings): Promise<ExitCode> {
  const { isJson, signal } = surroundings;
  switch (action.kind) {
    case 'get':
      return get(client, action, surroundings);
    case 'set':
      return set(client, action, surroundings);
    case 'delete': {
      const { key, ifRevision } = action;
      const deleted = await inWords(client.delete(key, { ifRevision, signal }), notDone('nothing was deleted'));
      if (isJson) json({ key, deleted });
      else if (!deleted) tellMissing(key);
      return deleted ? ExitCode.ok : ExitCode.notFound;
    }
    case 'servers': {
      const servers = await client.servers({ signal });
      if (isJson) json(servers);
      else for (const server of servers) line(formatServer(server));
      return ExitCode.ok;
    }
    case 'status':
      return status(client, surroundings);
    case 'transfer-leadership': {
      const leader = await client.admin.transferLeadership(action.to, { signal });
      if (isJson) json({ leader });
      else line(`${leader} leads`);
      return ExitCode.ok;
    }
    case 'leave':
      await client.admin.leave(action.id, { signal });
      if (isJson) json({ left: action.id });
      else line(`${action.id} left`);
      return ExitCode.ok;
    case 'snapshot-save':
      return save(client, action, surroundings);
    case 'snapshot-restore':
      return restore(client, action, surroundings);
    case 'bench': {
      const progress = new Progress(surroundings.progress);
      const result = await bench(client, { ...action, signal }, (share, text) => progress.show(text, share)).finally(
        () => progress.clear(),
      );
      if (isJson) json(result);
      else for (const text of formatBench(result)) line(text);
      return ExitCode.ok;
    }
  }
}

async function get(client: Client, { key, level }: Of<'get'>, { isJson, signal }: Surroundings): Promise<ExitCode> {
  const entry = await client.getEntry(key, { level, signal });
  if (!entry) {
    if (isJson) json({ key, found: false });
    else tellMissing(key);
    return ExitCode.notFound;
  }
  const { value, revision, ttlMs } = entry;
  if (isJson) json({ key, found: true, value: Buffer.from(value).toString('base64'), revision, ttlMs });
  else if (process.stdout.isTTY) {
    const { text, escaped } = formatValue(value);
    await write(process.stdout, Buffer.from(text), signal);
    if (escaped > 0)
      process.stderr.write(
        `dcache-client: ${escaped} bytes are no text and shown as \\xNN; a file or a pipe gets them as they are\n`,
      );
  } else await write(process.stdout, value, signal);
  return ExitCode.ok;
}

async function set(client: Client, action: Of<'set'>, { isJson, signal }: Surroundings): Promise<ExitCode> {
  const { key, file, ttlMs, conditions } = action;
  const value = action.value ?? (await readValue(file, signal));
  const writing = client.set(key, value, { ttlMs, signal, ...conditions });
  const revision = await inWords(writing, notDone('nothing was written'));
  if (isJson) json({ key, revision });
  return ExitCode.ok;
}

/** Every server's own view, and why the cluster takes no writes, if it takes none. */
async function status(client: Client, { addresses, isJson, signal }: Surroundings): Promise<ExitCode> {
  const { views, fault } = await statusOf(client, addresses, signal);
  if (isJson) json(views.map((view) => ('error' in view ? view : { ...view, servers: undefined })));
  else for (const text of formatStatus(views)) line(text);
  if (fault === undefined) return ExitCode.ok;
  complain(isJson, `${fault.message} [${fault.reason ?? fault.code}]`, fault);
  return fault.code === 'unavailable' ? ExitCode.unavailable : ExitCode.error;
}

async function save(client: Client, action: Of<'snapshot-save'>, surroundings: Surroundings): Promise<ExitCode> {
  const { file, level } = action;
  const progress = new Progress(surroundings.progress);
  let moment: SavedMoment | undefined;
  let bytes = 0;
  const chunks = client.admin.saveSnapshot({
    level,
    signal: surroundings.signal,
    // The others may not be asked instead: each holds something else.
    ...(level === 'local' ? { address: surroundings.addresses[0] } : {}),
    onMoment: (known) => {
      moment = known;
    },
  });
  const copyTo = async (put: (chunk: Uint8Array) => Promise<unknown>): Promise<void> => {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      await put(chunk);
      const expected = moment?.liveBytes ?? 0;
      progress.show(`saved ${formatBytes(bytes)} of about ${formatBytes(expected)}`, bytes / Math.max(expected, 1));
    }
  };
  const { signal } = surroundings;
  const kind = await targetKind(file);
  try {
    if (kind === 'stdout') await copyTo((chunk) => write(process.stdout, chunk, signal));
    else if (kind === 'stream') await writeThrough(file, copyTo, signal);
    else await replaceFile(file, copyTo);
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    const left = kind === 'file' ? `${file} is as it was` : 'what was written is not a whole snapshot';
    throw new ClientError(error.code, `${error.message}; ${left}`, { cause: error, reason: error.reason });
  } finally {
    progress.clear();
  }
  // Standard output may be the snapshot itself.
  const text = surroundings.isJson
    ? JSON.stringify({ file, bytes, level, ...moment })
    : formatSaved(bytes, level, moment!);
  (kind === 'stdout' ? process.stderr : process.stdout).write(`${text}\n`);
  return ExitCode.ok;
}

async function restore(client: Client, action: Of<'snapshot-restore'>, surroundings: Surroundings): Promise<ExitCode> {
  const { file, replace } = action;
  const progress = new Progress(surroundings.progress);
  const { signal } = surroundings;
  const handle = file === '-' ? undefined : await openFor('read', file, 'r', { signal });
  const source = handle ? handle.createReadStream({ highWaterMark: 262_144 }) : process.stdin;
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    for await (const chunk of source) {
      bytes += (chunk as Buffer).length;
      progress.show(`sent ${formatBytes(bytes)}`);
      yield chunk as Buffer;
    }
    progress.show(`sent ${formatBytes(bytes)}; the cluster takes it`);
  };
  try {
    refuseTerminal(handle?.fd ?? process.stdin.fd, handle ? file : 'standard input', 'read');
    const restoring = client.admin.restoreSnapshot(watched(), { replace, signal });
    const result = await inWords(restoring, ({ code, message }) => {
      if (code === 'precondition-failed' && !replace) return `${message}: --replace does that`;
      return code === 'bad-argument' ? `${handle ? file : 'standard input'}: ${message}` : message;
    });
    progress.clear();
    if (surroundings.isJson) json(result);
    else line(`restored ${counted(result.restored)}; ${result.expired} had expired, ${result.skipped} were left out`);
    return ExitCode.ok;
  } catch (error) {
    throw isOfDisk(error) ? new FileError(file, 'read', error) : error;
  } finally {
    progress.clear();
    source.destroy();
  }
}

/** The promise; where it fails with a `ClientError`, `toText` says it in the words of the command line. */
async function inWords<T>(promise: Promise<T>, toText: (error: ClientError) => string): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    throw new ClientError(error.code, toText(error), { cause: error, reason: error.reason });
  }
}

/** A condition that does not hold is told with what that means. */
function notDone(outcome: string): (error: ClientError) => string {
  return ({ code, message }) => (code === 'precondition-failed' ? `${outcome}: ${message}` : message);
}

/** So that an empty value and none are not the same to a person. */
function tellMissing(key: string): void {
  complain(false, `there is no key ${show(key)} [not-found]`, { code: 'not-found', message: '' });
}

function line(text: string): void {
  process.stdout.write(`${text}\n`);
}

function json(value: unknown): void {
  line(JSON.stringify(value));
}

/** Waits for room, so that a slow reader does not fill the memory. */
async function write(target: NodeJS.WritableStream, chunk: Uint8Array, signal: AbortSignal): Promise<void> {
  if (target.write(chunk)) return;
  try {
    await once(target, 'drain', { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new ClientError('aborted', 'the output was not read to its end', { cause: error });
  }
}
