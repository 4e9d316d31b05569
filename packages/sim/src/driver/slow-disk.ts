import type { DiskFile, FileSystem } from '@dcache/raft';
import type { Scheduler } from '../scheduler.js';
import type { VirtualProcess } from './process.js';

/**
 * `files` with syncs that take `syncMs()` of virtual time, during which the process may pause or end. A disk that lies
 * says that it has synced a file and has not, for a mutation test.
 */
export function slowFileSystem(
  files: FileSystem,
  scheduler: Scheduler,
  process: VirtualProcess,
  syncMs: () => number,
  isLying: boolean,
): FileSystem {
  const passed = (): Promise<void> =>
    new Promise((resolve) => {
      scheduler.after(syncMs(), () => process.post(resolve));
    });
  return {
    ...files,
    syncDirectory: async (path) => {
      await passed();
      await files.syncDirectory(path);
    },
    open: async (path, mode) => slowFile(await files.open(path, mode), passed, isLying),
  };
}

function slowFile(file: DiskFile, passed: () => Promise<void>, isLying: boolean): DiskFile {
  return {
    size: () => file.size(),
    write: (bytes, position) => file.write(bytes, position),
    read: (into, position) => file.read(into, position),
    readSync: (into, position) => file.readSync(into, position),
    close: () => file.close(),
    writeDurably: async (bytes, position) => {
      await file.write(bytes, position);
      await passed();
      if (!isLying) await file.sync();
    },
    sync: async () => {
      await passed();
      if (!isLying) await file.sync();
    },
  };
}
