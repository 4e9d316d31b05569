// Hit ratios of the store's eviction policies on recorded traces, beside LRU and the offline optimum:
//
//   node bench/hitratio.mjs [DIR]        (default ../shared/conformance/traces beside the repository)
//
// A trace is a gzip file with one key a line. The policies are those of @dcache/store itself, driven as the server does:
// a read of a present key is a touch, a miss is followed by a set. All entries have one size, and the cache holds 1, 5
// and 20 % of the trace's distinct keys.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { ENTRY_OVERHEAD_BYTES, Store } from '../packages/store/dist/index.js';

const shares = [0.01, 0.05, 0.2];
const policies = ['sieve', 's3fifo', 'fifo'];

/** The trace as numbers from 0 in the order of first appearance. */
function load(file) {
  const numbers = new Map();
  const trace = [];
  for (const line of gunzipSync(readFileSync(file)).toString('latin1').split('\n')) {
    if (line === '') continue;
    if (!numbers.has(line)) numbers.set(line, numbers.size);
    trace.push(numbers.get(line));
  }
  return { trace, distinct: numbers.size };
}

function hitsOfStore(eviction, trace, places) {
  const key = new Uint8Array(4);
  const value = new Uint8Array(0);
  const store = new Store({ eviction, maxBytes: places * (key.length + ENTRY_OVERHEAD_BYTES), seed: 1 });
  let hits = 0;
  let revision = 0;
  for (const number of trace) {
    new DataView(key.buffer).setUint32(0, number);
    if (store.getInto(key, value) < 0) store.set(key, value, { revision: ++revision });
    else {
      hits++;
      store.touch(key);
    }
  }
  return hits;
}

function hitsOfLru(trace, places) {
  const cache = new Map();
  let hits = 0;
  for (const number of trace) {
    if (cache.delete(number)) hits++;
    else if (cache.size === places) cache.delete(cache.keys().next().value);
    cache.set(number, true);
  }
  return hits;
}

/** Belady's MIN: who is used again last goes, with the choice not to keep the newcomer. A heap of (next use, key). */
function hitsOfOptimum(trace, places) {
  const nextUse = new Float64Array(trace.length);
  const last = new Map();
  for (let at = trace.length - 1; at >= 0; at--) {
    nextUse[at] = last.get(trace[at]) ?? Number.POSITIVE_INFINITY;
    last.set(trace[at], at);
  }
  const kept = new Map();
  const heap = [];
  let hits = 0;
  const swap = (i, j) => {
    [heap[i], heap[j]] = [heap[j], heap[i]];
  };
  const push = (at) => {
    let i = heap.push(at) - 1;
    for (; i > 0 && nextUse[heap[i]] > nextUse[heap[(i - 1) >> 1]]; i = (i - 1) >> 1) swap(i, (i - 1) >> 1);
  };
  const pop = () => {
    const top = heap[0];
    const end = heap.pop();
    if (heap.length > 0) heap[0] = end;
    for (let i = 0; ; ) {
      let most = i;
      for (const child of [2 * i + 1, 2 * i + 2])
        if (child < heap.length && nextUse[heap[child]] > nextUse[heap[most]]) most = child;
      if (most === i) return top;
      swap(i, most);
      i = most;
    }
  };
  for (let at = 0; at < trace.length; at++) {
    if (kept.has(trace[at])) hits++;
    kept.set(trace[at], at);
    push(at);
    while (kept.size > places) {
      const out = pop();
      if (kept.get(trace[out]) === out) kept.delete(trace[out]);
    }
  }
  return hits;
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = process.argv[2] ?? join(root, '../shared/conformance/traces');
if (!existsSync(folder)) {
  console.error(`there is no folder ${folder}; name one that holds traces: node bench/hitratio.mjs DIR`);
  process.exit(2);
}
const columns = [...policies, 'lru', 'optimum'];
const line = (cells) => console.log(cells.map((cell, i) => (i === 0 ? cell.padEnd(18) : cell.padStart(9))).join(''));
line(['hit ratio, %', 'places', ...columns]);
const sums = columns.map(() => 0);
let rows = 0;
for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.gz'))
  .sort()) {
  const { trace, distinct } = load(join(folder, file));
  for (const share of shares) {
    const places = Math.max(1, Math.round(distinct * share));
    const hits = policies.map((policy) => hitsOfStore(policy, trace, places));
    hits.push(hitsOfLru(trace, places), hitsOfOptimum(trace, places));
    hits.forEach((count, i) => {
      sums[i] += count / trace.length;
    });
    rows++;
    const ratios = hits.map((count) => ((count / trace.length) * 100).toFixed(2));
    line([`${basename(file, '.gz')} ${share * 100}%`, String(places), ...ratios]);
  }
}
line(['mean', '', ...sums.map((sum) => ((sum / rows) * 100).toFixed(2))]);
