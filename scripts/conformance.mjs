// Runs etcd's data-driven Raft scripts against the core: `npm run conformance -- DIR` runs every script below DIR,
// by default the ones that lie beside this repository. One line a script, what differs, and a count at the end.
// Exits 1 if a script fails, 2 if there is nothing to run.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const built = join(root, 'packages', 'raft', 'dist', 'conformance', 'run.js');
if (!existsSync(built)) {
  console.error('packages/raft is not built; run npm run build');
  process.exit(2);
}
const { runScripts, differenceText } = await import(built);

const given = process.argv[2] ?? process.env.CONFORMANCE_DIR;
let folder = given === undefined ? join(root, '..', 'shared', 'conformance') : resolve(given);
if (existsSync(join(folder, 'etcd-raft'))) folder = join(folder, 'etcd-raft');
if (!existsSync(folder)) {
  console.error(`there is no ${folder}; give the folder of the scripts as an argument`);
  process.exit(2);
}

let failed = 0;
const results = runScripts(folder);
for (const { file, commands, mismatch } of results) {
  if (mismatch === undefined) {
    console.log(`ok   ${file} (${commands} commands)`);
    continue;
  }
  failed++;
  console.log(`FAIL ${file}:${mismatch.line} ${mismatch.command}`);
  console.log(differenceText(mismatch));
}
console.log(`${results.length - failed} passed, ${failed} failed`);
if (results.length === 0) console.error(`no scripts below ${folder}`);
process.exitCode = results.length === 0 ? 2 : failed > 0 ? 1 : 0;
