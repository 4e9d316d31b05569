import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RaftError } from './errors.js';
import { type Pending, PendingProposals } from './pending.js';

/** Proposes at (`index`, `term`) and notes what comes of it. */
function propose(pending: PendingProposals<string>, index: number, term: number, results: string[]): Pending<string> {
  return pending.add(
    index,
    term,
    0,
    100,
    (reply) => results.push(`${index}/${term}: ${reply}`),
    (error) => results.push(`${index}/${term}: ${error.code}`),
  );
}

test('a proposal is settled by what is applied at its index: its own entry, or another that took the place', () => {
  const pending = new PendingProposals<string>();
  const results: string[] = [];
  for (const index of [5, 6, 8]) propose(pending, index, 2, results);
  pending.applied(4, 2, 'before');
  pending.applied(5, 2, 'five');
  pending.applied(6, 3, 'six');
  pending.applied(7, 3, 'seven');
  assert.deepEqual(results, ['5/2: five', '6/2: lost']);
  assert.equal(pending.size, 1);
});

test('an overwritten proposal is not lost before another is applied in its place (Raft §5.4.2, figure 8)', () => {
  const pending = new PendingProposals<string>();
  const results: string[] = [];
  propose(pending, 5, 2, results);
  pending.leadershipEnded(1000);
  // This node leads again, and has put something else at the same index; but the old entry may win yet, on another node.
  propose(pending, 5, 4, results);
  assert.deepEqual(results, []);
  pending.applied(5, 2, 'the old one');
  assert.deepEqual(results, ['5/2: the old one', '5/4: lost']);
});

test('after leadership ended a proposal is waited for, and then its outcome is unknown', () => {
  const pending = new PendingProposals<string>();
  const results: string[] = [];
  propose(pending, 5, 2, results);
  propose(pending, 6, 2, results);
  pending.leadershipEnded(50);
  pending.applied(5, 2, 'five');
  pending.expire(49, () => new RaftError('unknown-outcome', 'late'));
  assert.deepEqual(results, ['5/2: five']);
  pending.expire(50, () => new RaftError('unknown-outcome', 'late'));
  assert.deepEqual(results, ['5/2: five', '6/2: unknown-outcome']);
  assert.equal(pending.size, 0);
});

test('what a snapshot covers has an unknown outcome', () => {
  const pending = new PendingProposals<string>();
  const results: string[] = [];
  for (const index of [5, 6, 7]) propose(pending, index, 2, results);
  pending.coveredBySnapshot(6);
  assert.deepEqual(results, ['5/2: unknown-outcome', '6/2: unknown-outcome']);
  assert.equal(pending.size, 1);
});

test('a proposal that was given up early keeps its place and is settled once', () => {
  const pending = new PendingProposals<string>();
  const results: string[] = [];
  const aborted = propose(pending, 5, 2, results);
  propose(pending, 6, 2, results);
  pending.giveUp(aborted, new RaftError('aborted', 'no patience'));
  pending.applied(5, 2, 'five');
  pending.applied(6, 2, 'six');
  assert.deepEqual(results, ['5/2: aborted', '6/2: six']);
});

test('a hundred thousand proposals are settled in order without the queue growing', () => {
  const pending = new PendingProposals<number>();
  let sum = 0;
  for (let index = 1; index <= 100_000; index++) {
    pending.add(index, 1, 0, 1, (reply) => (sum += reply), assert.fail);
    if (index > 10) pending.applied(index - 10, 1, 1);
  }
  assert.equal(sum, 99_990);
  assert.equal(pending.size, 10);
});
