// Makes packages/protocol/src/gen from packages/protocol/proto. Needs `protoc` (Debian: protobuf-compiler).
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const source = join(root, 'packages/protocol/proto');
const target = join(root, 'packages/protocol/src/gen');
rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
const run = spawnSync(
  'protoc',
  [
    `-I${source}`,
    `--plugin=${join(root, 'node_modules/.bin/protoc-gen-es')}`,
    `--es_out=${target}`,
    '--es_opt=target=ts,import_extension=js,erasable_syntax=true',
    ...readdirSync(source, { recursive: true })
      .map(String)
      .filter((file) => file.endsWith('.proto')),
  ],
  { stdio: 'inherit' },
);
if (run.error) console.error(`protoc could not be started: ${run.error.message}; Debian has it as protobuf-compiler`);
process.exit(run.status ?? 1);
