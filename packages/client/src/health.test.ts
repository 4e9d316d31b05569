import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultOf, type View } from './health.js';

const voter = (id: string) => ({ id, voteStatus: 'Voter' as const });
const follower = (id: string): View => ({ id, role: 'follower', leader: 'a' });
const leader = (id: string): View => ({ id, role: 'leader', leader: id });
const down = (id: string): View => ({ id, error: 'no answer' });
const three = [voter('a'), voter('b'), voter('c')];

test('a cluster is well while a leader and a majority of the voters answer', () => {
  assert.equal(faultOf(three, [leader('a'), follower('b'), follower('c')]), undefined);
  assert.equal(faultOf(three, [leader('a'), follower('b'), down('c')]), undefined);
  assert.equal(faultOf([voter('a')], [leader('a')]), undefined);
  const watched = [...three, { id: 'd', voteStatus: 'Nonvoter' as const }];
  assert.equal(faultOf(watched, [leader('a'), follower('b'), down('c'), down('d')]), undefined);
});

test('it is not where a majority is missing, and who has no vote does not count', () => {
  assert.match(faultOf(three, [leader('a'), down('b'), down('c')])!, /^1 of 3 voters answer/);
  assert.match(faultOf(three, [down('a'), down('b'), down('c')])!, /^0 of 3 voters answer/);
  assert.match(faultOf([voter('a'), voter('b')], [leader('a'), down('b')])!, /^1 of 2 voters answer/);
  const watched = [...three, { id: 'd', voteStatus: 'Nonvoter' as const }];
  assert.match(faultOf(watched, [leader('a'), down('b'), down('c'), follower('d')])!, /^1 of 3 voters answer/);
  assert.match(faultOf([], [])!, /^0 of 0 voters answer/);
});

test('nor where nobody that answers leads, whoever the others still take for the leader', () => {
  assert.match(faultOf(three, [down('a'), follower('b'), follower('c')])!, /^2 of 3 voters answer and none leads/);
});
