import { constants, fstatSync, type Stats } from 'node:fs';
import { type FileHandle, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isatty } from 'node:tty';
import { FileError, isOfDisk } from './file-error.js';
import { stopped } from './link.js';

/** Mode of a file that was not there before: it holds all values. */
const privateMode = 0o600;

/** Puts bytes into a target, one chunk after the other. */
export type Fill = (put: (chunk: Uint8Array) => Promise<unknown>) => Promise<void>;

/**
 * What a name stands for as the place of a snapshot: a regular file, or none yet; `stream`, a pipe or a device, which takes
 * bytes as they come; this process's own standard output, under whatever name, such as `-` and `/dev/stdout`. Rejects with a
 * `FileError` for all else, and for a terminal: its reader wants none of these bytes, and some of them move it.
 */
export async function targetKind(file: string): Promise<'file' | 'stream' | 'stdout'> {
  if (file === '-') return ownOutput();
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw new FileError(file, 'written', error);
  });
  if (!found) return 'file';
  if (isStandardOutput(found)) return ownOutput();
  if (found.isFile()) return 'file';
  if (found.isFIFO() || found.isCharacterDevice()) return 'stream';
  throw new FileError(file, 'written', new Error('it is neither a file nor a pipe; - writes to standard output'));
}

function ownOutput(): 'stdout' {
  refuseTerminal(process.stdout.fd, 'standard output', 'written');
  return 'stdout';
}

/** Throws a `FileError` where a person sits at the other side of `name`: a snapshot is nothing to read or to type. */
export function refuseTerminal(fd: number, name: string, purpose: 'read' | 'written'): void {
  if (!isatty(fd)) return;
  const instead = purpose === 'read' ? 'name a file, or redirect one to it' : 'name a file, or redirect it to one';
  throw new FileError(name, purpose, new Error(`it is a terminal; ${instead}`));
}

function isStandardOutput({ dev, ino, rdev }: Stats): boolean {
  try {
    const own = fstatSync(process.stdout.fd);
    return own.dev === dev && own.ino === ino && own.rdev === rdev;
  } catch {
    // It is closed.
    return false;
  }
}

/** Fills a pipe or a device; waits for the other side of a pipe, until the signal. */
export async function writeThrough(file: string, fill: Fill, signal: AbortSignal): Promise<void> {
  const handle = await openFor('written', file, constants.O_WRONLY, { signal });
  try {
    refuseTerminal(handle.fd, file, 'written');
    await fill((chunk) => unlessAborted(handle.writeFile(chunk), signal));
  } catch (error) {
    throw isOfDisk(error) ? new FileError(file, 'written', error) : error;
  } finally {
    // It would wait for a write that nobody takes.
    if (!signal.aborted) await handle.close();
  }
}

/**
 * Fills a file beside the one named, which takes its place, with its mode, only once it is whole and on the disk. Links
 * are followed.
 */
export async function replaceFile(file: string, fill: Fill): Promise<void> {
  const { target, mode } = await targetOf(file);
  const partial = `${target}.part-${process.pid}`;
  await rm(partial, { force: true });
  const handle = await openFor('written', file, 'wx', { path: partial, mode: privateMode });
  try {
    if (mode !== privateMode) await handle.chmod(mode);
    await fill((chunk) => handle.writeFile(chunk));
    await handle.sync();
    await handle.close();
    await rename(partial, target);
    await syncFolder(dirname(target));
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(partial, { force: true });
    throw isOfDisk(error) ? new FileError(file, 'written', error) : error;
  }
}

/**
 * Opens a file, `path` in the place of the one that messages name; a pipe only once it has another side, which the signal
 * ends. Rejects with a `FileError`.
 */
export async function openFor(
  purpose: 'read' | 'written',
  file: string,
  flags: string | number,
  { path = file, mode, signal }: { readonly path?: string; readonly mode?: number; readonly signal?: AbortSignal } = {},
): Promise<FileHandle> {
  try {
    const opening = open(path, flags, mode);
    if (!signal) return await opening;
    return await unlessAborted(opening, signal).catch((error) => {
      // Nobody waits for it any more, should it open yet.
      void opening.then((handle) => handle.close()).catch(() => {});
      throw error;
    });
  } catch (error) {
    throw isOfDisk(error) ? new FileError(file, purpose, error) : error;
  }
}

/**
 * The promise, or the end that the signal makes of waiting for it. Another thread may go on waiting for a pipe, so that the
 * process has to end by a signal then, as it does.
 */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(stopped(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Where a file really is or will be, and the mode that it has or gets. */
async function targetOf(file: string): Promise<{ readonly target: string; readonly mode: number }> {
  try {
    const target = await realpath(file);
    return { target, mode: (await stat(target)).mode & 0o777 };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new FileError(file, 'written', error as NodeJS.ErrnoException);
  }
  // It is not there, or a link to what is not there.
  const linked = await readlink(file).catch(() => undefined);
  return { target: linked === undefined ? file : resolve(dirname(file), linked), mode: privateMode };
}

/** So that the new name survives a power cut, too, where the folder may be read and the file system knows of it. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
