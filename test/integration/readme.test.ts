import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '@dcache/testing';
import { run } from './harness.js';

test('the example of bcache in the README runs as it stands, while its peer is not there', async () => {
  const text = await readFile(new URL('../../../README.md', import.meta.url), 'utf8');
  const example = /```js\n(import \{ createCache \}[\s\S]*?)```/.exec(text)?.[1] ?? '';
  assert.ok(example.includes("'127.0.0.1:12345'") && example.includes("'127.0.0.1:12346'"));
  const file = fileURLToPath(new URL(`./readme-bcache-${process.pid}.mjs`, import.meta.url));
  await writeFile(
    file,
    example
      .replace('127.0.0.1:12345', `127.0.0.1:${await freePort()}`)
      .replace('127.0.0.1:12346', `127.0.0.1:${await freePort()}`),
  );
  try {
    const { code, stdout } = await run(process.execPath, [file]);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: "{ name: 'Ada' }\na slow report\n" });
  } finally {
    await rm(file);
  }
});
