import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HeaderDecoder } from './core/header-decoder.js';
import { HeaderEncoder } from './core/header-encoder.js';

interface Story {
  readonly cases: readonly {
    readonly wire: string;
    readonly headers: readonly Readonly<Record<string, string>>[];
    readonly header_table_size?: number;
  }[];
}

// dist -> packages/grpc -> the repository
const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = join(process.env['CONFORMANCE_DIR'] ?? join(root, '..', 'shared', 'conformance'), 'hpack');
const skip = existsSync(folder) ? false : `${folder} is not there; set CONFORMANCE_DIR`;
const encoders = skip === false ? readdirSync(folder, { withFileTypes: true }).filter((one) => one.isDirectory()) : [];

/** Bytes of the decoder's table: what HTTP/2 begins with, and the most that the recorded encoders use. */
const tableBytes = 4_096;

function storiesOf(encoder: string): Map<string, Story> {
  const names = readdirSync(join(folder, encoder)).filter((name) => name.endsWith('.json'));
  return new Map(names.map((name) => [name, JSON.parse(readFileSync(join(folder, encoder, name), 'utf8')) as Story]));
}

const listOf = (headers: readonly Readonly<Record<string, string>>[]): string[] =>
  headers.flatMap((header) => Object.entries(header).flat());

test('recorded header blocks of other encoders are there to be read', { skip }, () => {
  assert.ok(encoders.length >= 4, `${encoders.length} encoders in ${folder}`);
});

for (const { name: encoder } of encoders)
  test(`every header block that ${encoder} wrote is read as it was meant, one table a story`, () => {
    let blocks = 0;
    for (const [name, { cases }] of storiesOf(encoder)) {
      const decoder = new HeaderDecoder(tableBytes, 1_048_576);
      for (const [at, { wire, headers, header_table_size: size = 0 }] of cases.entries()) {
        assert.ok(size <= tableBytes, `${encoder}/${name} case ${at} asks for a table of ${size} bytes`);
        const block = Buffer.from(wire, 'hex');
        assert.deepEqual(decoder.decode(block, 0, block.length), listOf(headers), `${encoder}/${name} case ${at}`);
        blocks++;
      }
    }
    assert.ok(blocks > 100, `${blocks} blocks`);
  });

test('the recorded header lists are written so that they are read back, with a table and without', { skip }, () => {
  for (const limit of [tableBytes, 0]) {
    const encoder = new HeaderEncoder();
    encoder.setTableLimit(limit);
    const decoder = new HeaderDecoder(tableBytes, 1_048_576);
    for (const { cases } of storiesOf('nghttp2').values())
      for (const { headers } of cases) {
        const others = listOf(headers);
        const block: number[] = [];
        encoder.encode(block, 0, [], others);
        assert.deepEqual(decoder.decode(Uint8Array.from(block), 0, block.length), others);
      }
  }
});
