// bcache's adapter for Next.js against Next.js itself: an app of one cached page is built and served by two servers whose
// caches find each other. What one rendered both must serve, and a tag revalidated on one must make both render anew.
// Next.js is 370 MB, so it is no dependency: this installs it into a temporary folder. Ends with `N passed, M failed`.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, freePort } from '@dcache/testing';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = mkdtempSync(join(tmpdir(), 'bcache-next-'));
const servers = [];

const files = {
  'package.json': '{ "name": "app", "private": true, "type": "module" }',
  'next.config.mjs': `import { createRequire } from 'node:module';
const { resolve } = createRequire(import.meta.url);
export default { cacheComponents: true, cacheHandlers: { default: resolve('./cache-handler.mjs') }, cacheMaxMemorySize: 0 };`,
  'cache-handler.mjs': `import { createCache } from 'bcache';
import { nextCacheHandler } from 'bcache/next';
const { BCACHE_LISTEN: listen = '127.0.0.1:0', BCACHE_PEER: peer } = process.env;
const cache = await createCache({ listen, peers: peer ? [peer] : [], maxBytes: '64mb' });
export default nextCacheHandler(cache.namespace('next'));`,
  'app/layout.jsx': 'export default function Root({ children }) { return <html><body>{children}</body></html>; }',
  'app/page.jsx': `import { Suspense } from 'react';
import { connection } from 'next/server';
import { cacheLife, cacheTag } from 'next/cache';
async function render() { 'use cache'; cacheTag('time'); cacheLife('hours'); return 'by-' + process.pid + '-at-' + Date.now(); }
async function Rendered() { await connection(); return <p>{await render()}</p>; }
export default function Page() { return <Suspense fallback={<p>wait</p>}><Rendered /></Suspense>; }`,
  'app/again/route.js': `import { revalidateTag } from 'next/cache';
export async function GET() { revalidateTag('time', { expire: 0 }); return new Response('ok'); }`,
};

let failed = 0;
try {
  build();
  await check();
} finally {
  for (const server of servers) server.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed > 0 ? 1 : 0);

function build() {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const packages = ['base', 'serf', 'bcache'].flatMap((name) => ['-w', `packages/${name}`]);
  run('npm', ['pack', '--silent', ...packages, '--pack-destination', folder], root);
  const packs = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  const versions = ['next@16', 'react@19', 'react-dom@19'];
  run('npm', ['install', '--no-audit', '--no-fund', ...versions, ...packs.map((name) => `./${name}`)], folder);
  run('npx', ['next', 'build'], folder);
}

async function check() {
  const first = await start();
  const other = await start(first.address);
  const rendered = await page(first);
  say('a second request is served what the first one rendered', (await page(first)) === rendered);
  await eventually('the caches find each other', async () => (await page(other)) === rendered).then(
    () => say('what one server rendered, the other serves', true),
    () => say('what one server rendered, the other serves', false),
  );
  await fetch(`http://127.0.0.1:${first.port}/again`);
  const again = await eventually('somebody renders anew', async () => {
    const now = await page(other);
    return now === rendered ? undefined : now;
  }).catch(() => undefined);
  say('a tag revalidated on one makes the other render anew', again !== undefined);
  const alike = await eventually('they are alike', async () => (await page(first)) === again).catch(() => false);
  say('and both serve that', alike);
  console.log(`${4 - failed} passed, ${failed} failed`);
}

async function start(peer = '') {
  const port = await freePort();
  const address = `127.0.0.1:${await freePort()}`;
  const bin = join(folder, 'node_modules/next/dist/bin/next');
  const env = { ...process.env, BCACHE_LISTEN: address, BCACHE_PEER: peer, NEXT_TELEMETRY_DISABLED: '1' };
  const args = [bin, 'start', '--hostname', '127.0.0.1', '--port', String(port)];
  servers.push(spawn(process.execPath, args, { cwd: folder, env, stdio: ['ignore', 'ignore', 'inherit'] }));
  const server = { port, address };
  await eventually('Next.js answers', () => page(server));
  return server;
}

async function page({ port }) {
  const text = await (await fetch(`http://127.0.0.1:${port}/`)).text();
  return /by-\d+-at-\d+/.exec(text)?.[0];
}

function say(what, isRight) {
  if (!isRight) failed++;
  console.log(`${isRight ? 'pass' : 'FAIL'}  ${what}`);
}

function run(command, args, cwd) {
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1' };
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`);
}
