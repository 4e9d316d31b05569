import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Input, readValue } from './value.js';

const { signal } = new AbortController();

function input(isTTY: boolean, ...parts: string[]): Input {
  const chunks = (async function* () {
    for (const part of parts) yield Buffer.from(part);
  })();
  return Object.assign(chunks, { isTTY });
}

test('standard input without a byte is no value, unless it was asked for', async () => {
  const refused = {
    name: 'TypeError',
    code: 'bad-argument',
    message: /^there is no value: .*; it takes .*''.*--file -/,
  };
  await assert.rejects(readValue(undefined, signal, input(false)), refused);
  await assert.rejects(
    readValue(undefined, signal, input(true), () => {}),
    refused,
  );
  assert.equal((await readValue('-', signal, input(false))).length, 0);
  assert.equal((await readValue(undefined, signal, input(false, 'a', 'b'))).toString(), 'ab');
  assert.equal((await readValue('-', signal, input(false, 'a', 'b'))).toString(), 'ab');
});

test('a file may be empty, and one called - has a way to be named', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'dcache-test-'));
  context.after(() => rm(folder, { recursive: true }));
  const file = join(folder, '-');
  await writeFile(file, '');
  assert.equal((await readValue(file, signal, input(false, 'another'))).length, 0);
  await writeFile(file, 'here');
  assert.equal((await readValue(file, signal, input(false, 'another'))).toString(), 'here');
});

test('a person at a terminal is told that the client waits, and a pipe is not', async () => {
  const told: string[] = [];
  const tell = (text: string): void => void told.push(text);
  await readValue(undefined, signal, input(true, 'x'), tell);
  await readValue('-', signal, input(true, 'x'), tell);
  assert.equal(told.length, 2);
  assert.match(told[0]!, /^dcache-client: .*standard input.*Ctrl-D.*\n$/);
  await readValue(undefined, signal, input(false, 'x'), tell);
  assert.equal(told.length, 2);
});

test('a folder in the place of standard input is refused, and not an empty value', () => {
  const bin = fileURLToPath(new URL('../bin/dcache-client.js', import.meta.url));
  const folder = openSync(tmpdir(), 'r');
  try {
    for (const args of [
      ['set', 'k', '--file', '-'],
      ['--key', 'k'],
    ]) {
      const ended = spawnSync(process.execPath, [bin, ...args, '--addr', '127.0.0.1:1'], {
        stdio: [folder, 'pipe', 'pipe'],
        encoding: 'utf8',
      });
      assert.deepEqual([ended.status, ended.stdout], [2, ''], ended.stderr);
      assert.match(ended.stderr, /^dcache-client: standard input is a folder; it takes a file or a pipe/);
    }
  } finally {
    closeSync(folder);
  }
});
