import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NodeId } from './message.js';
import { committedIndex, majorityIndex, majorityVote, type VoteResult, voteResult } from './quorum.js';

const voters = fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { maxLength: 9 });
const matches = fc.dictionary(fc.integer({ min: 1, max: 12 }).map(String), fc.nat(20));
const votes = fc.dictionary(fc.integer({ min: 1, max: 12 }).map(String), fc.boolean());

/** By its definition: the highest index that more than half of the voters have. */
function naiveMajority(ids: readonly NodeId[], at: (id: NodeId) => number): number {
  if (ids.length === 0) return Number.POSITIVE_INFINITY;
  const reached = ids.map(at).filter((index) => ids.filter((id) => at(id) >= index).length * 2 > ids.length);
  return Math.max(...reached);
}

/** By its definition: won if more than half said yes, lost if those who may still say yes are not enough. */
function naiveVote(ids: readonly NodeId[], said: ReadonlyMap<NodeId, boolean>): VoteResult {
  if (ids.length === 0) return 'won';
  const yes = ids.filter((id) => said.get(id) === true).length;
  const open = ids.filter((id) => !said.has(id)).length;
  if (yes * 2 > ids.length) return 'won';
  return (yes + open) * 2 > ids.length ? 'pending' : 'lost';
}

function asMap<T>(dictionary: Record<string, T>): ReadonlyMap<NodeId, T> {
  return new Map(Object.entries(dictionary).map(([id, value]) => [Number(id), value]));
}

test('the committed index is the highest that a majority has stored (Raft §5.3)', () => {
  fc.assert(
    fc.property(voters, matches, (ids, stored) => {
      const indexes = asMap(stored);
      const source = { matchIndex: (id: NodeId) => indexes.get(id) };
      assert.equal(
        majorityIndex(ids, source),
        naiveMajority(ids, (id) => indexes.get(id) ?? 0),
      );
    }),
  );
});

test('a joint configuration commits what both halves have stored, whichever is first (thesis §4.3)', () => {
  fc.assert(
    fc.property(voters, voters, matches, (first, second, stored) => {
      const indexes = asMap(stored);
      const at = (id: NodeId): number => indexes.get(id) ?? 0;
      const source = { matchIndex: at };
      const both = Math.min(naiveMajority(first, at), naiveMajority(second, at));
      assert.equal(committedIndex(first, second, source), both);
      assert.equal(committedIndex(second, first, source), both);
    }),
  );
});

test('a vote is won by a majority, and lost when a majority is out of reach (Raft §5.2)', () => {
  fc.assert(
    fc.property(voters, votes, (ids, given) => {
      const said = asMap(given);
      assert.equal(majorityVote(ids, said), naiveVote(ids, said));
    }),
  );
});

test('a joint vote is won in both halves and lost in one', () => {
  fc.assert(
    fc.property(voters, voters, votes, (first, second, given) => {
      const said = asMap(given);
      const halves = [naiveVote(first, said), naiveVote(second, said)];
      const expected = halves.includes('lost') ? 'lost' : halves.includes('pending') ? 'pending' : 'won';
      assert.equal(voteResult(first, second, said), expected);
    }),
  );
});

test('a vote that is won or lost stays so, whoever votes next', () => {
  fc.assert(
    fc.property(voters, voters, votes, votes, (first, second, given, later) => {
      const said = asMap(given);
      const result = voteResult(first, second, said);
      if (result !== 'pending') assert.equal(voteResult(first, second, new Map([...asMap(later), ...said])), result);
    }),
  );
});
