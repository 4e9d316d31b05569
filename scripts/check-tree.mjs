// What the linter cannot say about the tree: which package may import which, no deep imports, no test helpers in what is
// published, and pure cores that draw no randomness of their own. Exits 1 and names each line that breaks a rule.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** The arrows of ARCHITECTURE.md: package -> the workspace packages it may import. */
const arrows = {
  base: [],
  testing: ['@dcache/base'],
  raft: ['@dcache/base'],
  serf: ['@dcache/base'],
  store: ['@dcache/base'],
  mux: ['@dcache/base'],
  grpc: ['@dcache/base'],
  protocol: ['@dcache/base'],
  server: [
    '@dcache/base',
    '@dcache/raft',
    '@dcache/serf',
    '@dcache/store',
    '@dcache/mux',
    '@dcache/grpc',
    '@dcache/protocol',
  ],
  client: ['@dcache/base', '@dcache/protocol'],
  bcache: ['@dcache/base', '@dcache/serf'],
  sim: ['@dcache/base', '@dcache/raft', '@dcache/store', '@dcache/protocol', 'bcache', 'dcache'],
};
/** What tests share; every package's tests may import it, and nothing else may. */
const helpers = '@dcache/testing';
const ours = new Set([...Object.values(arrows).flat(), '@dcache/client', helpers]);
const faults = [];

/** The folders of a package's `src` that its `files` keep out of what is published: "!dist/interop" is src/interop. */
function unpublished({ files = [] }) {
  return files.map((pattern) => /^!dist\/([\w-]+)$/.exec(pattern)?.[1]).filter((folder) => folder !== undefined);
}

for (const name of readdirSync(join(root, 'packages')))
  if (arrows[name] === undefined && existsSync(join(root, 'packages', name, 'package.json')))
    faults.push(`packages/${name} has no arrows: draw it in ARCHITECTURE.md and in scripts/check-tree.mjs`);

for (const [name, allowed] of Object.entries(arrows)) {
  const source = join(root, 'packages', name, 'src');
  if (!existsSync(source)) continue;
  const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8'));
  if (helpers in (manifest.dependencies ?? {}))
    faults.push(`packages/${name}/package.json needs ${helpers} to run: it belongs among the devDependencies`);
  const forTests = unpublished(manifest);
  for (const file of readdirSync(source, { recursive: true }).map(String)) {
    if (!file.endsWith('.ts')) continue;
    const path = join(source, file);
    const isForTests = file.includes('.test.') || forTests.includes(file.split(sep)[0]);
    const place = relative(root, path);
    readFileSync(path, 'utf8')
      .split('\n')
      .forEach((line, at) => {
        const from = /^\s*(?:import|export)\b.*\bfrom '([^']+)'|^} from '([^']+)'|\bimport\('([^']+)'\)/.exec(line);
        const target = from?.[1] ?? from?.[2] ?? from?.[3];
        if (target !== undefined && !target.startsWith('.')) {
          const owner = target.startsWith('@') ? target.split('/').slice(0, 2).join('/') : target.split('/')[0];
          if (ours.has(owner) && target !== owner)
            faults.push(`${place}:${at + 1} imports ${target}: only a package's index may be imported`);
          else if (owner === helpers) {
            if (!isForTests) faults.push(`${place}:${at + 1} imports ${helpers}: only tests may`);
          } else if (ours.has(owner) && !allowed.includes(owner))
            faults.push(
              `${place}:${at + 1} imports ${owner}: packages/${name} may import ${allowed.join(', ') || 'nothing'}`,
            );
        }
        if (file.startsWith('core/') && !file.endsWith('.test.ts') && line.includes('Math.random'))
          faults.push(`${place}:${at + 1} uses Math.random: a core is given its randomness`);
      });
  }
}

for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exit(1);
console.log('the tree is as ARCHITECTURE.md draws it');
