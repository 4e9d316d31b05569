import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type RunOptions, type RunResult, type RunSummary, simulate } from './run.js';

/** Runs that must hold; a failing one is told as the line that replays it. */
function hold(count: number, options: Omit<RunOptions, 'seed'>, from = 1): RunSummary[] {
  return Array.from({ length: count }, (_, index) => {
    const result = simulate({ ...options, seed: from + index });
    assert.equal(
      result.violation,
      undefined,
      `${describe(result)}; replay: npm run sim -- --from ${result.seed} --seeds 1`,
    );
    return result.summary;
  });
}

function describe({ seed, violation }: RunResult): string {
  return `seed ${seed} breaks ${violation?.check}: ${violation?.message}`;
}

const total = (
  summaries: readonly RunSummary[],
  name: 'elections' | 'committed' | 'operations' | 'changes' | 'crashes',
) => summaries.reduce((sum, summary) => sum + summary[name], 0);

test('hundreds of clusters keep every promise through partitions, crashes, pauses and changes, and recover', () => {
  const summaries = hold(250, {});
  // The runs were no idle ones.
  assert.ok(total(summaries, 'elections') > 3 * summaries.length);
  assert.ok(total(summaries, 'committed') > 50 * summaries.length);
  assert.ok(total(summaries, 'operations') > 100 * summaries.length);
  assert.ok(total(summaries, 'changes') > summaries.length);
  assert.ok(total(summaries, 'crashes') > summaries.length);
  const kinds = new Set(summaries.flatMap(({ faults }) => [...faults.keys()]));
  assert.deepEqual([...kinds].sort(), [
    ...['campaign', 'compact', 'crash', 'crash-leader', 'disk', 'heal', 'isolate', 'isolate-leader', 'network'],
    ...['one-way', 'partition', 'pause', 'pause-leader', 'restart', 'skew', 'transfer'],
  ]);
  for (const isAsync of [true, false])
    for (const isDurable of [true, false])
      assert.ok(summaries.some((each) => each.isAsync === isAsync && each.isDurable === isDurable));
});

test('three durable nodes with both ways to write a log survive crashes in quick succession', () => {
  for (const isAsync of [true, false])
    hold(40, {
      size: 3,
      settings: { isDurable: true, isAsync },
      faults: { crashes: true, badDisk: true, intervalMs: 50 },
    });
});

test('one voter alone loses nothing in a crash and answers no stale read after it (pitfall 9)', () => {
  const summaries = hold(40, {
    size: 1,
    settings: { isDurable: true },
    faults: { crashes: true, badDisk: true, intervalMs: 50 },
  });
  assert.ok(total(summaries, 'crashes') > 4 * summaries.length);
});

test('nodes in memory are replaced under new ids, and the cluster keeps what it acknowledged (pitfall 24)', () => {
  const settings = { isDurable: false };
  const summaries = hold(30, { size: 3, settings, faults: { crashes: true, membership: false, intervalMs: 50 } });
  assert.ok(total(summaries, 'crashes') > summaries.length);
  assert.ok(total(summaries, 'changes') > 2 * summaries.length);
});

test('without check-quorum and pre-vote, which liveness may use and safety may not, every promise holds', () => {
  hold(30, { settings: { checkQuorum: false, preVote: false } });
});

test('the same seed replays to the byte, and another seed does not', () => {
  for (const seed of [3, 5, 8]) {
    const first = simulate({ seed, traceLines: 1_000_000 });
    const second = simulate({ seed, traceLines: 1_000_000 });
    assert.equal(first.digest, second.digest);
    assert.deepEqual(first.trace, second.trace);
    assert.ok(first.trace.length > 100);
    assert.equal(simulate({ seed }).digest, first.digest, 'keeping the trace changes nothing');
    assert.notEqual(simulate({ seed: seed + 1 }).digest, first.digest);
  }
});

test('the command tells how to replay a failing seed and writes its trace', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sim-'));
  try {
    const script = fileURLToPath(new URL('../../../scripts/sim.mjs', import.meta.url));
    const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
      spawnSync(process.execPath, [script, '--trace', folder, ...args], { encoding: 'utf8' });
    const failing = run('--from', '2', '--seeds', '1', '--mutation', 'sync-does-nothing');
    assert.equal(failing.status, 1);
    assert.match(failing.stderr, /replay: npm run sim -- --from 2 --seeds 1 --mutation sync-does-nothing/);
    assert.match(readFileSync(join(folder, 'sim-2.trace'), 'utf8'), /VIOLATION/);
    const holding = run('--from', '2', '--seeds', '1');
    assert.equal(holding.status, 0);
    assert.match(holding.stdout, /1 seeds from 2 .* 0 failed/);
    assert.equal(run('--seeds', 'many').status, 2);
    assert.equal(run('--mutation', 'none').status, 2);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
