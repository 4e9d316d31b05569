import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Check } from '../checkers.js';
import type { DriverMutation } from './cluster.js';
import { type DriverRunOptions, type DriverRunResult, simulateDriver } from './run.js';

/** Runs that must hold; a failing one is told as the line that replays it. */
async function hold(
  count: number,
  options: Omit<DriverRunOptions, 'seed'> = {},
): Promise<DriverRunResult['summary'][]> {
  const summaries: DriverRunResult['summary'][] = [];
  for (let seed = 1; seed <= count; seed++) {
    const { violation, summary } = await simulateDriver({ ...options, seed });
    const what = `seed ${seed} breaks ${violation?.check}: ${violation?.message}`;
    assert.equal(violation, undefined, `${what}; replay: npm run sim -- --driver --from ${seed} --seeds 1`);
    summaries.push(summary);
  }
  return summaries;
}

/** Asserts that `mutation` breaks one of `checks` within `seeds` seeds, and that the seed is good without it. */
async function isFound(
  mutation: DriverMutation,
  seeds: number,
  checks: readonly Check[],
  options: Omit<DriverRunOptions, 'seed'>,
): Promise<void> {
  for (let seed = 1; seed <= seeds; seed++) {
    const { violation } = await simulateDriver({ ...options, seed, mutation });
    if (violation === undefined || !checks.includes(violation.check)) continue;
    const control = await simulateDriver({ ...options, seed });
    assert.equal(control.violation, undefined, `seed ${seed} is bad without ${mutation} too`);
    return;
  }
  assert.fail(`${seeds} seeds did not find ${mutation}`);
}

const sum = (summaries: readonly DriverRunResult['summary'][], name: 'operations' | 'crashes' | 'changes'): number =>
  summaries.reduce((total, summary) => total + summary[name], 0);

test('whole nodes keep every promise to their clients through faults, and every promise settles', async () => {
  const summaries = await hold(40);
  assert.ok(sum(summaries, 'operations') > 60 * summaries.length);
  assert.ok(sum(summaries, 'changes') > 2 * summaries.length);
  assert.ok(sum(summaries, 'crashes') > summaries.length);
  assert.ok(summaries.some(({ usesLease }) => usesLease) && summaries.some(({ usesLease }) => !usesLease));
  assert.ok(summaries.some(({ isDurable }) => isDurable) && summaries.some(({ isDurable }) => !isDurable));
});

test('a log on disk survives power cuts in quick succession, with sectors torn', async () => {
  const summaries = await hold(15, { size: 3, isDurable: true, faults: ['crash', 'crash', 'disk', 'heal', 'pause'] });
  assert.ok(sum(summaries, 'crashes') > 3 * summaries.length);
});

test('a failed sync ends the process and loses nothing acknowledged; a full disk refuses, and recovers (pitfalls 4, 5)', async () => {
  const faults = ['sync-error', 'sync-error', 'full', 'crash', 'heal'] as const;
  await hold(10, { size: 3, isDurable: true, faults, durationMs: 5_000 });
});

test('while a majority has room no write is refused for want of it: a full leader gives way (pitfall 5)', async () => {
  // With two voters, while one is replaced, there would be no majority without the full one.
  const still = { size: 3, isDurable: true, isRestless: false, durationMs: 8_000 };
  const summaries = await hold(4, { ...still, faults: ['full-one', 'full-one', 'transfer'] });
  const told = (code: 'disk-full' | 'handing-over'): number =>
    summaries.reduce((total, summary) => total + (summary.told[code] ?? 0), 0);
  assert.equal(told('disk-full'), 0);
  assert.ok(told('handing-over') > 0, 'no leader was full');
});

test('full disks, alone and together, end no node and lose nothing acknowledged, through cuts and crashes', async () => {
  const faults = ['full', 'full', 'full-one', 'crash', 'split', 'isolate', 'heal', 'pause', 'transfer'] as const;
  const summaries = await hold(8, { size: 3, isDurable: true, faults });
  assert.ok(
    summaries.some(({ told }) => (told['disk-full'] ?? 0) > 0),
    'no disk was full when it mattered',
  );
});

test('leases give no stale read while leaders are cut off, stand still and have their wall clocks set (pitfall 11)', async () => {
  await hold(20, { size: 3, faults: ['isolate', 'heal', 'split', 'pause', 'jump', 'transfer'] });
});

test('the same seed of the driver replays to the byte', async () => {
  for (const seed of [2, 3, 4]) {
    const first = await simulateDriver({ seed, traceLines: 1_000_000 });
    const second = await simulateDriver({ seed, traceLines: 1_000_000 });
    assert.deepEqual(first.trace, second.trace);
    assert.equal(first.digest, second.digest);
    assert.notEqual((await simulateDriver({ seed: seed + 10 })).digest, first.digest);
  }
});

test('a disk that only says that it has written is seen when the node starts again', async () => {
  await isFound('sync-does-nothing', 5, ['exception', 'linearizability'], { size: 3, isDurable: true });
});

test('a node in memory that returns under the id that has voted is seen (pitfall 24)', async () => {
  const checks: Check[] = ['state-machine-safety', 'exception', 'linearizability', 'liveness'];
  await isFound('reuse-identity', 10, checks, { size: 3, isDurable: false });
});

test('a read at a leader without a barrier is seen to be stale (pitfall 8)', async () => {
  await isFound('read-without-barrier', 40, ['linearizability'], { size: 3, faults: ['isolate', 'heal', 'split'] });
});

test('a lease under clocks that differ by far more than it allows for is seen to give stale reads', async () => {
  await isFound('lease-with-wild-clocks', 100, ['linearizability'], {
    durationMs: 8_000,
    size: 3,
    isDurable: false,
    faults: ['isolate', 'isolate', 'heal'],
  });
});
