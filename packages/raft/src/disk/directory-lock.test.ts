import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { codeOf } from '../cluster.test.helper.js';
import { lockDirectory } from './directory-lock.js';

const folder = await mkdtemp(join(tmpdir(), 'raft-lock-'));
after(() => rm(folder, { recursive: true }));
const lockModule = new URL('./directory-lock.js', import.meta.url).href;

/** Another process that takes the lock, says so, and lives until it is killed. */
async function holder(directory: string): Promise<{ said: string; kill: () => Promise<void> }> {
  const script = `
    import { lockDirectory } from '${lockModule}';
    try { await lockDirectory(process.argv[1]); process.stdout.write('locked'); setInterval(() => {}, 1000); }
    catch (error) { process.stdout.write(error.code); }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await once(child.stdout, 'data');
  return {
    said: String(said),
    kill: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

test('a folder has one owner among the processes, and is free again when that one was killed', async () => {
  const first = await holder(folder);
  assert.equal(first.said, 'locked');
  const second = await holder(folder);
  assert.equal(second.said, 'foreign');
  assert.equal(await codeOf(lockDirectory(folder)), 'foreign');
  await first.kill();
  const release = await lockDirectory(folder);
  assert.equal(await codeOf(lockDirectory(folder)), 'foreign');
  await release();
  await (await lockDirectory(folder))();
  assert.deepEqual(await readdir(folder), []);
});

test('of many that find a stale lock, one gets it', async () => {
  const dead = await holder(folder);
  await dead.kill();
  const results = await Promise.all(
    Array.from({ length: 10 }, async () => {
      try {
        return await lockDirectory(folder);
      } catch {
        return undefined;
      }
    }),
  );
  const owners = results.filter((release) => release !== undefined);
  assert.equal(owners.length, 1);
  await owners[0]!();
  assert.deepEqual(await readdir(folder), [], 'nothing is left behind');
});

test('a process that ended while it took a stale lock over does not keep others out', async () => {
  const dead = await holder(folder);
  await dead.kill();
  const stale = await readFile(join(folder, 'lock'), 'utf8');
  const { token } = JSON.parse(stale) as { token: string };
  // Its guard is there, and its holder is as dead as the lock's.
  await writeFile(join(folder, `lock.takeover.${token}`), stale.replace(token, 'another-token'));
  const release = await lockDirectory(folder);
  await release();
  assert.deepEqual(await readdir(folder), []);
});

test('a lock file that this program did not write is not touched', async () => {
  await writeFile(join(folder, 'lock'), 'mine\n');
  await assert.rejects(lockDirectory(folder), /is not a lock of this program/);
  await rm(join(folder, 'lock'));
});
