import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClusterFault, faultOf, type View } from './health.js';

const voter = (id: string) => ({ id, voteStatus: 'Voter' as const });
const follower = (id: string): View => ({ id, role: 'follower', leader: 'a', isDiskFull: false });
const leader = (id: string): View => ({ id, role: 'leader', leader: id, isDiskFull: false });
const down = (id: string): View => ({ id, error: 'no answer' });
const full = (view: View): View => ({ ...view, isDiskFull: true }) as View;
const three = [voter('a'), voter('b'), voter('c')];

function faulty(fault: ClusterFault | undefined, message: RegExp, code = 'unavailable'): void {
  assert.match(fault?.message ?? 'no fault', message);
  assert.deepEqual([fault?.code, fault?.reason], [code, code === 'unavailable' ? 'no-leader' : undefined]);
}

test('a cluster is well while a leader and a majority of the voters answer', () => {
  assert.equal(faultOf(three, [leader('a'), follower('b'), follower('c')]), undefined);
  assert.equal(faultOf(three, [leader('a'), follower('b'), down('c')]), undefined);
  assert.equal(faultOf([voter('a')], [leader('a')]), undefined);
  const watched = [...three, { id: 'd', voteStatus: 'Nonvoter' as const }];
  assert.equal(faultOf(watched, [leader('a'), follower('b'), down('c'), down('d')]), undefined);
});

test('it is not where a majority is missing, and who has no vote does not count', () => {
  faulty(faultOf(three, [leader('a'), down('b'), down('c')]), /^1 of 3 voters answer/);
  faulty(faultOf(three, [down('a'), down('b'), down('c')]), /^0 of 3 voters answer/);
  faulty(faultOf([voter('a'), voter('b')], [leader('a'), down('b')]), /^1 of 2 voters answer/);
  const watched = [...three, { id: 'd', voteStatus: 'Nonvoter' as const }];
  faulty(faultOf(watched, [leader('a'), down('b'), down('c'), follower('d')]), /^1 of 3 voters answer/);
  faulty(faultOf([], []), /^0 of 0 voters answer/);
});

test('nor where nobody that answers leads, whoever the others still take for the leader', () => {
  faulty(faultOf(three, [down('a'), follower('b'), follower('c')]), /^2 of 3 voters answer and none leads/);
});

test('nor where the disks of a majority are full, or full and out of reach', () => {
  assert.equal(faultOf(three, [leader('a'), full(follower('b')), follower('c')]), undefined);
  const two = [full(follower('b')), full(follower('c'))];
  faulty(faultOf(three, [leader('a'), ...two]), /^1 of 3 voters have room/, 'disk-full');
  faulty(faultOf([...three, voter('d')], [leader('a'), ...two, follower('d')]), /^2 of 4 voters have/, 'disk-full');
  faulty(faultOf(three, [leader('a'), full(follower('b')), down('c')]), /^1 of 3 voters have room/, 'disk-full');
  faulty(faultOf([voter('a')], [full(leader('a'))]), /^0 of 1 voters have room/, 'disk-full');
  const watched = [...three, { id: 'd', voteStatus: 'Nonvoter' as const }];
  assert.equal(faultOf(watched, [leader('a'), follower('b'), full(follower('d'))]), undefined);
});
