import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concatBytes } from '@dcache/base';
import fc from 'fast-check';
import { readSnapshotStream, writeSnapshotStream } from './snapshot-stream.js';

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

async function read(stream: AsyncIterable<Uint8Array>): Promise<{ header: number[]; rest: number[] }> {
  const header: number[] = [];
  const rest: number[] = [];
  await readSnapshotStream(
    stream,
    (bytes) => header.push(...bytes),
    (bytes) => rest.push(...bytes),
  );
  return { header, rest };
}

test('header and rest come back however the stream is cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array(),
      fc.array(fc.uint8Array({ maxLength: 30 })),
      fc.integer({ min: 1, max: 40 }),
      async (header, parts, size) => {
        const stream = concatBytes([...writeSnapshotStream(header, parts)]);
        assert.deepEqual(await read(cut(stream, size)), { header: [...header], rest: [...concatBytes(parts)] });
      },
    ),
  );
});

test('a stream that ends inside its header, or claims too long a one, is an error', async () => {
  const stream = concatBytes([...writeSnapshotStream(new Uint8Array(5), [])]);
  await assert.rejects(read(cut(stream.subarray(0, 7), 3)), /inside its header, after 7 bytes/);
  await assert.rejects(read(cut(new Uint8Array(), 3)), /after 0 bytes/);
  await assert.rejects(read(cut(new Uint8Array([255, 255, 255, 255]), 4)), /at most/);
});
