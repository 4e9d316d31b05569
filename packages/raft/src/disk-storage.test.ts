import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { DiskStorage, type DiskStorageOptions } from './disk-storage.js';
import { SimulatedDisk } from './simulated-disk.js';
import { allOf, entriesOf, metadataOf, testLogStorage, writeState } from './storage.test.helper.js';

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
