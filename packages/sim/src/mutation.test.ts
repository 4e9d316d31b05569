import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Check } from './checkers.js';
import type { Mutation } from './mutation.js';
import { type RunOptions, simulate } from './run.js';

// A check that cannot fail proves nothing. Each known bug here must be found, by a check that is meant for it, within a
// number of seeds; and each seed that finds it must be a good run without the bug.

type Conditions = Pick<RunOptions, 'size' | 'settings' | 'faults' | 'without'>;

/** Asserts that `mutation` breaks one of `checks` within `seeds` seeds. */
function isFound(mutation: Mutation, seeds: number, checks: readonly Check[], conditions: Conditions): void {
  for (let seed = 1; seed <= seeds; seed++) {
    const { violation } = simulate({ ...conditions, seed, mutation });
    if (violation === undefined || !checks.includes(violation.check)) continue;
    assert.equal(simulate({ ...conditions, seed }).violation, undefined, `seed ${seed} is bad without ${mutation} too`);
    return;
  }
  assert.fail(`${seeds} seeds did not find ${mutation}`);
}

const crashes = { crashes: true, badDisk: true, intervalMs: 50 };
const durable = { isDurable: true };
/** What watches promises as they are made; without it only the consequences can tell. */
const direct: Check[] = ['durable-before-answer', 'committed-on-a-quorum'];

test('a node that forgets its vote in a crash is seen to vote twice (pitfall 2)', () => {
  isFound('forget-hard-state', 10, ['one-vote-a-term'], { size: 3, settings: durable, faults: crashes });
});

test('a node that forgets its vote in a crash lets two nodes lead one term', () => {
  isFound('forget-hard-state', 20, ['election-safety'], {
    size: 3,
    settings: durable,
    faults: crashes,
    without: ['one-vote-a-term'],
  });
});

test('an answer that leaves before what it rests on is on disk is seen (pitfalls 2 and 3)', () => {
  isFound('answer-before-sync', 5, ['durable-before-answer'], {
    size: 3,
    settings: { ...durable, isAsync: false },
    faults: crashes,
  });
});

test('an answer that leaves before what it rests on is on disk has consequences that are seen', () => {
  isFound('answer-before-sync', 100, ['one-vote-a-term', 'leader-completeness', 'exception', 'linearizability'], {
    size: 3,
    settings: { ...durable, isAsync: false },
    faults: crashes,
    without: direct,
  });
});

test('a disk that only says that it has written is seen (pitfall 4)', () => {
  isFound('sync-does-nothing', 3, ['durable-before-answer'], { size: 3, settings: durable, faults: crashes });
});

test('a disk that only says that it has written loses committed entries, which is seen', () => {
  isFound('sync-does-nothing', 10, ['leader-completeness'], {
    size: 3,
    settings: durable,
    faults: crashes,
    without: direct,
  });
});

test('a node in memory that returns under the id that has voted is seen (pitfall 24)', () => {
  const checks: Check[] = ['one-vote-a-term', 'leader-completeness', 'exception', 'state-machine-safety'];
  isFound('reuse-identity', 10, checks, { size: 3, settings: { isDurable: false }, faults: crashes });
});

test('a leader that answers reads without a quorum gives stale ones (pitfall 8)', () => {
  isFound('read-without-quorum', 100, ['linearizability'], { size: 3, faults: { partitions: true, intervalMs: 200 } });
});

test('a read served before its index is applied is stale', () => {
  isFound('read-before-applied', 20, ['linearizability'], { size: 3 });
});

test('a node that applies something else than the log says is seen (pitfall 20)', () => {
  isFound('apply-something-else', 5, ['state-machine-safety'], { size: 3 });
});

test('a retried command that takes effect twice is seen by the clients (pitfall 19)', () => {
  isFound('apply-retries-twice', 20, ['linearizability'], { size: 3, faults: { partitions: true, badNetwork: true } });
});

test("the core's own lease, counted in ticks, gives stale reads with right clocks: the driver has another (pitfall 11)", () => {
  const settings = { readOnly: 'lease', checkQuorum: true, electionTicks: 10 } as const;
  const faults = { pauses: false, clockSkew: false, partitions: true };
  const isStale = (seed: number): boolean =>
    simulate({ seed, settings, faults }).violation?.check === 'linearizability';
  assert.ok(Array.from({ length: 150 }, (_, index) => index + 1).some(isStale));
});
