// How long a snapshot holds the event loop: a cache of N MiB is sent to a new member and installed there, leader and
// newcomer each in a thread of its own, TCP between them. Prints for each side the longest that its thread computed between
// two rounds of its event loop, in processor time (so that a busy machine does not count), beside what it is when idle.
// Options: --mib N (512) --value-bytes N (100) --disk
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { startNode } from './raft-node.mjs';

const { CacheStateMachine } = await import('../packages/server/dist/state/state-machine.js');
const { CommandType, encodeLogEntry } = await import('../packages/protocol/dist/index.js');

/** Processor time of this thread in milliseconds. */
function threadMs() {
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
}

/** Looks at each round of the event loop, or each millisecond where rounds are shorter. */
class SliceWatch {
  longestMs = 0;
  over5 = 0;
  rounds = 0;
  #last = threadMs();
  #timer = setInterval(() => {
    const now = threadMs();
    const ms = now - this.#last;
    this.#last = now;
    this.rounds++;
    if (ms > 5) this.over5++;
    this.longestMs = Math.max(this.longestMs, ms);
  }, 1);

  take() {
    const { longestMs, over5, rounds } = this;
    Object.assign(this, { longestMs: 0, over5: 0, rounds: 0 });
    return `longest ${longestMs.toFixed(2)} ms, ${over5} of ${rounds} rounds above 5 ms`;
  }

  end() {
    clearInterval(this.#timer);
  }
}

/** Snapshots soon, and with few entries behind them. */
function optionsOf(machine) {
  return { stateMachine: machine, trailingEntries: 100, snapshotEntries: 250 };
}

if (!isMainThread) {
  const { folder, maxBytes } = workerData;
  const machine = new CacheStateMachine({ maxBytes });
  const { node, port, dial } = await startNode(2, folder, optionsOf(machine));
  const watch = new SliceWatch();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const idle = watch.take();
  node.on('snapshot-installed', () =>
    setTimeout(() => parentPort.postMessage({ idle, took: watch.take(), entries: machine.store.stats().entries }), 50),
  );
  parentPort.on('message', (to) => dial(1, to));
  parentPort.postMessage(port);
} else {
  await main();
}

async function main() {
  const { values } = parseArgs({
    options: {
      mib: { type: 'string', default: '512' },
      'value-bytes': { type: 'string', default: '100' },
      disk: { type: 'boolean', default: false },
    },
  });
  const bytes = Number(values.mib) * 2 ** 20;
  const folder = mkdtempSync(join(tmpdir(), 'snapshot-bench-'));
  try {
    const home = values.disk ? folder : undefined;
    const machine = new CacheStateMachine({ maxBytes: 2 * bytes });
    const { node, port } = await startNode(1, home, { ...optionsOf(machine), bootstrap: {} });
    while (node.status().role !== 'leader') await new Promise((resolve) => setTimeout(resolve, 5));
    await fill(machine, node, bytes, Number(values['value-bytes']));
    const { entries } = machine.store.stats();
    console.log(
      `${values.mib} MiB, ${entries} entries of ${values['value-bytes']} bytes, ${values.disk ? 'on disk' : 'in memory'}`,
    );
    const worker = new Worker(new URL(import.meta.url), { workerData: { folder: home, maxBytes: 2 * bytes } });
    await new Promise((resolve) => worker.once('message', resolve));
    worker.postMessage(port);
    const watch = new SliceWatch();
    await new Promise((resolve) => setTimeout(resolve, 500));
    console.log(`sender idle:      ${watch.take()}`);
    const startMs = performance.now();
    const installed = new Promise((resolve) => worker.once('message', resolve));
    await node.changeMembership({ type: 'add-learner', id: 2 });
    const { idle, took, entries: got } = await installed;
    console.log(`sender sending:   ${watch.take()}`);
    console.log(`receiver idle:    ${idle}`);
    console.log(`receiver taking:  ${took}`);
    console.log(`${got} entries there after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
    if (got !== entries) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.exit();
}

/** Fills the state past the log; a last entry through it makes a snapshot the only way to the state. */
async function fill(machine, node, bytes, valueBytes) {
  const value = new Uint8Array(valueBytes).fill(7);
  let at = 0;
  for (let used = 0; used < bytes; ) {
    const commands = [];
    for (let i = 0; i < 1000; i++) commands.push(set(`key-${at++}`, value));
    machine.apply({ data: encodeLogEntry({ stampMs: 1_000_000, commands }) });
    used += 1000 * (valueBytes + 60);
    if (at % 100_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  // The log is cut behind a snapshot, which on disk takes its time.
  for (let i = 0; i < 300 || node.status().firstIndex === 1; i++)
    await node.propose(encodeLogEntry({ stampMs: 1_000_000, commands: [set('last', value)] }));
}

function set(key, value) {
  return { type: CommandType.set, key: Buffer.from(key), value, ttlMs: 0, flags: 0 };
}
