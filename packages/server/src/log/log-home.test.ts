import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger, systemClock } from '@dcache/base';
import { LogHome } from './log-home.js';

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}

test('a new data directory and all in it are for the user of the node alone; one that is there keeps its mode', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dcache-home-'));
  try {
    const given = join(folder, 'given');
    await mkdir(given, { mode: 0o755 });
    for (const dataDir of [join(folder, 'new', 'deep'), given]) {
      const home = await LogHome.open({
        inMemory: false,
        dataDir,
        name: 'n1',
        clock: systemClock,
        logger: silentLogger,
      });
      await home.adopt('c1');
      const entries = await readdir(dataDir, { recursive: true, withFileTypes: true });
      assert.ok(
        entries.some(({ name }) => name === 'dcache.json') && entries.some(({ name }) => name === 'identity.json'),
      );
      for (const entry of entries)
        assert.equal(await modeOf(join(entry.parentPath, entry.name)), entry.isDirectory() ? 0o700 : 0o600, entry.name);
      await home.storage.close();
    }
    for (const path of [join(folder, 'new'), join(folder, 'new', 'deep')])
      assert.equal(await modeOf(path), 0o700, path);
    assert.equal(await modeOf(given), 0o755);
  } finally {
    await rm(folder, { recursive: true });
  }
});
