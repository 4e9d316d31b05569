import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually } from '@dcache/testing';
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { Cluster, http, Node } from './harness.js';

const executablePath = '/usr/bin/chromium';
/** Where screenshots go, for a person to look at; without it none are taken. */
const shots = process.env['PAGE_SCREENSHOTS'];
/** How long the page watches before they are taken, in milliseconds. */
const shotDelayMs = Number(process.env['PAGE_SCREENSHOT_DELAY_MS'] ?? 5_000);

// On a developer's machine the browser may be missing; where everything is checked it may not.
const isMissing = !existsSync(executablePath);
if (isMissing && process.env['DCACHE_CI'])
  throw new Error('chromium is not installed; on Debian: apt-get install chromium');
const skip = isMissing ? `${executablePath} is not there` : false;

const flags = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
];

const screens = [
  ['light', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' }],
  ['dark', { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' }],
  ['phone', { viewport: { width: 375, height: 812 }, colorScheme: 'dark', deviceScaleFactor: 2, isMobile: true }],
] as const;

let cluster: Cluster;
const cleanups: (() => Promise<unknown>)[] = [];

before(async () => {
  if (skip) return;
  cluster = await Cluster.start(3);
  cleanups.push(() => cluster.destroy());
});

after(async () => {
  for (const cleanUp of cleanups.reverse()) await cleanUp();
});

/** A browser of its own for each kind of screen; what the page gets wrong is kept in `faults`. */
async function open(
  options: BrowserContextOptions,
): Promise<{ context: BrowserContext; page: Page; faults: string[] }> {
  const profile = await mkdtemp(join(tmpdir(), 'dcache-page-'));
  const context = await chromium.launchPersistentContext(profile, { executablePath, args: flags, ...options });
  cleanups.push(async () => {
    // What is under way through a route would fail with the browser gone.
    for (const page of context.pages()) await page.unrouteAll({ behavior: 'ignoreErrors' });
    await context.close();
    // Processes of the browser may write into it a moment longer.
    await rm(profile, { recursive: true, force: true, maxRetries: 10 });
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const faults: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    if (new URL(request.url()).hostname !== '127.0.0.1') faults.push(`asked for ${request.url()}`);
  });
  return { context, page, faults };
}

/** Requests to all nodes until it is ended; few enough to leave the machine to the browser. */
function load(): () => Promise<void> {
  let isEnded = false;
  const run = async (): Promise<void> => {
    for (let i = 0; !isEnded; i++) {
      const node = cluster.nodes[i % 3]!;
      const rank = Math.floor(2 ** (((i * 7_919) % 1_000) / 100));
      if ((await node.get(`user:${rank}`)).status === 404 && rank < 900)
        await node.set(`user:${rank}`, 'x'.repeat(200 + rank));
    }
  };
  const running = run();
  return async () => {
    isEnded = true;
    await running;
  };
}

/** Asked from here again and again: the page's own policy forbids to evaluate text inside it. */
function holds(page: Page, expression: string): Promise<unknown> {
  return eventually(expression, () => page.evaluate<boolean>(expression));
}

const text = (page: Page, id: string): Promise<string> => page.locator(`#${id}`).innerText();

test('the page shows members, live rates and the slowest requests, on every node and every screen', {
  skip,
  timeout: 240_000,
}, async (context) => {
  const end = load();
  context.after(end);
  const pages = [];
  for (const [i, [name, options]] of screens.entries()) {
    const { page, faults } = await open(options);
    const node = cluster.nodes[i]!;
    await page.goto(`http://127.0.0.1:${node.rpcPort}${i === 0 ? '/-' : '/-/'}`);
    pages.push({ name, page, faults, node });
  }
  for (const { name, page, faults, node } of pages) {
    await holds(page, `document.getElementById('state').textContent === 'Healthy'`);
    assert.equal(await text(page, 'node'), node.name);
    assert.equal(await page.locator('#members li').count(), 3);
    assert.equal(await page.locator('#members .role.leader').count(), 1);
    assert.equal(await page.locator('#members .dot[data-state="good"]').count(), 3);
    await holds(page, `Number(document.getElementById('ops').textContent) > 0`);
    await holds(page, `/%$/.test(document.getElementById('ratio').textContent)`);
    await holds(page, `document.querySelectorAll('#ops-chart path.line').length === 2`);
    assert.ok((await page.locator('#slow tr').count()) > 1);
    const applied = await text(page, 'applied');
    await holds(page, `document.getElementById('applied').textContent !== ${JSON.stringify(applied)}`);
    const overflow = await page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
    assert.ok((overflow as number) <= 0, `${name}: the page is ${overflow} pixels wider than the screen`);
    const columns = await page.evaluate(
      `new Set([...document.querySelectorAll('.card')].map((card) => card.offsetLeft)).size`,
    );
    assert.equal(columns, name === 'phone' ? 1 : 2, name);
    assert.deepEqual(faults, [], name);
  }
  if (shots) {
    await pages[0]!.page.waitForTimeout(shotDelayMs);
    for (const { name, page } of pages) await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
  }
});

test('it says whose disk is full, and when so many are that nothing can be written', {
  skip,
  timeout: 240_000,
}, async () => {
  for (const [name, options] of screens) {
    const { page, faults } = await open(options);
    let full: readonly number[] = [1];
    let failed: number | undefined;
    await page.route('**/-/overview', async (route) => {
      const answer = await route.fetch();
      const overview = (await answer.json()) as { members: object[] };
      overview.members = overview.members.map((member, i) => ({
        ...member,
        ...(i === failed ? { gossip: 'failed' } : {}),
        isDiskFull: full.includes(i),
      }));
      await route.fulfill({ json: overview });
    });
    await page.goto(`http://127.0.0.1:${cluster.nodes[0]!.rpcPort}/-/`);
    await holds(page, `document.getElementById('state').textContent === '1 disk is full'`);
    assert.equal(await page.locator('#state').getAttribute('data-state'), 'warn');
    assert.equal(await page.locator('#members .full').count(), 1);
    assert.match(await page.locator('#members li').nth(1).innerText(), /disk full/);
    const overflow = await page.evaluate('document.documentElement.scrollWidth - window.innerWidth');
    assert.ok((overflow as number) <= 0, `${name}: the page is ${overflow} pixels wider than the screen`);
    if (shots) await page.screenshot({ path: join(shots, `full-${name}.png`), fullPage: true });
    full = [0, 1];
    await holds(page, `document.getElementById('state').textContent === 'No room for writes'`);
    assert.equal(await page.locator('#state').getAttribute('data-state'), 'bad');
    assert.equal(await page.locator('#members .full').count(), 2);
    if (shots) await page.screenshot({ path: join(shots, `closed-${name}.png`), fullPage: true });
    [full, failed] = [[1], 2];
    await holds(page, `document.querySelectorAll('#members .full').length === 1`);
    assert.equal(await text(page, 'state'), 'No room for writes', 'one that cannot be heard has no room to give');
    [full, failed] = [[], undefined];
    await holds(page, `document.getElementById('state').textContent === 'Healthy'`);
    assert.equal(await page.locator('#members .full').count(), 0);
    assert.deepEqual(faults, [], name);
  }
});

test('the hit ratio says of what time it is, and of a member that is gone nothing says that it is up to date', {
  skip,
  timeout: 120_000,
}, async () => {
  const { page, faults } = await open({ viewport: { width: 1280, height: 900 } });
  const seen = { hits: 0, misses: 0, gossip: 'alive', lagEntries: 0 };
  await page.clock.install();
  await page.route('**/-/overview', async (route) => {
    const answer = await route.fetch();
    const overview = (await answer.json()) as { members: object[]; status: object };
    const { hits, misses, gossip, lagEntries } = seen;
    const [first, second, ...rest] = overview.members as [object, object];
    const members = [{ ...first, isLeader: true }, { ...second, isLeader: false, gossip, lagEntries }, ...rest];
    await route.fulfill({ json: { ...overview, members, hits, misses } });
  });
  await page.goto(`http://127.0.0.1:${cluster.nodes[0]!.rpcPort}/-/`);
  const ratio = (share: string, note: string) =>
    holds(
      page,
      `document.getElementById('ratio').textContent === '${share}' && document.getElementById('ratio-note').textContent === '${note}'`,
    );
  await ratio('–', 'no reads yet');
  const lag = page.locator('#members li').nth(1).locator('.lag');
  assert.equal(await lag.innerText(), 'up to date');
  Object.assign(seen, { gossip: 'failed' });
  await holds(page, `document.querySelectorAll('#members .dot[data-state="bad"]').length === 1`);
  assert.equal(await lag.count(), 0);
  Object.assign(seen, { lagEntries: 5 });
  await holds(page, `document.querySelectorAll('#members li')[1].textContent.includes('5 behind')`);

  Object.assign(seen, { hits: 30, misses: 10 });
  await page.reload();
  await ratio('75%', 'since the node started');
  Object.assign(seen, { hits: 40 });
  await ratio('100%', 'since this page was opened');
  await page.clock.fastForward(120_000);
  await ratio('80%', 'since the node started');
  Object.assign(seen, { misses: 20 });
  await ratio('0%', 'last minute');
  assert.deepEqual(faults, []);
});

test('a key that is markup is shown as text', { skip, timeout: 120_000 }, async () => {
  const { page, faults } = await open({ viewport: { width: 1280, height: 900 } });
  const node = cluster.nodes[0]!;
  const key = '<img src=x onerror=alert(1)>';
  await page.goto(`http://127.0.0.1:${node.rpcPort}/-/`);
  await page.route('**/-/overview', async (route) => {
    const answer = await route.fetch();
    const overview = (await answer.json()) as { slowest: object[] };
    overview.slowest = [{ protocol: 'http', verb: 'get', key, ms: 120_000, atMs: Date.now() }];
    await route.fulfill({ json: overview });
  });
  await holds(page, `document.querySelector('#slow td:nth-child(2)')?.textContent.startsWith('<img')`);
  assert.equal(await page.locator('#slow img').count(), 0);
  assert.deepEqual(faults, []);
});

test('when its node is gone the page says so, and it comes back with it', { skip, timeout: 180_000 }, async () => {
  const { page } = await open({ viewport: { width: 1280, height: 900 } });
  const node = cluster.nodes[2]!;
  await page.goto(`http://127.0.0.1:${node.rpcPort}/-/`);
  await holds(page, `document.getElementById('state').textContent === 'Healthy'`);
  const other = await open({ viewport: { width: 1280, height: 900 } });
  await other.page.goto(`http://127.0.0.1:${cluster.nodes[0]!.rpcPort}/-/`);
  await node.kill();
  await holds(page, `document.getElementById('state').textContent === 'No answer'`);
  assert.equal(await page.locator('#notice').isVisible(), true);
  await holds(other.page, `document.querySelectorAll('#members .dot[data-state="bad"]').length === 1`);
  if (shots) await other.page.screenshot({ path: join(shots, 'failed.png'), fullPage: true });
  if (shots) await page.screenshot({ path: join(shots, 'gone.png'), fullPage: true });
  node.start('--join', cluster.nodes[0]!.serfAddress);
  await eventually('it is ready', async () => (await node.status()).isReady);
  await holds(page, `document.getElementById('state').textContent !== 'No answer'`);
  assert.equal(await page.locator('#notice').isVisible(), false);
});

test('a node that asks for a token is locked until a right one is given, and stays open when it is read again', {
  skip,
  timeout: 120_000,
}, async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'dcache-page-token-'));
  const file = join(folder, 'tokens');
  await writeFile(file, 'may-read-and-write-1\nread may-only-read-key-2\n');
  const node = (await Node.create('locked', ['--auth-token-file', file])).start('--bootstrap');
  context.after(async () => {
    await node.kill();
    await rm(folder, { recursive: true });
  });
  await eventually('it is ready', async () => (await http(node.rpcPort, 'GET', '/-/ready')).status === 200);
  const { page } = await open({ viewport: { width: 375, height: 812 } });
  await page.goto(`http://127.0.0.1:${node.rpcPort}/-/`);
  const state = (text: string) => holds(page, `document.getElementById('state').textContent === '${text}'`);
  const enter = async (token: string): Promise<void> => {
    await page.fill('#token', token);
    await page.click('#login button');
  };
  await state('Locked');
  assert.equal(await page.locator('#login').isVisible(), true);
  assert.equal(await page.locator('#main').isVisible(), false, 'nothing is shown without a token');
  if (shots) await page.screenshot({ path: join(shots, 'locked.png') });
  const headers = { authorization: 'Bearer may-only-read-key-2' };
  const overview = async (): Promise<{ errors: number; uptimeSeconds: number }> =>
    JSON.parse((await http(node.rpcPort, 'GET', '/-/overview', { headers })).text);
  /** Three times as long as the page leaves between two looks. */
  const pass = async (): Promise<number> => {
    const before = (await overview()).uptimeSeconds;
    await eventually('time has passed', async () => (await overview()).uptimeSeconds > before + 3);
    return (await overview()).errors;
  };
  assert.equal(await pass(), 0, 'to open it is no error');
  await enter('this-is-no-token-at-all');
  await state('Token refused');
  assert.equal(await pass(), 1, 'a wrong token is, once');
  assert.equal(await page.locator('#main').isVisible(), false);
  await enter('may-only-read-key-2');
  await state('Healthy');
  assert.equal(await page.locator('#login').isVisible(), false);
  assert.equal(await page.locator('#main').isVisible(), true);
  assert.equal(await page.inputValue('#token'), '', 'the token does not stay in the field');
  await page.reload();
  await state('Healthy');
  assert.ok(!page.url().includes('may-only-read'), 'nor does it get into the address');
});
