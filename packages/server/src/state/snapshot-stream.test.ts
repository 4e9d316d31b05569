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
  await assert.rejects(read(cut(new Uint8Array(8).fill(255), 4)), /at most/);
});

test('a header that was changed on its way is an error, and is not given to anybody', async () => {
  const stream = concatBytes([...writeSnapshotStream(Uint8Array.of(1, 2, 3, 4, 5), [Uint8Array.of(9)])]);
  for (let at = 4; at < 13; at++) {
    const changed = stream.slice();
    changed[at] = changed[at]! ^ 1;
    const seen: Uint8Array[] = [];
    await assert.rejects(
      readSnapshotStream(
        cut(changed, 3),
        (header) => void seen.push(header),
        () => assert.fail('the rest was given before the header was checked'),
      ),
      /checksum/,
    );
    assert.equal(seen.length, 0);
  }
});
