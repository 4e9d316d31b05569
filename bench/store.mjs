// Measures @dcache/store, each number beside its yardstick from the same run on the same machine:
//
//   node bench/store.mjs [speed] [overhead] [rss] [pause]     (all four by default; a minute each on a quiet machine)
//
// Every measurement runs in a process of its own, so that none inherits another's heap.
import { spawnSync } from 'node:child_process';
import { existsSync, openSync, readSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { LRUCache } from 'lru-cache';
import { ENTRY_OVERHEAD_BYTES, Store } from '../packages/store/dist/index.js';

const KEY_BYTES = 16;
const key = new Uint8Array(KEY_BYTES).fill(0x6b);
const keyWords = new Uint32Array(key.buffer);
let random = 0x9e3779b9;

/** A 32-bit xorshift: fast, and the same in each run. */
function draw(bound) {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  return (random >>> 0) % bound;
}

const schedule = `/proc/self/task/${process.pid}/schedstat`;
const scheduleFile = existsSync(schedule) ? openSync(schedule) : undefined;
const scheduleText = Buffer.alloc(64);

/**
 * Milliseconds that this thread spent on a processor, which other processes do not lengthen; where the system does not
 * say (only Linux does), time as it passes.
 */
function threadMs() {
  if (scheduleFile === undefined) return performance.now();
  const length = readSync(scheduleFile, scheduleText, 0, 64, 0);
  return Number.parseInt(scheduleText.latin1Slice(0, length), 10) / 1e6;
}

/** The scratch key of a number; valid until the next call. */
function keyOf(number) {
  keyWords[0] = number;
  keyWords[1] = number * 2654435761;
  return key;
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

/** Million calls a second of the thread's time: the best of three rounds of `count` calls. */
function rate(count, run) {
  let best = 0;
  for (let round = 0; round < 3; round++) {
    const start = threadMs();
    for (let i = 0; i < count; i++) run(i);
    best = Math.max(best, count / (threadMs() - start) / 1000);
  }
  return best;
}

function row(...cells) {
  console.log(cells.map((cell, i) => (i === 0 ? String(cell).padEnd(36) : String(cell).padStart(17))).join(''));
}

const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** A million entries of 100 bytes, then reads, overwrites, and deletes with re-insertion, of one contender. */
function speed(kind) {
  const entries = 1_000_000;
  const count = 200_000;
  const value = new Uint8Array(100).fill(7);
  const target = new Uint8Array(128);
  const names = kind === 'Map' || kind === 'lru-cache' ? new Array(entries) : [];
  for (let i = 0; i < names.length; i++) names[i] = Buffer.from(keyOf(i)).toString('latin1');
  const makeName = (i) => Buffer.from(keyOf(i)).latin1Slice(0, KEY_BYTES);
  const store = new Store();
  const map = kind === 'lru-cache' ? new LRUCache({ max: entries + 1 }) : new Map();
  let revision = 0;
  const ofMap = (nameOf) => ({
    set: (i) => map.set(nameOf(i), value.slice()),
    get: (i) => target.set(map.get(nameOf(i))),
    remove: (i) => map.delete(nameOf(i)),
  });
  const ofStore = (expiresAtMs) => ({
    set: (i) => store.set(keyOf(i), value, { revision: ++revision, expiresAtMs: expiresAtMs() }),
    get: (i) => store.getInto(keyOf(i), target),
    remove: (i) => store.delete(keyOf(i)),
  });
  const { set, get, remove } = {
    store: () => ofStore(() => 0),
    'store, expiring': () => ofStore(() => 1e12 + (revision >> 5) + 60_000),
    Map: () => ofMap((i) => names[i]),
    'Map, keys made': () => ofMap(makeName),
    'lru-cache': () => ofMap((i) => names[i]),
  }[kind]();
  for (let i = 0; i < 2000; i++) set(i);
  const start = threadMs();
  for (let i = 0; i < entries; i++) set(i);
  const filled = entries / (threadMs() - start) / 1000;
  const results = {
    'set, new': filled,
    'set, over another': rate(count, () => set(draw(entries))),
    'get into a buffer': rate(count, () => get(draw(entries))),
    'delete, then set': rate(count, () => {
      const i = draw(entries);
      remove(i);
      set(i);
    }),
  };
  console.log(JSON.stringify(results));
}

function printSpeeds(run) {
  console.log(
    '\nMillion operations a second of the main thread, a million entries of 16 + 100 bytes (median of three processes each)',
  );
  console.log('"keys made": the Map gets its string from the bytes of a request, as a server must; for the other');
  console.log('Map and for lru-cache all strings are ready before the clock starts\n');
  const kinds = ['store', 'store, expiring', 'Map', 'Map, keys made', 'lru-cache'];
  const results = Object.fromEntries(kinds.map((kind) => [kind, []]));
  for (let round = 0; round < 3; round++) for (const kind of kinds) results[kind].push(JSON.parse(run('speed', kind)));
  row('', ...kinds);
  for (const operation of Object.keys(results.store[0]))
    row(operation, ...kinds.map((kind) => median(results[kind].map((result) => result[operation])).toFixed(2)));
}

/** Bytes beyond key and value, at every tenth of a growth from one to two million entries: the worst counts. */
function overhead() {
  const value = new Uint8Array(100);
  for (const [name, ttlMs] of [
    ['without expiry', 0],
    ['with expiry', 1e9],
  ]) {
    const store = new Store({ maxBytes: 2 ** 34 });
    const seen = [];
    for (let i = 1; i <= 2_000_000; i++) {
      store.set(keyOf(i), value, { revision: i, expiresAtMs: ttlMs });
      if (i >= 1_000_000 && i % 50_000 === 0) seen.push(store.stats().allocatedBytes / i - KEY_BYTES - value.length);
    }
    const worst = Math.max(...seen);
    console.log(`\nBytes an entry beyond key and value, ${name}, over a growth from 1 to 2 million entries`);
    row('store: median / worst', median(seen).toFixed(1), worst.toFixed(1), '(target 40)');
  }
}

function overheadOfMap() {
  const before = process.memoryUsage();
  const map = new Map();
  for (let i = 0; i < 1_000_000; i++) map.set(Buffer.from(keyOf(i)).toString('latin1'), new Uint8Array(100));
  gc();
  const after = process.memoryUsage();
  const bytes = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
  row('Map of strings to Uint8Array', (bytes / map.size - KEY_BYTES - 100).toFixed(1));
}

/** Resident memory after every value was written four times with lengths from 10 bytes to 10 KB. */
function rss() {
  const entries = 150_000;
  const values = new Uint8Array(10_240).fill(3);
  const write = (set) => {
    for (let pass = 0; pass < 4; pass++)
      for (let i = 0; i < entries; i++) set(pass === 0 ? i : draw(entries), values.subarray(0, 10 + draw(10_231)));
  };
  const store = new Store({ maxBytes: 2 ** 34 });
  let revision = 0;
  write((i, value) => store.set(keyOf(i), value, { revision: ++revision }));
  const stats = store.stats();
  const live = stats.liveBytes - stats.entries * ENTRY_OVERHEAD_BYTES;
  const resident = process.memoryUsage.rss();
  console.log(`\nResident memory after ${entries} entries were written four times, 10 B to 10 KB each`);
  row('store: live / allocated / resident', megabytes(live), megabytes(stats.allocatedBytes), megabytes(resident));
  row('resident / live', (resident / live).toFixed(2), '(target 1.5)');
}

function rssOfMap() {
  const entries = 150_000;
  const values = new Uint8Array(10_240).fill(3);
  const map = new Map();
  for (let pass = 0; pass < 4; pass++)
    for (let i = 0; i < entries; i++)
      map.set(
        Buffer.from(keyOf(pass === 0 ? i : draw(entries))).toString('latin1'),
        values.slice(0, 10 + draw(10_231)),
      );
  let live = 0;
  for (const [name, value] of map) live += name.length + value.length;
  const resident = process.memoryUsage.rss();
  row('Map: live / resident / ratio', megabytes(live), megabytes(resident), (resident / live).toFixed(2));
}

/**
 * The longest delay of the event loop, and the longest cycle of the loop in the time of the thread: with `work` about
 * every millisecond, and with whatever the collector does in between.
 */
async function delays(seconds, work) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const end = performance.now() + seconds * 1000;
  let cycle = 0;
  let last = threadMs();
  while (performance.now() < end) {
    work();
    await new Promise((resolve) => setTimeout(resolve, 1));
    const now = threadMs();
    cycle = Math.max(cycle, now - last);
    last = now;
  }
  histogram.disable();
  return { longest: histogram.max / 1e6, p999: histogram.percentile(99.9) / 1e6, cycle };
}

/**
 * Some 20,000 writes a second, half of new keys and half over present ones, a third of them expiring: first while the
 * store grows from 1.6 million entries on, then at two million with an eviction for each new one.
 */
async function pause(kind) {
  const value = new Uint8Array(100);
  const start = 1_600_000;
  const most = 2_000_000;
  let set = () => {};
  let isFull = () => true;
  let revision = 0;
  if (kind === 'store') {
    const store = new Store({ maxBytes: most * (KEY_BYTES + value.length + ENTRY_OVERHEAD_BYTES) });
    set = (i) => store.set(keyOf(i), value, { revision: ++revision, expiresAtMs: i % 3 === 0 ? 1e12 + i : 0 });
    isFull = () => store.stats().evictions > 0;
  } else if (kind === 'lru-cache') {
    const lru = new LRUCache({ max: most });
    set = (i) => lru.set(Buffer.from(keyOf(i)).latin1Slice(0, KEY_BYTES), value.slice());
    isFull = () => lru.size === most;
  }
  let next = 0;
  if (kind !== 'idle') while (next < start) set(next++);
  const growing = await delays(2, () => {
    for (let i = 0; i < 25; i++) set(next++);
  });
  while (!isFull()) set(next++);
  const steady = await delays(6, () => {
    for (let i = 0; i < 25; i++) set(i % 2 === 0 ? next++ : next - draw(1_500_000));
  });
  console.log(JSON.stringify({ growing, steady }));
}

function printPauses(run) {
  console.log(
    '\nLongest delay of the event loop in ms, 20,000 writes a second (median of three runs, in turns): first as time',
  );
  console.log('passes, other processes included, then the longest cycle of the loop in the time of its thread alone\n');
  row('', 'growing', 'steady', 'growing, thread', 'steady, thread');
  const kinds = ['idle', 'store', 'lru-cache'];
  const results = Object.fromEntries(kinds.map((kind) => [kind, []]));
  for (let round = 0; round < 3; round++) for (const kind of kinds) results[kind].push(JSON.parse(run('pause', kind)));
  const of = (kind) =>
    ['longest', 'cycle'].flatMap((field) =>
      ['growing', 'steady'].map((phase) => median(results[kind].map((result) => result[phase][field]))),
    );
  for (const kind of kinds) row(kind, ...of(kind).map((ms) => ms.toFixed(2)));
  const idle = of('idle');
  row('store minus idle (target, steady: 5)', ...of('store').map((ms, i) => (ms - idle[i]).toFixed(2)));
}

const parts = process.argv.slice(2);
if (parts[0] === '--part') {
  const [, part, argument] = parts;
  await { speed, overhead, overheadOfMap, rss, rssOfMap, pause }[part](argument);
} else {
  const run = (...args) => {
    const flags = ['--expose-gc', '--max-old-space-size=4096', fileURLToPath(import.meta.url), '--part'];
    const child = spawnSync(process.execPath, [...flags, ...args], { encoding: 'utf8' });
    if (child.status !== 0) {
      console.error(child.stderr);
      process.exit(1);
    }
    return child.stdout;
  };
  const wanted = (part) => parts.length === 0 || parts.includes(part);
  if (wanted('speed')) printSpeeds(run);
  if (wanted('overhead')) process.stdout.write(run('overhead') + run('overheadOfMap'));
  if (wanted('rss')) process.stdout.write(run('rss') + run('rssOfMap'));
  if (wanted('pause')) printPauses(run);
}
