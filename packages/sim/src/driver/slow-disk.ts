import type { DiskFile, FileSystem } from '@dcache/raft';
import type { Scheduler } from '../scheduler.js';
import type { VirtualProcess } from './process.js';

/** `files` with syncs that take `syncMs()` of virtual time, during which the process may pause or end. */
export function slowFileSystem(
  files: FileSystem,
  scheduler: Scheduler,
  process: VirtualProcess,
  syncMs: () => number,
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
    open: async (path, mode) => slowFile(await files.open(path, mode), passed),
  };
}

function slowFile(file: DiskFile, passed: () => Promise<void>): DiskFile {
  return {
    size: () => file.size(),
    write: (bytes, position) => file.write(bytes, position),
    writeDurably: async (bytes, position) => {
      await passed();
      await file.writeDurably(bytes, position);
    },
    read: (into, position) => file.read(into, position),
    readSync: (into, position) => file.readSync(into, position),
    close: () => file.close(),
    sync: async () => {
      await passed();
      await file.sync();
    },
  };
}
