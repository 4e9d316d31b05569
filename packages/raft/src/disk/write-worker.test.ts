import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { writeDurably } from './write-worker.js';

let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'raft-writes-'));
});

after(() => rm(folder, { recursive: true }));

test('what is larger than the memory that the threads share is written in parts, all of it and in its place', async () => {
  const path = join(folder, 'large');
  const file = await open(path, 'w+');
  const bytes = new Uint8Array(2 * 1024 * 1024 + 12_345);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7) % 251;
  await writeDurably(file.fd, bytes, 1_000);
  await file.close();
  const written = await readFile(path);
  assert.equal(written.length, 1_000 + bytes.length);
  assert.ok(written.subarray(1_000).equals(bytes));
});

test('writes that are asked for at once are done in order, and one that fails takes none with it', async () => {
  const path = join(folder, 'order');
  const file = await open(path, 'w+');
  const readOnly = await open(path, 'r');
  const ended: string[] = [];
  const note = (name: string, write: Promise<void>): Promise<void> =>
    write.then(
      () => void ended.push(name),
      (error: Error & { code: string }) => void ended.push(`${name} ${error.code}`),
    );
  await Promise.all([
    note('first', writeDurably(file.fd, Buffer.from('aaaa'), 0)),
    note('refused', writeDurably(readOnly.fd, Buffer.from('bbbb'), 0)),
    note('last', writeDurably(file.fd, Buffer.from('cc'), 1)),
  ]);
  await Promise.all([file.close(), readOnly.close()]);
  assert.deepEqual(ended, ['first', 'refused EBADF', 'last']);
  assert.equal(await readFile(path, 'utf8'), 'acca');
});

test('a sync that fails is EIO, whatever its own code was: nobody knows what is on the disk', async () => {
  // A pipe takes a write, but no sync.
  const path = join(folder, 'pipe');
  await promisify(execFile)('mkfifo', [path]);
  const [reader, writer] = await Promise.all([open(path, 'r'), open(path, 'w')]);
  await assert.rejects(
    writeDurably(writer.fd, new Uint8Array(0), 0),
    (error: Error & { code: string }) => error.code === 'EIO' && /^sync: EINVAL/.test(error.message),
  );
  await Promise.all([reader.close(), writer.close()]);
});

test('a process whose writes are done ends by itself, and not before they are', async () => {
  const path = join(folder, 'process');
  const script = `
    import { openSync } from 'node:fs';
    import { writeDurably } from ${JSON.stringify(new URL('./write-worker.js', import.meta.url).href)};
    const fd = openSync(${JSON.stringify(path)}, 'w+');
    writeDurably(fd, Buffer.from('first'), 0).then(() => setImmediate(() => writeDurably(fd, Buffer.from('second'), 5)));
  `;
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { timeout: 30_000 });
  assert.equal(await readFile(path, 'utf8'), 'firstsecond');
});
