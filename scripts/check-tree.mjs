// What the linter cannot say about the tree: which package may import which, no deep imports, and pure cores that
// draw no randomness of their own. Exits 1 and names each line that breaks a rule.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** The arrows of ARCHITECTURE.md: package -> the workspace packages it may import. */
const arrows = {
  base: [],
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
  sim: ['@dcache/base', '@dcache/raft', '@dcache/serf', '@dcache/store', '@dcache/protocol', 'bcache', 'dcache'],
};
const ours = new Set([...Object.values(arrows).flat(), '@dcache/client']);
const faults = [];

for (const [name, allowed] of Object.entries(arrows)) {
  const source = join(root, 'packages', name, 'src');
  if (!existsSync(source)) continue;
  for (const file of readdirSync(source, { recursive: true }).map(String)) {
    if (!file.endsWith('.ts')) continue;
    const path = join(source, file);
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
          else if (ours.has(owner) && !allowed.includes(owner))
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
