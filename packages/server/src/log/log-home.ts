import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Clock, Logger } from '@dcache/base';
import { DiskStorage, type LogStorage, MemoryStorage } from '@dcache/raft';
import { newRaftId } from './cluster-id.js';

export interface LogHomeOptions {
  readonly inMemory: boolean;
  /** Folder of the log; used only on disk. */
  readonly dataDir: string;
  /** This node's name. */
  readonly name: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const nameFile = 'dcache.json';
const nameFormat = 1;

/**
 * Where this node's log lives, and who the node therefore is. In memory it is somebody new at each start, because a node
 * that forgot its vote must never return under the id that cast it; on disk it is who the folder says.
 */
export class LogHome {
  readonly storage: LogStorage;
  readonly raftId: number;
  /** The folder; empty in memory. */
  readonly dataDir: string;
  readonly #disk: DiskStorage | undefined;
  #cluster: string | undefined;

  private constructor(storage: LogStorage, raftId: number, disk?: DiskStorage, dataDir = '') {
    this.dataDir = dataDir;
    this.storage = storage;
    this.raftId = raftId;
    this.#disk = disk;
    this.#cluster = disk?.clusterId;
  }

  /** Rejects with an error that names the folder where it is of another node, of another process, or damaged. */
  static async open(options: LogHomeOptions): Promise<LogHome> {
    const { inMemory, dataDir, name, clock, logger } = options;
    if (inMemory) return new LogHome(new MemoryStorage(), newRaftId());
    try {
      await makeFolder(resolve(dataDir));
      await claimForName(dataDir, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
      throw new Error(`--data-dir ${dataDir} cannot be used: ${(error as Error).message}`, { cause: error });
    }
    const disk = await DiskStorage.open({ directory: join(dataDir, 'raft'), clock, logger });
    return new LogHome(disk, disk.nodeId, disk, dataDir);
  }

  /** The cluster this node belongs to, undefined before it has found or founded one. */
  get cluster(): string | undefined {
    return this.#cluster;
  }

  get isDurable(): boolean {
    return this.#disk !== undefined;
  }

  /**
   * Whether there is something to resume: then no cluster may be founded here. A cluster's id alone is not: a founder may
   * have ended between noting it and its first entry.
   */
  get hasHistory(): boolean {
    return this.storage.lastIndex() > 0;
  }

  /** Belongs to `cluster` from now on, durably where the log is. */
  async adopt(cluster: string): Promise<void> {
    await this.#disk?.adoptCluster(cluster);
    this.#cluster = cluster;
  }
}

/** With its parents. Not the `recursive` of `mkdir`: that never ends where a file system makes no folders, as in /proc. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      if ((await stat(path)).isDirectory()) return;
      throw new Error(`--data-dir ${path} cannot be used: it is a file, not a folder`);
    }
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path, { mode: 0o700 });
  }
}

/** Notes whose folder it is, or refuses one of another node: its votes and its log are not ours to continue. */
async function claimForName(dataDir: string, name: string): Promise<void> {
  const path = join(dataDir, nameFile);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await writeFile(`${path}.new`, `${JSON.stringify({ format: nameFormat, name })}\n`, { mode: 0o600 });
    await rename(`${path}.new`, path);
    return;
  }
  const { format, name: found } = parseName(text);
  if (typeof format === 'number' && format > nameFormat)
    throw new Error(
      `${path} is of format ${format}; this version reads format ${nameFormat}, so a newer one wrote it: start that`,
    );
  if (format !== nameFormat || typeof found !== 'string')
    throw new Error(`${path} is damaged; it should hold {"format":1,"name":"…"}`);
  if (found !== name)
    throw new Error(`${dataDir} belongs to node ${found}, not to ${name}; give --id ${found} or another --data-dir`);
}

/** What the file says, whatever that is; nothing where it cannot be read. */
function parseName(text: string): { readonly format?: unknown; readonly name?: unknown } {
  try {
    return Object(JSON.parse(text)) as { format?: unknown; name?: unknown };
  } catch {
    return {};
  }
}
