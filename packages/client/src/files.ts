import { type FileHandle, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { FileError, isOfDisk } from './file-error.js';

/** Mode of a file that was not there before: it holds all values. */
const privateMode = 0o600;

/**
 * Fills a file beside the one named, which takes its place, with its mode, only once it is whole and on the disk. Links
 * are followed; what is no regular file is refused and stays.
 */
export async function replaceFile(
  file: string,
  fill: (put: (chunk: Uint8Array) => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const { target, mode } = await targetOf(file);
  const partial = `${target}.part-${process.pid}`;
  await rm(partial, { force: true });
  const handle = await openFor('written', file, 'wx', partial, privateMode);
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

/** Opens a file, `path` in the place of the one that messages name. Rejects with a `FileError`. */
export async function openFor(
  purpose: 'read' | 'written',
  file: string,
  flags: string,
  path: string = file,
  mode?: number,
): Promise<FileHandle> {
  try {
    return await open(path, flags, mode);
  } catch (error) {
    throw new FileError(file, purpose, error as NodeJS.ErrnoException);
  }
}

/** Where a file really is or will be, and the mode that it has or gets. */
async function targetOf(file: string): Promise<{ readonly target: string; readonly mode: number }> {
  try {
    const target = await realpath(file);
    const found = await stat(target);
    if (!found.isFile())
      throw Object.assign(new Error('it is no regular file; - writes to standard output'), { code: 'EINVAL' });
    return { target, mode: found.mode & 0o777 };
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
