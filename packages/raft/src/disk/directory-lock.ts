import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, open, readFile, unlink } from 'node:fs/promises';
import { RaftError } from '../errors.js';

/** What the lock file says of the process that has it. */
interface Owner {
  readonly pid: number;
  /** When the process began, in the machine's own count, or empty where it is not known; ids are used again. */
  readonly started: string;
  /** The boot of the machine in which that was. */
  readonly boot: string;
  readonly token: string;
}

/**
 * Makes `directory` this process's own by a file `lock` that names it. A lock whose process is gone is taken over.
 *
 * Node has no `flock`, so this is done with names: the file is made whole under another name and linked to its own,
 * which fails if it is there. A stale lock is removed before, under a guard that only one process can hold. Good for
 * processes of one machine; not across machines that share a file system, nor across containers that do not see each
 * other's processes.
 */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  const path = `${directory}/lock`;
  const self: Owner = { pid: process.pid, started: startOf(process.pid), boot: bootId(), token: randomUUID() };
  const own = `${path}.${self.token}`;
  await writeWhole(own, `${JSON.stringify(self)}\n`);
  try {
    for (let attempt = 0; attempt < 8; attempt++) {
      if (await tryLink(own, path)) return async () => release(path, self);
      const owner = await readOwner(path);
      if (owner === undefined) continue;
      if (isAlive(owner)) throw new RaftError('foreign', `${directory} is in use by process ${owner.pid}`);
      await removeStale(path, path, owner, own);
    }
    throw new RaftError('foreign', `${directory} is being taken by other processes`);
  } finally {
    await unlink(own);
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
  } finally {
    await file.close();
  }
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Undefined where there is none any more. */
async function readOwner(path: string): Promise<Owner | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const owner = JSON.parse(text) as Owner;
    if (Number.isSafeInteger(owner.pid) && typeof owner.token === 'string') return owner;
  } catch {
    // Falls through: it is nobody's.
  }
  throw new RaftError('foreign', `${path} is not a lock of this program; remove it if no process uses the folder`);
}

function isAlive({ pid, started, boot, token: _ }: Owner): boolean {
  if (boot !== bootId()) return false;
  if (pid === process.pid) return started === startOf(pid);
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return started === '' || started === startOf(pid);
}

/**
 * Removes a file whose owner is gone. Whoever does it holds the guard that bears the owner's token, and looks again under
 * it: the file of an owner that is gone is removed by the holder of its guard alone, so it cannot have become another's
 * in between. A guard whose own holder is gone is removed in the same way.
 */
async function removeStale(lock: string, path: string, stale: Owner, own: string): Promise<void> {
  const guard = `${lock}.takeover.${stale.token}`;
  if (!(await tryLink(own, guard))) {
    const holder = await readOwner(guard);
    if (holder !== undefined && !isAlive(holder)) await removeStale(lock, guard, holder, own);
    return;
  }
  try {
    if ((await readOwner(path))?.token === stale.token) await unlink(path);
  } finally {
    await unlink(guard);
  }
}

async function release(path: string, self: Owner): Promise<void> {
  const owner = await readOwner(path);
  if (owner?.token === self.token) await unlink(path);
}

/** When a process began, from `/proc`; empty on systems without. (proc(5): field 22 of `stat`) */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is a name in parentheses that may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
