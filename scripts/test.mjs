// Runs the compiled tests: `npm test`, or `npm test -- raft serf` for some packages, `-- integration` for the
// whole-system ones. The list is made from the sources, because `tsc -b` leaves the output of deleted files behind
// and because `node --test` takes folders in Node 20 and globs in later versions; explicit files work in all.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('-'));
const passedOn = process.argv.slice(2).filter((arg) => arg.startsWith('-'));

/** Every `*.test.ts` below `dir`, relative to it. */
function testsBelow(dir) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.test.ts') && !file.includes('node_modules') && !file.startsWith('dist'))
    .sort();
}

const suites = [
  ...readdirSync(join(root, 'packages')).map((name) => ({
    name,
    source: join(root, 'packages', name, 'src'),
    built: join(root, 'packages', name, 'dist'),
  })),
  { name: 'integration', source: join(root, 'test'), built: join(root, 'test', 'dist') },
];

const unknown = wanted.filter((name) => !suites.some((suite) => suite.name === name));
if (unknown.length > 0) {
  console.error(`no package called ${unknown.join(', ')}; there are: ${suites.map((suite) => suite.name).join(', ')}`);
  process.exit(2);
}

const files = suites
  .filter((suite) => wanted.length === 0 || wanted.includes(suite.name))
  .flatMap((suite) => testsBelow(suite.source).map((file) => join(suite.built, file.replace(/\.ts$/, '.js'))));
const missing = files.filter((file) => !existsSync(file));
if (missing.length > 0) {
  console.error(`not built: ${missing.map((file) => relative(root, file)).join(', ')}; run npm run build`);
  process.exit(2);
}
if (files.length === 0) {
  console.error('no tests found');
  process.exit(2);
}

const child = spawn(
  process.execPath,
  ['--enable-source-maps', '--test', '--test-concurrency=2', ...passedOn, ...files.map((file) => relative(root, file))],
  { cwd: root, stdio: 'inherit' },
);
child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
