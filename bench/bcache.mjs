// The speed of bcache, each number beside its yardstick in the same run: `node --expose-gc bench/bcache.mjs [part ...]`,
// parts: get fill memory spread newcomer. Needs `npm run build`. Numbers depend on the machine's mood: compare within a
// run. A line ends with what the project asks for, and whether this run reached it.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { Cacheable } from 'cacheable';
import { LRUCache } from 'lru-cache';
import { createCache } from '../packages/bcache/dist/index.js';

const here = fileURLToPath(import.meta.url);
const parts = process.argv.slice(2).filter((arg) => !arg.startsWith('-'));
const wants = (part) => parts.length === 0 || parts.includes(part);
const ttl = 3_600_000;

function verdict(isReached, asked) {
  return `${isReached ? 'reached' : 'MISSED'}: ${asked}`;
}

function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** Nanoseconds of processor time a call, the median of interleaved rounds, so that all see the same moods. */
function race(candidates, keys, rounds = 12) {
  const times = candidates.map(() => []);
  let sum = 0;
  for (let round = 0; round < rounds + 2; round++) {
    // Each round begins with another: who follows whom decides what is in the processor's cache.
    const order = candidates.map((_, index) => (index + round) % candidates.length);
    if (round % 2 === 1) order.reverse();
    for (const index of order) {
      const get = candidates[index];
      const started = process.cpuUsage();
      for (let i = 0; i < keys.length; i++) sum += get(keys[i]) === undefined ? 0 : 1;
      const { user, system } = process.cpuUsage(started);
      if (round >= 2) times[index].push(((user + system) * 1000) / keys.length);
    }
  }
  if (sum !== candidates.length * keys.length * (rounds + 2)) throw new Error('not every get was a hit');
  return times.map(median);
}

async function benchGet() {
  const count = 100_000;
  const names = Array.from({ length: count }, (_, i) => `user:${i}`);
  const keys = Array.from({ length: 300_000 }, (_, i) => names[(Math.imul(i, 2654435761) >>> 0) % count]);
  const value = (i) => ({ id: i, name: `name ${i}` });
  const lru = new LRUCache({ max: count, ttl });
  const map = new Map();
  const cache = await createCache({ maxKeys: count, ttl });
  const policies = await Promise.all(
    ['sieve', 's3fifo', 'w-tinylfu'].map((eviction) => createCache({ maxKeys: count, ttl, eviction })),
  );
  names.forEach((key, i) => {
    lru.set(key, value(i));
    map.set(key, value(i));
    cache.set(key, value(i));
    for (const other of policies) other.set(key, value(i));
  });
  const reads = (stores) => stores.map((store) => (key) => store.get(key));
  const [ours, theirs, bare] = race(reads([cache, lru, map]), keys);
  const others = race(reads(policies), keys);
  const ratio = theirs / ours;
  console.log(
    `get, ${count} keys with a ttl in random order: bcache ${ours.toFixed(0)} ns, lru-cache ${theirs.toFixed(0)} ns, ` +
      `Map ${bare.toFixed(0)} ns; ${ratio.toFixed(2)} x lru-cache; ${verdict(ratio >= 1.3, 'at least 1.3 x')}`,
  );
  console.log(`  with sieve, s3fifo, w-tinylfu: ${others.map((ns) => `${ns.toFixed(0)} ns`).join(', ')}`);
}

async function benchFill() {
  const cache = await createCache({ maxKeys: 1000, ttl });
  const bento = new BentoCache({
    default: 'memory',
    stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: 1000 })) },
  });
  const cacheable = new Cacheable({ ttl });
  const load = async () => ({ id: 1, name: 'name' });
  const calls = {
    bcache: () => cache.getOrSet('key', load),
    bentocache: () => bento.getOrSet({ key: 'key', factory: load, ttl }),
    cacheable: () => cacheable.getOrSet('key', load),
  };
  const times = {};
  for (const [name, call] of Object.entries(calls)) {
    const rounds = [];
    for (let round = 0; round < 6; round++) {
      const count = name === 'bcache' ? 50_000 : 2_000;
      const startedAt = performance.now();
      for (let i = 0; i < count; i++) await call();
      if (round >= 2) rounds.push(((performance.now() - startedAt) * 1e6) / count);
    }
    times[name] = median(rounds);
  }
  const ratios = [times.bentocache / times.bcache, times.cacheable / times.bcache];
  console.log(
    `getOrSet hit: bcache ${times.bcache.toFixed(0)} ns, bentocache ${times.bentocache.toFixed(0)} ns (${ratios[0].toFixed(0)} x), ` +
      `cacheable ${times.cacheable.toFixed(0)} ns (${ratios[1].toFixed(0)} x); ${verdict(Math.min(...ratios) >= 20, 'at least 20 x')}`,
  );
  await bento.disconnectAll();
}

/** Runs one candidate in a process of its own and returns what it uses for its entries. */
function memoryOf(candidate) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--expose-gc', '--max-old-space-size=3000', here, `--memory=${candidate}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.on('exit', (code) => (code === 0 ? resolve(Number(text)) : reject(new Error(`${candidate} exited ${code}`))));
  });
}

async function memoryChild(candidate) {
  const [library, kind] = candidate.split('/');
  const count = 1_000_000;
  const value = (i) => {
    const text = `${i}`.padStart(100, 'v');
    // Text as it comes from a socket; an object as a program builds it.
    return kind === 'text'
      ? Buffer.from(text).toString('latin1')
      : { id: i, text: Buffer.from(text.slice(20)).toString('latin1') };
  };
  const used = () => {
    for (let i = 0; i < 4; i++) globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  // Before the store is made: what it allocates at once for its entries counts.
  const before = used();
  const store =
    library === 'lru'
      ? new LRUCache({ max: count, ttl })
      : library === 'lru-nottl'
        ? new LRUCache({ max: count })
        : await createCache({ maxKeys: count, ttl });
  for (let i = 0; i < count; i++) store.set(Buffer.from(`key:${i}`).toString('latin1'), value(i));
  const after = used();
  if (store.get('key:5') === undefined) throw new Error('it is not there');
  process.stdout.write(String(after - before));
  process.exit(0);
}

async function benchMemory() {
  for (const kind of ['text', 'object']) {
    const ours = await memoryOf(`bcache/${kind}`);
    const theirs = await memoryOf(`lru/${kind}`);
    const bare = await memoryOf(`lru-nottl/${kind}`);
    const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
    console.log(
      `memory of a million 100-byte values (${kind}): bcache ${mb(ours)}, lru-cache with a ttl ${mb(theirs)}, ` +
        `without ${mb(bare)}; ${verdict(ours < theirs, "below lru-cache's")}`,
    );
  }
}

// Three nodes on loopback, each in a process of its own.

const script = (name) => [here, `--node=${name}`];

class RemoteNode {
  constructor(name, options) {
    this.child = spawn(process.execPath, script(name), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.waiting = [];
    this.child.on('message', (message) => this.waiting.shift()?.(message));
    this.started = this.ask({ do: 'start', options });
  }
  ask(message) {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.child.send(message);
    });
  }
  async stop() {
    await this.ask({ do: 'stop' });
    this.child.kill();
  }
}

async function nodeChild() {
  let cache;
  const now = () => performance.timeOrigin + performance.now();
  const actions = {
    async start({ options }) {
      cache = await createCache({ listen: '127.0.0.1:0', maxKeys: 400_000, ...options });
      await cache.ready();
      return { address: cache.members()[0].address };
    },
    stats: () => ({ ...cache.stats(), memory: process.memoryUsage().rss }),
    /** Sets as fast as it may, giving the event loop a turn every so often. */
    async burst({ from, count }) {
      const startedAt = now();
      for (let i = 0; i < count; i++) {
        cache.set(`key:${(from + i) % 200_000}`, `value ${i} ${'x'.repeat(80)}`);
        if (i % 200 === 199) await new Promise(setImmediate);
      }
      cache.set('last', from + count);
      return { startedAt };
    },
    async untilLast({ value }) {
      while (cache.get('last') !== value) await new Promise((resolve) => setTimeout(resolve, 1));
      return { at: now() };
    },
    /** Sets at a steady rate; each value is the time when it was set. */
    async steady({ perSecond, seconds }) {
      const startedAt = now();
      let sent = 0;
      while (sent < perSecond * seconds) {
        const due = Math.min(perSecond * seconds, Math.floor(((now() - startedAt) / 1000) * perSecond));
        for (; sent < due; sent++) cache.set(`steady:${sent % 10_000}`, now());
        // Not in a loop without rest: the three nodes and what measures them share few processors.
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return {};
    },
    listen() {
      actions.seen = [];
      cache.on('set', ({ key, isLocal }) => {
        if (!isLocal && key.startsWith('steady:')) actions.seen.push(now() - cache.peek(key));
      });
      return {};
    },
    delays: () => ({ delays: actions.seen }),
    fillUp({ count, bytes }) {
      for (let i = 0; i < count; i++) cache.set(`big:${i}`, `${i} `.padEnd(bytes, 'x'));
      return {};
    },
    /** Measures single reads until told to stop; the event loop turns between them. */
    probe() {
      actions.isProbing = true;
      actions.gets = [];
      const turn = () => {
        for (let i = 0; i < 20; i++) {
          const startedAt = performance.now();
          cache.get(`big:${(Math.random() * 100_000) | 0}`);
          actions.gets.push(performance.now() - startedAt);
        }
        if (actions.isProbing) setTimeout(turn, 1);
      };
      turn();
      return {};
    },
    probed() {
      actions.isProbing = false;
      return { p99: quantile(actions.gets, 0.99), max: Math.max(...actions.gets), count: actions.gets.length };
    },
    async stop() {
      await cache.close({ timeout: 200 });
      return {};
    },
  };
  process.on('message', async (message) => process.send(await actions[message.do](message)));
}

async function threeNodes() {
  const first = new RemoteNode('a', {});
  const { address } = await first.started;
  const nodes = [first, new RemoteNode('b', { peers: [address] }), new RemoteNode('c', { peers: [address] })];
  await Promise.all(nodes.map((node) => node.started));
  for (;;) {
    const stats = await Promise.all(nodes.map((node) => node.ask({ do: 'stats' })));
    if (stats.every(({ members }) => members === 3)) return nodes;
  }
}

async function benchSpread() {
  const nodes = await threeNodes();
  const count = 300_000;
  for (let round = 0; round < 2; round++) {
    const from = round * count;
    const { startedAt } = await nodes[0].ask({ do: 'burst', from, count });
    const ends = await Promise.all(nodes.map((node) => node.ask({ do: 'untilLast', value: from + count })));
    const rate = (count / (Math.max(...ends.map(({ at }) => at)) - startedAt)) * 1000;
    if (round === 1)
      console.log(
        `sets on one of three nodes until all hold them: ${Math.round(rate)} a second; ${verdict(rate >= 100_000, 'at least 100000')}`,
      );
  }
  await nodes[1].ask({ do: 'listen' });
  await nodes[0].ask({ do: 'steady', perSecond: 10_000, seconds: 5 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { delays } = await nodes[1].ask({ do: 'delays' });
  const [p50, p99] = [quantile(delays, 0.5), quantile(delays, 0.99)];
  console.log(
    `from set to visible elsewhere at 10000 a second: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms (${delays.length} seen); ` +
      verdict(p50 < 1 && p99 < 10, 'p50 below 1 ms, p99 below 10 ms'),
  );
  for (const node of nodes) await node.stop();
}

async function benchNewcomer() {
  const nodes = await threeNodes();
  await nodes[0].ask({ do: 'fillUp', count: 100_000, bytes: 1024 });
  for (;;) if ((await nodes[2].ask({ do: 'stats' })).keys >= 100_000) break;
  const { address } = await nodes[0].started;
  await Promise.all(nodes.map((node) => node.ask({ do: 'probe' })));
  const startedAt = performance.now();
  const newcomer = new RemoteNode('d', { peers: [address] });
  await newcomer.started;
  const { keys } = await newcomer.ask({ do: 'stats' });
  const seconds = (performance.now() - startedAt) / 1000;
  const probes = await Promise.all(nodes.map((node) => node.ask({ do: 'probed' })));
  const p99 = Math.max(...probes.map((probe) => probe.p99));
  console.log(
    `a newcomer pulls ${keys} entries of 1 KiB in ${seconds.toFixed(2)} s with its own start, the others' get p99 ` +
      `${p99.toFixed(3)} ms meanwhile; ${verdict(keys === 100_000 && seconds < 3 && p99 < 1, 'less than 3 s, below 1 ms')}`,
  );
  for (const node of [...nodes, newcomer]) await node.stop();
}

const child = process.argv.find((arg) => arg.startsWith('--memory=') || arg.startsWith('--node='));
if (child?.startsWith('--memory=')) await memoryChild(child.slice(9));
else if (child !== undefined) await nodeChild();
else {
  if (wants('get')) await benchGet();
  if (wants('fill')) await benchFill();
  if (wants('memory')) await benchMemory();
  if (wants('spread')) await benchSpread();
  if (wants('newcomer')) await benchNewcomer();
  process.exit(0);
}
