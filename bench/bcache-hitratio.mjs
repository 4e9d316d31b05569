// Hit ratios of bcache's eviction policies on recorded traces: `node bench/bcache-hitratio.mjs [traces]`. The folder is
// ../shared/conformance/traces, or CONFORMANCE_DIR/traces, or the argument. Anchors are from Caffeine's simulator.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { createCache } from '../packages/bcache/dist/index.js';

const folder =
  process.argv[2] ??
  join(process.env.CONFORMANCE_DIR ?? join(import.meta.dirname, '../../shared/conformance'), 'traces');
if (!existsSync(folder)) {
  console.error(`no traces at ${folder}; name their folder as the argument or in CONFORMANCE_DIR`);
  process.exit(2);
}
const policies = ['lru', 'sieve', 's3fifo', 'w-tinylfu'];
const runs = [
  { trace: 'arc-oltp.gz', entries: 1000, anchors: { LRU: 32.8, ARC: 39.1, 'W-TinyLFU': 35.3 } },
  { trace: 'lirs-gli.gz', entries: 500, anchors: { LRU: 1.0, 'W-TinyLFU': 33.1 } },
  { trace: 'lirs-2_pools.gz', entries: 500, anchors: {} },
  { trace: 'lirs-cpp.gz', entries: 100, anchors: {} },
  { trace: 'lirs-loop.gz', entries: 500, anchors: {} },
  { trace: 'lirs-multi1.gz', entries: 1000, anchors: {} },
  { trace: 'cache2k-web07.gz', entries: 2000, anchors: {} },
];

for (const { trace, entries, anchors } of runs) {
  const path = join(folder, trace);
  if (!existsSync(path)) continue;
  const keys = gunzipSync(readFileSync(path)).toString().split('\n').filter(Boolean);
  const ratios = {};
  for (const eviction of policies) {
    const cache = await createCache({ maxKeys: entries, eviction });
    for (const key of keys) if (cache.get(key) === undefined) cache.set(key, 1);
    ratios[eviction] = (100 * cache.stats().hits) / keys.length;
    await cache.close();
  }
  const show = (found) =>
    Object.entries(found)
      .map(([name, ratio]) => `${name} ${ratio.toFixed(1)}`)
      .join(', ');
  const best = Math.max(...Object.values(ratios));
  const asked = Math.max(...Object.values(anchors), 0);
  const verdict =
    asked === 0
      ? ''
      : `; anchors ${show(anchors)}; ${best >= asked - 1 ? 'reached' : 'MISSED'}: within a point of the best`;
  console.log(`${trace} with ${entries} entries (${keys.length} reads), %: ${show(ratios)}${verdict}`);
}
