import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { replaceFile, targetKind, writeThrough } from './files.js';

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

test('a file is replaced, a pipe or a device written to, this process’s output found under each name, and all else refused', async () => {
  const [regular, pipe, socket] = [join(folder, 'regular'), join(folder, 'pipe'), join(folder, 'socket')];
  await writeFile(regular, '');
  execFileSync('mkfifo', [pipe]);
  await symlink('pipe', join(folder, 'link'));
  await symlink('not-yet', join(folder, 'dangling'));
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  for (const name of ['regular', 'not-yet', 'dangling']) assert.equal(await targetKind(join(folder, name)), 'file');
  for (const name of [pipe, join(folder, 'link'), '/dev/full']) assert.equal(await targetKind(name), 'stream');
  for (const name of ['-', '/dev/stdout', '/dev/fd/1']) assert.equal(await targetKind(name), 'stdout');
  for (const file of [folder, socket])
    await assert.rejects(targetKind(file), {
      name: 'FileError',
      message: `${file} cannot be written: it is neither a file nor a pipe; - writes to standard output`,
    });
  await assert.rejects(targetKind(join(regular, 'below')), { name: 'FileError', message: /not a directory/ });
  await new Promise((resolve) => server.close(resolve));
});

test('a pipe gets the bytes as they come, stays a pipe, and one that its reader leaves is an error', async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const { signal } = new AbortController();
  const [, got] = await Promise.all([writeThrough(pipe, say('all values'), signal), readFile(pipe, 'utf8')]);
  assert.equal(got, 'all values');
  assert.ok((await stat(pipe)).isFIFO());
  const left = async (put: (chunk: Uint8Array) => Promise<unknown>): Promise<void> => {
    for (;;) await put(Buffer.alloc(65_536));
  };
  const leave = open(pipe, 'r').then((reader) => reader.close());
  await assert.rejects(writeThrough(pipe, left, signal), { message: `${pipe} cannot be written: broken pipe` });
  await leave;
  await assert.rejects(writeThrough('/dev/full', left, signal), {
    message: /^\/dev\/full cannot be written: no space/,
  });
});

test('a pipe that nobody reads is waited for until the signal', async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const aborting = new AbortController();
  const writing = writeThrough(pipe, say('never'), aborting.signal);
  aborting.abort();
  await assert.rejects(writing, { code: 'aborted' });
  // Lets the thread go that waits for a reader.
  await readFile(pipe);
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

/** Of util-linux: runs a command at a terminal. */
const script = '/usr/bin/script';
const skip = existsSync(script) ? false : `${script} is not there`;
if (skip && process.env['DCACHE_CI']) throw new Error(`${skip}; on Debian: apt-get install bsdutils`);

test('a snapshot is neither written to a terminal nor read from one, under whatever name', { skip }, () => {
  const bin = fileURLToPath(new URL('../bin/dcache-client.js', import.meta.url));
  const atTerminal = (command: string): unknown[] => {
    // Nothing listens there: what gets as far as that ends with another code.
    const line = `${process.execPath} ${bin} --addr 127.0.0.1:1 --timeout 20s ${command}`;
    const { status, stdout } = spawnSync(script, ['-qec', line, '/dev/null'], { encoding: 'utf8', timeout: 30_000 });
    return [status, stdout.trim()];
  };
  const refused = (name: string, purpose: string, instead: string): unknown[] => [
    ...[1, `dcache-client: ${name} cannot be ${purpose}: it is a terminal; ${instead}`],
  ];
  const [toOne, oneTo] = ['name a file, or redirect it to one', 'name a file, or redirect one to it'];
  for (const name of ['-', '/dev/stdout'])
    assert.deepEqual(atTerminal(`snapshot-save ${name}`), refused('standard output', 'written', toOne), name);
  assert.deepEqual(atTerminal('snapshot-save /dev/tty'), refused('/dev/tty', 'written', toOne));
  assert.deepEqual(atTerminal('snapshot-restore -'), refused('standard input', 'read', oneTo));
  assert.deepEqual(atTerminal('snapshot-restore /dev/tty'), refused('/dev/tty', 'read', oneTo));
  assert.match(`${atTerminal('snapshot-save - | cat')[1]}`, /refuses connections/, 'a pipe may have it');
});
