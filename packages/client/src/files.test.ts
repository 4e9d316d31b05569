import assert from 'node:assert/strict';
import { lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { replaceFile } from './files.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dcache-files-'));
});

afterEach(() => rm(folder, { recursive: true }));

const modeOf = async (file: string): Promise<number> => (await stat(file)).mode & 0o777;
const say = (text: string) => async (put: (chunk: Uint8Array) => Promise<unknown>) =>
  void (await put(Buffer.from(text)));

test('a new file is its owner’s alone, and one that was there keeps its mode', async () => {
  const [fresh, old] = [join(folder, 'fresh'), join(folder, 'old')];
  await writeFile(old, 'before', { mode: 0o640 });
  for (const file of [fresh, old]) await replaceFile(file, say('all values'));
  assert.equal(await modeOf(fresh), 0o600);
  assert.equal(await modeOf(old), 0o640);
  assert.equal(await readFile(old, 'utf8'), 'all values');
  assert.deepEqual((await readdir(folder)).sort(), ['fresh', 'old']);
});

test('a link stays a link, and what it names is replaced, also where that is not there yet', async () => {
  const [target, link, dangling] = [join(folder, 'target'), join(folder, 'link'), join(folder, 'dangling')];
  await writeFile(target, 'before');
  await symlink('target', link);
  await symlink('not-yet', dangling);
  await replaceFile(link, say('one'));
  await replaceFile(dangling, say('two'));
  assert.ok((await lstat(link)).isSymbolicLink() && (await lstat(dangling)).isSymbolicLink());
  assert.equal(await readFile(target, 'utf8'), 'one');
  assert.equal(await readFile(join(folder, 'not-yet'), 'utf8'), 'two');
});

test('what is no regular file is refused before anything is asked, and stays', async () => {
  for (const file of [folder, '/dev/null'])
    await assert.rejects(replaceFile(file, say('never')), {
      name: 'FileError',
      message: `${file} cannot be written: it is no regular file; - writes to standard output`,
    });
  assert.ok((await stat('/dev/null')).isCharacterDevice());
});

test('a file that could not be filled is as it was', async () => {
  const file = join(folder, 'file');
  await writeFile(file, 'before');
  const broken = async (put: (chunk: Uint8Array) => Promise<unknown>): Promise<void> => {
    await put(Buffer.from('half'));
    throw new Error('the server went');
  };
  await assert.rejects(replaceFile(file, broken), /the server went/);
  assert.equal(await readFile(file, 'utf8'), 'before');
  assert.deepEqual(await readdir(folder), ['file']);
});
