// Durable writes of @dcache/raft alone: three nodes, the leader and the proposers in this thread, each follower in a
// thread of its own, TCP between them, three logs on one disk. Prints writes a second, latency, and processor time a write
// (of the whole process: three nodes and their writing threads), beside what a bare write and sync of the disk takes.
// Options: --seconds N (3) --rounds N (3) --bytes N (100) --proposers 1,64 --memory
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { until } from '@dcache/testing';
import { startNode } from './raft-node.mjs';

/** A state machine that counts; its state is nothing but the count. */
function counter() {
  let count = 0;
  return {
    apply: () => ++count,
    applyMembership: () => {},
    snapshot: () => ({ chunks: () => [new Uint8Array(8)], close: () => {} }),
    restore: async (chunks) => {
      for await (const _ of chunks);
    },
  };
}

if (!isMainThread) {
  const { id, folder } = workerData;
  const { port, dial } = await startNode(id, folder, { stateMachine: counter() });
  parentPort.on('message', (others) => {
    for (const [to, at] of others) dial(to, at);
  });
  parentPort.postMessage(port);
} else {
  await main();
}

async function main() {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '3' },
      rounds: { type: 'string', default: '3' },
      bytes: { type: 'string', default: '100' },
      proposers: { type: 'string', default: '1,64' },
      memory: { type: 'boolean', default: false },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'raft-bench-'));
  try {
    if (!values.memory) console.log(`bare write and sync of 512 bytes: ${syncMs(folder).toFixed(3)} ms (median)`);
    const logs = values.memory ? undefined : folder;
    const leader = await startNode(1, logs, { stateMachine: counter(), bootstrap: {} });
    const ports = new Map([[1, leader.port]]);
    for (const id of [2, 3]) {
      const worker = new Worker(new URL(import.meta.url), { workerData: { id, folder: logs } });
      ports.set(id, await new Promise((resolve) => worker.once('message', resolve)));
      worker.postMessage([...ports].filter(([to]) => to !== id));
      worker.unref();
    }
    await until('one leads', () => leader.node.status().role === 'leader');
    for (const id of [2, 3])
      for (const type of ['add-learner', 'promote'])
        await until(`${type} of ${id}`, () =>
          leader.node.changeMembership({ type, id }).then(
            () => true,
            () => false,
          ),
        );
    for (const count of values.proposers.split(',').map(Number)) {
      await load(leader.node, count, Number(values.bytes), 1);
      const rounds = [];
      for (let i = 0; i < Number(values.rounds); i++)
        rounds.push(await load(leader.node, count, Number(values.bytes), Number(values.seconds)));
      rounds.sort((a, b) => a.cpuMicros - b.cpuMicros);
      const { perSecond, cpuMicros, leaderMicros, wakes, p50Ms, p99Ms, perSync } = rounds[rounds.length >> 1];
      console.log(
        `${String(count).padStart(3)} proposers: ${perSecond.toFixed(0).padStart(6)}/s  p50 ${p50Ms.toFixed(3)} ms  p99 ${p99Ms.toFixed(3)} ms  ` +
          `CPU a write ${cpuMicros.toFixed(1)} us, of it the leader's thread ${leaderMicros.toFixed(1)} us; ${wakes.toFixed(2)} thread wakes; ${perSync.toFixed(1)} writes a log write`,
      );
    }
    process.exitCode = 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.exit();
}

/** Proposes for so many seconds, each proposer one at a time. */
async function load(node, count, bytes, seconds) {
  const data = new Uint8Array(bytes).fill(7);
  const latencies = [];
  const endMs = performance.now() + seconds * 1000;
  const appendsBefore = node.stats().appendLatency.count;
  const wakesBefore = process.resourceUsage().voluntaryContextSwitches;
  const cpuBefore = process.cpuUsage();
  const leaderBefore = mainThreadMicros();
  const startMs = performance.now();
  const proposer = async () => {
    for (let nowMs = performance.now(); nowMs < endMs; ) {
      await node.propose(data);
      const afterMs = performance.now();
      latencies.push(afterMs - nowMs);
      nowMs = afterMs;
    }
  };
  await Promise.all(Array.from({ length: count }, proposer));
  const passedMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpuBefore);
  const wakes = process.resourceUsage().voluntaryContextSwitches - wakesBefore;
  const leaderMicros = mainThreadMicros() - leaderBefore;
  latencies.sort((a, b) => a - b);
  const writes = latencies.length;
  return {
    perSecond: (writes / passedMs) * 1000,
    cpuMicros: (user + system) / writes,
    leaderMicros: leaderMicros / writes,
    wakes: wakes / writes,
    p50Ms: latencies[writes >> 1],
    p99Ms: latencies[Math.floor(writes * 0.99)],
    perSync: writes / (node.stats().appendLatency.count - appendsBefore),
  };
}

/** Processor time of the first thread; 0 where the system does not say. */
function mainThreadMicros() {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  } catch {
    return 0;
  }
}

function syncMs(folder) {
  const file = openSync(join(folder, 'sync'), 'w');
  const bytes = new Uint8Array(512).fill(1);
  writeSync(file, new Uint8Array(1024 * 1024));
  fdatasyncSync(file);
  const times = [];
  for (let i = 0; i < 200; i++) {
    const startMs = performance.now();
    writeSync(file, bytes, 0, bytes.length, i * 512);
    fdatasyncSync(file);
    times.push(performance.now() - startMs);
  }
  closeSync(file);
  return times.sort((a, b) => a - b)[100];
}
