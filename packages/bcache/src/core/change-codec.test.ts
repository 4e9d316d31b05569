import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteReader, ByteWriter } from '@dcache/base';
import { type Change, ChangeKind } from './change.js';
import { type Run, readChange, writeChange } from './change-codec.js';

test('names travel character for character, with a byte order mark at their beginning too', () => {
  const names = [
    '',
    'user:1',
    '\ufeff',
    '\ufeffuser:1',
    'x'.repeat(100),
    `\ufeff${'x'.repeat(100)}`,
    'é\u{1f600}\ufffd',
  ];
  const changes = names.map(
    (name, i): Change => ({
      kind: ChangeKind.set,
      space: name,
      key: name,
      stamp: i + 1,
      dot: i + 1,
      origin: 'a/1',
      expiresAtMs: 0,
      graceMs: 0,
      tags: [name, 'other'],
      value: new Uint8Array([i]),
    }),
  );
  const writer = new ByteWriter();
  const run = (): Run => ({ dot: 0, space: undefined });
  const writing = run();
  for (const change of changes) writeChange(writer, writing, change);
  const reader = new ByteReader(writer.copy());
  const reading = run();
  for (const change of changes) assert.deepEqual(readChange(reader, reading, 'a/1'), change);
  reader.end();
});
