import { readSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { lockDirectory } from './directory-lock.js';
import { writeDurably } from './write-worker.js';

/**
 * What the log needs of a file system, so that a simulation can tear writes, fail an fsync, fill the disk or rot a bit.
 * Paths are joined with `/`. Every method rejects with the system's error (`code` such as `ENOSPC`, `ENOENT`, `EIO`).
 */
export interface FileSystem {
  /** Makes the folder and what lies above it, for this user alone; no error where it is there. */
  makeDirectory(path: string): Promise<void>;
  /** Names in the folder, in no order. */
  list(path: string): Promise<string[]>;
  /** `create` makes an empty file for this user alone and rejects where one is there; `write` opens one that is there, for both ways. */
  open(path: string, mode: 'create' | 'read' | 'write'): Promise<DiskFile>;
  /** Replaces `to` at once. Durable only after `syncDirectory`. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes created, renamed and removed names of the folder durable. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Makes the folder this process's own until the function returned is called, or the process ends. Rejects with a
   * `RaftError` `foreign` where another live process has it.
   */
  lock(path: string): Promise<() => Promise<void>>;
}

/** An open file. Offsets and sizes are bytes. */
export interface DiskFile {
  size(): Promise<number>;
  /** Writes all of `bytes` at `position`. Not durable before `sync`. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /**
   * Writes all of `bytes` at `position`, then syncs. `bytes` must not be changed until then. Rejects with
   * `ENOSPC` or `EDQUOT` only where the write failed: that may be tried again. Any other rejection is as one of `sync`.
   */
  writeDurably(bytes: Uint8Array, position: number): Promise<void>;
  /** Reads into all of `into` from `position`; the count is less only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** As `read`, but blocks: for entries that are no longer in memory. */
  readSync(into: Uint8Array, position: number): number;
  /** Resolves when what was written is durable. After a rejection nobody knows what is durable: never try again. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The machine's own files. */
export const nodeFileSystem: FileSystem = {
  async makeDirectory(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  list: (path) => readdir(path),
  async open(path, mode) {
    return new NodeFile(await open(path, { create: 'wx+', read: 'r', write: 'r+' }[mode], 0o600));
  },
  rename,
  remove: unlink,
  async syncDirectory(path) {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  lock: lockDirectory,
};

class NodeFile implements DiskFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    // A write may take less than it is given, as any POSIX write: go on until all is taken.
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, position + at);
      at += bytesWritten;
    }
  }

  writeDurably(bytes: Uint8Array, position: number): Promise<void> {
    return writeDurably(this.#handle.fd, bytes, position);
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let at = 0;
    while (at < into.length) {
      const { bytesRead } = await this.#handle.read(into, at, into.length - at, position + at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return at;
  }

  readSync(into: Uint8Array, position: number): number {
    let at = 0;
    while (at < into.length) {
      const bytesRead = readSync(this.#handle.fd, into, at, into.length - at, position + at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return at;
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
