import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, freePort } from '@dcache/testing';
import { http, Node, run } from './harness.js';

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

test('of the headers that the README says are not looked at, none changes what a request does', async () => {
  const node = (await Node.create('headers')).start('--bootstrap');
  const write = (body: string, headers: Record<string, string>) =>
    http(node.rpcPort, 'PUT', '/k', { body, headers }).then(({ status }) => status);
  const past = 'Sun, 06 Nov 1994 08:49:37 GMT';
  try {
    await eventually('it is ready', async () => (await http(node.rpcPort, 'GET', '/-/ready')).status === 200);
    assert.equal(await write('first value', { 'if-unmodified-since': past }), 200);
    assert.equal(await write('value', { 'content-range': 'bytes 0-4/11', 'content-encoding': 'gzip' }), 200);
    const read = await http(node.rpcPort, 'GET', '/k', {
      headers: { range: 'bytes=0-1', 'if-modified-since': new Date(Date.now() + 86_400_000).toUTCString() },
    });
    assert.deepEqual([read.status, read.text, read.headers['content-encoding']], [200, 'value', undefined]);
  } finally {
    await node.kill();
  }
});
