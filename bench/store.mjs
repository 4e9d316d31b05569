// Measures @dcache/store, each number beside its yardstick from the same run on the same machine:
//
//   node bench/store.mjs [speed] [overhead] [rss] [pause]     (all four by default; takes about two minutes)
//
// Every measurement runs in a process of its own, so that none inherits another's heap.
import { spawnSync } from 'node:child_process';
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

/** The scratch key of a number; valid until the next call. */
function keyOf(number) {
  keyWords[0] = number;
  keyWords[1] = number * 2654435761;
  return key;
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}

/** Median of five rounds of `count` calls each, in million calls a second. */
function rate(count, run) {
  const rounds = [];
  for (let round = 0; round < 5; round++) {
    const start = performance.now();
    for (let i = 0; i < count; i++) run(i);
    rounds.push(count / (performance.now() - start) / 1000);
  }
  return median(rounds);
}

function row(...cells) {
  console.log(cells.map((cell, i) => (i === 0 ? String(cell).padEnd(44) : String(cell).padStart(14))).join(''));
}

const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** The same workload on each: a million entries of 100 bytes, then reads, overwrites, and deletes with re-insertion. */
function speed() {
  const entries = 1_000_000;
  const rounds = 300_000;
  const value = new Uint8Array(100).fill(7);
  const names = Array.from({ length: entries }, (_, i) => Buffer.from(keyOf(i)).toString('latin1'));
  const nameOf = (i) => Buffer.from(keyOf(i)).latin1Slice(0, KEY_BYTES);
  const target = new Uint8Array(128);
  const results = { set: {}, overwrite: {}, get: {}, delete: {} };
  const measure = (name, { set, get, remove }) => {
    for (let i = 0; i < 1000; i++) set(draw(entries));
    const start = performance.now();
    for (let i = 0; i < entries; i++) set(i);
    results.set[name] = entries / (performance.now() - start) / 1000;
    results.overwrite[name] = rate(rounds, () => set(draw(entries)));
    results.get[name] = rate(rounds, () => get(draw(entries)));
    results.delete[name] = rate(rounds, () => {
      const i = draw(entries);
      remove(i);
      set(i);
    });
  };
  let revision = 0;
  const store = new Store();
  measure('store', {
    set: (i) => store.set(keyOf(i), value, { revision: ++revision }),
    get: (i) => store.getInto(keyOf(i), target),
    remove: (i) => store.delete(keyOf(i)),
  });
  const map = new Map();
  measure('Map', {
    set: (i) => map.set(names[i], value.slice()),
    get: (i) => target.set(map.get(names[i])),
    remove: (i) => map.delete(names[i]),
  });
  map.clear();
  measure('Map, keys made', {
    set: (i) => map.set(nameOf(i), value.slice()),
    get: (i) => target.set(map.get(nameOf(i))),
    remove: (i) => map.delete(nameOf(i)),
  });
  map.clear();
  const lru = new LRUCache({ max: entries + 1 });
  measure('lru-cache', {
    set: (i) => lru.set(names[i], value.slice()),
    get: (i) => target.set(lru.get(names[i])),
    remove: (i) => lru.delete(names[i]),
  });
  console.log(`\nMillion operations a second, ${entries} entries of ${KEY_BYTES} + 100 bytes (median of five rounds)`);
  console.log('"keys made": the Map gets its string from the bytes of a request, as a server would\n');
  row('', ...Object.keys(results.get));
  row('set, new', ...Object.values(results.set).map((x) => x.toFixed(2)));
  row('set, over another', ...Object.values(results.overwrite).map((x) => x.toFixed(2)));
  row('get into a buffer', ...Object.values(results.get).map((x) => x.toFixed(2)));
  row('delete, then set', ...Object.values(results.delete).map((x) => x.toFixed(2)));
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
    const target = ttlMs === 0 ? '(target 40)' : '';
    console.log(`\nBytes an entry beyond key and value, ${name}, over a growth from 1 to 2 million entries`);
    row('store: median / worst', median(seen).toFixed(1), worst.toFixed(1), target);
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

/** The longest delay of the event loop and the longest turn of `work`, which runs about every millisecond. */
async function delays(seconds, work) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  const end = performance.now() + seconds * 1000;
  let turn = 0;
  while (performance.now() < end) {
    const start = performance.now();
    work();
    turn = Math.max(turn, performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  histogram.disable();
  return { longest: histogram.max / 1e6, p999: histogram.percentile(99.9) / 1e6, turn };
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
  console.log('\nLongest delay of the event loop in ms, 20,000 writes a second (median of three runs, in turns)');
  console.log('"turn": the longest 25 writes took together\n');
  row('', 'growing', 'steady', 'p99.9', 'turn');
  const kinds = ['idle', 'store', 'lru-cache'];
  const results = Object.fromEntries(kinds.map((kind) => [kind, []]));
  for (let round = 0; round < 3; round++) for (const kind of kinds) results[kind].push(JSON.parse(run('pause', kind)));
  const of = (kind, phase, field) => median(results[kind].map((result) => result[phase][field]));
  for (const kind of kinds) {
    const cells = [of(kind, 'growing', 'longest'), ...['longest', 'p999', 'turn'].map((f) => of(kind, 'steady', f))];
    row(kind, ...cells.map((ms) => ms.toFixed(2)));
  }
  const extra = of('store', 'steady', 'longest') - of('idle', 'steady', 'longest');
  row('store minus idle, steady', '', extra.toFixed(2), '(target 5)');
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
  if (wanted('speed')) process.stdout.write(run('speed'));
  if (wanted('overhead')) process.stdout.write(run('overhead') + run('overheadOfMap'));
  if (wanted('rss')) process.stdout.write(run('rss') + run('rssOfMap'));
  if (wanted('pause')) printPauses(run);
}
