import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { promisify } from 'node:util';

test('the example of the README runs', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  assert.ok(example !== undefined, 'the README has no example');
  const index = new URL('./index.js', import.meta.url).href;
  const script = example.replace(`'@dcache/serf'`, JSON.stringify(index));
  assert.notEqual(script, example);
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  const lines = stdout.trim().split('\n');
  assert.deepEqual(lines.slice().sort(), [
    'other alive {}',
    'other joins',
    "seed alive { role: 'db' }",
    'seed joins',
    'seed since today',
  ]);
});
