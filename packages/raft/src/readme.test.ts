import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

test('the example of the README runs and prints what it says', async () => {
  const readme = await readFile(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8');
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1];
  assert.ok(example !== undefined);
  assert.ok(example.trimEnd().split('\n').length <= 40, 'it has the 40 lines that its title says');
  // Beside the compiled package, where its name is known.
  const file = fileURLToPath(new URL(`./readme-example-${process.pid}.test.mjs`, import.meta.url));
  await writeFile(file, example);
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 30_000 });
    assert.equal(stdout, '[ 40, 42 ]\n42\n');
  } finally {
    await rm(file);
  }
});
