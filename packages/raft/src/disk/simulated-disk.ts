import { assert, type Random, SeededRandom } from '@dcache/base';
import { RaftError } from '../errors.js';
import type { DiskFile, FileSystem } from './file-system.js';

/** What a device writes whole or not at all, in bytes. */
const sectorBytes = 512;

/**
 * A disk in memory that keeps apart what was written and what is durable, and breaks on request:
 *
 * - `crash()` is a power cut: of the sectors written since the last sync of their file an arbitrary subset survives, and
 *   of the names made, replaced or removed since the last sync of their folder an arbitrary prefix.
 * - `failNextSync()` fails one sync the way Linux does: the error comes once, what was not yet written is gone, and the
 *   next sync of the same file succeeds (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
 * - `capacityBytes` is the size of the disk; writes that need more reject with `ENOSPC`.
 * - `flipBit()` is rot.
 *
 * `mount()` gives the file system as one process sees it: after a crash it only rejects, as the process is gone too.
 * Synchronous underneath: a promise resolves in the next microtask, unless `holdSyncs` keeps syncs waiting.
 */
export class SimulatedDisk {
  /** May be changed at any time. */
  capacityBytes: number;
  /** Syncs wait for `releaseSyncs()` while this is true. */
  holdSyncs = false;
  /** Syncs of files that finished. */
  syncs = 0;

  readonly #random: Random;
  readonly #folders = new Map<string, Folder>();
  #generation = 0;
  #failSyncs = 0;
  #held: (() => void)[] = [];

  constructor(options: { random?: Random; capacityBytes?: number } = {}) {
    this.#random = options.random ?? new SeededRandom(1);
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  /** The disk for a process that starts now. */
  mount(): FileSystem {
    const generation = this.#generation;
    const alive = async <T>(run: () => T): Promise<T> => {
      if (generation !== this.#generation) throw systemError('EIO', 'the power is off');
      return run();
    };
    return {
      makeDirectory: (path) => alive(() => this.makeDirectory(path)),
      list: (path) => alive(() => this.list(path)),
      open: (path, mode) => alive(() => this.open(path, mode)),
      rename: (from, to) => alive(() => this.rename(from, to)),
      remove: (path) => alive(() => this.remove(path)),
      syncDirectory: (path) => alive(() => this.syncDirectory(path)),
      lock: (path) => alive(() => this.lock(path)),
    };
  }

  makeDirectory(path: string): void {
    if (!this.#folders.has(path))
      this.#folders.set(path, { names: new Map(), durable: new Map(), changes: [], lockedIn: undefined });
  }

  list(path: string): string[] {
    return [...this.#folder(path).names.keys()];
  }

  open(path: string, mode: 'create' | 'read' | 'write'): DiskFile {
    const [folder, name] = this.#split(path);
    let inode = folder.names.get(name);
    if (mode === 'create') {
      if (inode !== undefined) throw systemError('EEXIST', path);
      inode = { bytes: new Uint8Array(0), durable: new Uint8Array(0), dirty: new Set() };
      this.#change(folder, name, inode);
    }
    if (inode === undefined) throw systemError('ENOENT', path);
    return new SimulatedFile(this, inode, path);
  }

  rename(from: string, to: string): void {
    const [folder, oldName] = this.#split(from);
    const [target, newName] = this.#split(to);
    assert(folder === target, 'names move within one folder here');
    const inode = folder.names.get(oldName);
    if (inode === undefined) throw systemError('ENOENT', from);
    folder.names.delete(oldName);
    folder.names.set(newName, inode);
    folder.changes.push((names) => {
      names.delete(oldName);
      names.set(newName, inode);
    });
  }

  remove(path: string): void {
    const [folder, name] = this.#split(path);
    if (!folder.names.has(name)) throw systemError('ENOENT', path);
    this.#change(folder, name, undefined);
  }

  syncDirectory(path: string): void {
    const folder = this.#folder(path);
    folder.durable = new Map(folder.names);
    folder.changes = [];
  }

  lock(path: string): () => Promise<void> {
    const folder = this.#folder(path);
    const generation = this.#generation;
    if (folder.lockedIn === generation) throw new RaftError('foreign', `${path} is locked`);
    folder.lockedIn = generation;
    return async () => {
      if (folder.lockedIn === generation) folder.lockedIn = undefined;
    };
  }

  /** Bytes of all files. */
  get usedBytes(): number {
    let used = 0;
    for (const folder of this.#folders.values()) for (const inode of folder.names.values()) used += inode.bytes.length;
    return used;
  }

  /** Cuts the power: see above. Whoever mounted it before is gone. */
  crash(): void {
    this.#generation++;
    this.#held = [];
    this.holdSyncs = false;
    for (const folder of this.#folders.values()) {
      for (const change of folder.changes.slice(0, this.#random.below(folder.changes.length + 1)))
        change(folder.durable);
      folder.changes = [];
      folder.names = new Map(folder.durable);
      for (const inode of folder.names.values()) this.#tear(inode);
    }
  }

  /** The next `count` syncs of files fail with `EIO` and lose what they were to make durable. */
  failNextSync(count = 1): void {
    this.#failSyncs += count;
  }

  /** Syncs that wait for `releaseSyncs()`. */
  get heldSyncs(): number {
    return this.#held.length;
  }

  /** Lets the syncs held by `holdSyncs` finish. */
  releaseSyncs(): void {
    const held = this.#held;
    this.#held = [];
    for (const release of held) release();
  }

  /** Flips the lowest bit of the byte at `position`, on the platter and in the cache. */
  flipBit(path: string, position: number): void {
    const inode = this.#inode(path);
    inode.bytes[position]! ^= 1;
    if (position < inode.durable.length) inode.durable[position]! ^= 1;
  }

  /** A copy of what the file holds now. */
  contents(path: string): Uint8Array {
    return this.#inode(path).bytes.slice();
  }

  /** Replaces bytes of a file, durably: for damage of any shape. */
  overwrite(path: string, position: number, bytes: Uint8Array): void {
    const inode = this.#inode(path);
    inode.bytes.set(bytes, position);
    inode.durable = inode.bytes.slice();
  }

  /** Shortens a file, durably. */
  truncate(path: string, length: number): void {
    const inode = this.#inode(path);
    inode.bytes = inode.bytes.slice(0, length);
    inode.durable = inode.bytes.slice();
  }

  /** @internal */
  get generation(): number {
    return this.#generation;
  }

  /** @internal */
  grow(inode: Inode, size: number, path: string): void {
    const more = size - inode.bytes.length;
    if (more <= 0) return;
    if (this.usedBytes + more > this.capacityBytes) throw systemError('ENOSPC', path);
    const bytes = new Uint8Array(size);
    bytes.set(inode.bytes);
    inode.bytes = bytes;
  }

  /** @internal */
  async sync(inode: Inode, path: string): Promise<void> {
    if (this.holdSyncs) await new Promise<void>((resolve) => this.#held.push(resolve));
    if (this.#failSyncs > 0) {
      this.#failSyncs--;
      inode.dirty.clear();
      throw systemError('EIO', path);
    }
    const durable = new Uint8Array(inode.bytes.length);
    durable.set(inode.durable.subarray(0, durable.length));
    for (const sector of inode.dirty) copySector(inode.bytes, durable, sector);
    inode.durable = durable;
    inode.dirty.clear();
    this.syncs++;
  }

  #tear(inode: Inode): void {
    const after = new Uint8Array(inode.bytes.length);
    after.set(inode.durable.subarray(0, after.length));
    let size = inode.durable.length;
    for (const sector of inode.dirty) {
      if (this.#random.below(2) === 0) continue;
      copySector(inode.bytes, after, sector);
      size = Math.max(size, Math.min(after.length, (sector + 1) * sectorBytes));
    }
    inode.bytes = after.slice(0, size);
    inode.durable = inode.bytes.slice();
    inode.dirty = new Set();
  }

  #change(folder: Folder, name: string, inode: Inode | undefined): void {
    const change = (names: Map<string, Inode>): void => {
      if (inode === undefined) names.delete(name);
      else names.set(name, inode);
    };
    change(folder.names);
    folder.changes.push(change);
  }

  #inode(path: string): Inode {
    const [folder, name] = this.#split(path);
    const inode = folder.names.get(name);
    if (inode === undefined) throw systemError('ENOENT', path);
    return inode;
  }

  #split(path: string): [Folder, string] {
    const cut = path.lastIndexOf('/');
    return [this.#folder(path.slice(0, cut)), path.slice(cut + 1)];
  }

  #folder(path: string): Folder {
    const folder = this.#folders.get(path);
    if (folder === undefined) throw systemError('ENOENT', path);
    return folder;
  }
}

interface Folder {
  names: Map<string, Inode>;
  durable: Map<string, Inode>;
  /** Since the last sync of the folder, in order. */
  changes: ((names: Map<string, Inode>) => void)[];
  /** The generation whose process has the lock. */
  lockedIn: number | undefined;
}

interface Inode {
  /** What a reader sees. */
  bytes: Uint8Array;
  /** What survives a power cut for sure. */
  durable: Uint8Array;
  /** Sectors written since the last sync. */
  dirty: Set<number>;
}

class SimulatedFile implements DiskFile {
  readonly #disk: SimulatedDisk;
  readonly #inode: Inode;
  readonly #path: string;
  readonly #generation: number;

  constructor(disk: SimulatedDisk, inode: Inode, path: string) {
    this.#disk = disk;
    this.#inode = inode;
    this.#path = path;
    this.#generation = disk.generation;
  }

  async size(): Promise<number> {
    return this.#inode.bytes.length;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    this.#check();
    this.#disk.grow(this.#inode, position + bytes.length, this.#path);
    this.#inode.bytes.set(bytes, position);
    const last = Math.floor((position + bytes.length - 1) / sectorBytes);
    for (let sector = Math.floor(position / sectorBytes); sector <= last; sector++) this.#inode.dirty.add(sector);
  }

  async writeDurably(bytes: Uint8Array, position: number): Promise<void> {
    await this.write(bytes, position);
    await this.sync();
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    return this.readSync(into, position);
  }

  readSync(into: Uint8Array, position: number): number {
    this.#check();
    const part = this.#inode.bytes.subarray(position, position + into.length);
    into.set(part);
    return part.length;
  }

  async sync(): Promise<void> {
    this.#check();
    await this.#disk.sync(this.#inode, this.#path);
    this.#check();
  }

  async close(): Promise<void> {}

  #check(): void {
    if (this.#generation !== this.#disk.generation) throw systemError('EBADF', this.#path);
  }
}

function copySector(from: Uint8Array, to: Uint8Array, sector: number): void {
  to.set(from.subarray(sector * sectorBytes, (sector + 1) * sectorBytes), sector * sectorBytes);
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
