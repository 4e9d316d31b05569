import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { mkdir, mkdtemp, open as openFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { SeededRandom } from '@dcache/base';
import { allOf, entriesOf, metadataOf, testLogStorage, writeState } from '../storage.test.helper.js';
import { DiskStorage, type DiskStorageOptions } from './disk-storage.js';
import { type FileSystem, nodeFileSystem } from './file-system.js';
import { SimulatedDisk } from './simulated-disk.js';

const folder = await mkdtemp(join(tmpdir(), 'raft-disk-'));
after(() => rm(folder, { recursive: true }));
let made = 0;

function open(disk: SimulatedDisk, options: Partial<DiskStorageOptions> = {}): Promise<DiskStorage> {
  return DiskStorage.open({
    directory: '/log',
    fileSystem: disk.mount(),
    segmentBytes: 65_536,
    random: new SeededRandom(7),
    ...options,
  });
}

testLogStorage('DiskStorage on real files', () =>
  DiskStorage.open({ directory: join(folder, String(++made)), segmentBytes: 65_536 }),
);
testLogStorage('DiskStorage on simulated files', () => open(new SimulatedDisk()));
testLogStorage('DiskStorage that keeps no entry in memory', () => open(new SimulatedDisk(), { cacheBytes: 0 }));

test('a log is there again after it was closed: entries, hard state, snapshot, identity (real files)', async () => {
  const directory = join(folder, 'again');
  const first = await DiskStorage.open({ directory, segmentBytes: 65_536, clusterId: 'c1' });
  for (let from = 1; from < 200; from += 10)
    await first.append(entriesOf(1, from, from + 9, 1000), { term: 1, vote: 1, commit: 0 });
  await first.append(entriesOf(2, 151, 300, 1000), { term: 2, vote: 3, commit: 120 });
  await writeState(first, metadataOf(120, 1), 'state of 120');
  first.compact(100);
  await first.append([], { term: 2, vote: 3, commit: 130 });
  await first.close();
  const second = await DiskStorage.open({ directory, segmentBytes: 65_536, nodeId: first.nodeId, clusterId: 'c1' });
  assert.deepEqual(second.initialState().hardState, { term: 2, vote: 3, commit: 130 });
  assert.deepEqual(second.initialState().confState, metadataOf(120, 1).confState);
  assert.ok(second.firstIndex() <= 121 && second.firstIndex() > 1);
  const expected = [...entriesOf(1, 1, 150, 1000), ...entriesOf(2, 151, 300, 1000)];
  assert.deepEqual(allOf(second), expected.slice(second.firstIndex() - 1));
  const chunks = [];
  for await (const chunk of (await second.openSnapshot())!.chunks()) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), 'state of 120');
  await second.close();
  assert.deepEqual(
    (await readdir(directory)).filter((name) => /tmp|lock/.test(name)),
    [],
  );
});

test('what it makes is for its user alone; folders that were there keep their modes (real files)', async () => {
  const above = join(folder, 'above');
  await mkdir(above, { mode: 0o755 });
  const directory = join(above, 'between', 'log');
  const storage = await DiskStorage.open({ directory, segmentBytes: 65_536 });
  await storage.append(entriesOf(1, 1, 100, 1000), { term: 1, vote: 1, commit: 100 });
  await writeState(storage, metadataOf(50, 1), 'state');
  const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
  const names = await readdir(directory);
  for (const made of ['identity.json', 'lock', '.wal', '.snap'])
    assert.ok(
      names.some((name) => name.endsWith(made)),
      `${made} is among ${names.join(', ')}`,
    );
  for (const name of names) assert.equal(await modeOf(join(directory, name)), 0o600, name);
  await storage.close();
  for (const path of [directory, dirname(directory)]) assert.equal(await modeOf(path), 0o700, path);
  assert.equal(await modeOf(above), 0o755);
});

test('a sync does not wait for other work in the threads that Node shares (pitfall 37)', async () => {
  const directory = join(folder, 'threads');
  const storage = await DiskStorage.open({ directory, segmentBytes: 65_536 });
  await storage.append(entriesOf(1, 1, 1), undefined);
  const pipe = join(folder, 'pipe');
  await promisify(execFile)('mkfifo', [pipe]);
  // Opening a pipe that nobody writes to blocks a thread; Node has four of them by default.
  const blocked = Array.from({ length: 4 }, () => openFile(pipe, 'r'));
  await storage.append(entriesOf(1, 2, 2), { term: 1, vote: 1, commit: 1 });
  const writer = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  for (const opened of await Promise.all(blocked)) await opened.close();
  closeSync(writer);
  assert.equal(storage.lastIndex(), 2);
  await storage.close();
});

test('a failed write ends the log with the file and the reason (real files)', async () => {
  const directory = join(folder, 'failed');
  const storage = await DiskStorage.open({ directory, segmentBytes: 65_536, fileSystem: readOnlyAfter(1) });
  await storage.append(entriesOf(1, 1, 1), undefined);
  await assert.rejects(storage.append(entriesOf(1, 2, 2), undefined), /cannot write .*log-0+1\.wal: write: EBADF/);
  await storage.close();
});

/** The machine's files, of which one writes only `writes` times. */
function readOnlyAfter(writes: number): FileSystem {
  return {
    ...nodeFileSystem,
    async open(path, mode) {
      const file = await nodeFileSystem.open(path, mode);
      const writeDurably = file.writeDurably.bind(file);
      const readOnly = await nodeFileSystem.open(path, 'read');
      return Object.assign(file, {
        writeDurably: (bytes: Uint8Array, position: number) =>
          writes-- > 0 ? writeDurably(bytes, position) : readOnly.writeDurably(bytes, position),
      });
    },
  };
}
