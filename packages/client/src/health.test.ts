import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClusterFault, faultOf, type View } from './health.js';

const voter = (id: string) => ({ id, voteStatus: 'Voter' as const });
const ids: Readonly<Record<string, number>> = { a: 1, b: 2, c: 3, d: 4 };
const member = (id: string) => ({ id, rpcAddr: '', isLeader: false, voteStatus: 'Voter' as const, raftId: ids[id]! });
const common = { cluster: 'c0ffee', isDiskFull: false, appliedIndex: 9, servers: ['a', 'b', 'c'].map(member) };
const follower = (id: string): View => ({ ...common, id, raftId: ids[id]!, role: 'follower' });
const leader = (id: string): View => ({ ...common, id, raftId: ids[id]!, role: 'leader' });
/** One that was started anew: another Raft id, and nothing applied. */
const anew = (id: string): View => ({
  ...common,
  ...{ id, raftId: ids[id]! + 100, role: 'follower', appliedIndex: 0, servers: [] },
});
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

test('a majority that was restarted without its data can never elect: that is told, and not to wait', () => {
  const one = follower('c');
  const fault = faultOf(three, [anew('a'), anew('b'), one]);
  faulty(fault, /^a and b answer as others than the members of cluster c0ffee: they were restarted without their data/);
  faulty(
    fault,
    /the others are no majority of the 3 voters, and no leader can be elected unless they are started with the data that they had \(docs\/operations\.md, Lost quorum\)$/,
  );
  faulty(
    faultOf([voter('a'), voter('c')], [anew('a'), one]),
    /^a answers as another than the member .* no majority of the 2 voters/,
  );
});

test('one of three that was restarted without its data does not answer as the member, and keeps nothing up', () => {
  assert.equal(faultOf(three, [anew('a'), follower('b'), leader('c')]), undefined);
  const fault = faultOf(three, [anew('a'), down('b'), follower('c')]);
  faulty(fault, /^1 of 3 voters answer, which is no majority; .*; a answers as another than the member/);
  assert.doesNotMatch(fault?.message ?? '', /can be elected/);
});

test('who is a member is told by the one that has applied the most, and not by ids that are not told', () => {
  // The cluster has taken the new ones in since; the one that lags knows the old ones.
  const since = ['a', 'b', 'c'].map((id) => ({ ...member(id), raftId: ids[id]! + 100 }));
  const newer: View = { ...leader('a'), raftId: 101, appliedIndex: 20, servers: since } as View;
  assert.equal(
    faultOf(three, [newer, { ...newer, id: 'b', raftId: 102, role: 'follower' } as View, down('c')]),
    undefined,
  );
  const lagging = follower('c');
  assert.equal(
    faultOf(three, [newer, { ...newer, id: 'b', raftId: 102, role: 'follower' } as View, lagging]),
    undefined,
  );
  const silent = three.map(({ id }) => ({ id, rpcAddr: '', isLeader: false, voteStatus: 'Voter' as const }));
  const untold = ['a', 'b', 'c'].map((id) => ({ ...follower(id), servers: silent }) as View);
  faulty(faultOf(three, untold), /^3 of 3 voters answer and none leads/);
});

test('a server that knows no members is named, with what to do', () => {
  faulty(faultOf([], [anew('a')]), /^a belongs to no cluster yet, and knows no members: .*--addr.*Lost quorum/);
  faulty(faultOf([], [anew('a'), anew('b'), down('c')]), /^a and b belong to no cluster yet, and know no members/);
  faulty(faultOf([], [down('-')]), /^no server tells who the members/);
});
