import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GossipMember, type MembershipView, nextChange } from './reconcile.js';

const member = (raftId: number, status: GossipMember['status'] = 'alive', name = `n${raftId}`): GossipMember => ({
  name,
  status,
  sinceMs: 0,
  raftId,
  cluster: 'c',
  rpcAddr: `127.0.0.1:${raftId}`,
});

function view(change: Partial<MembershipView> & { voters?: number[]; learners?: number[] }): MembershipView {
  return {
    selfId: 1,
    cluster: 'c',
    confState: {
      voters: change.voters ?? [1],
      learners: change.learners ?? [],
      votersOutgoing: [],
      learnersNext: [],
      autoLeave: false,
    },
    identityOf: (id) =>
      [...(change.voters ?? [1]), ...(change.learners ?? [])].includes(id)
        ? { name: `n${id}`, rpcAddr: `127.0.0.1:${id}` }
        : undefined,
    gossip: [member(1)],
    proved: new Set(change.gossip),
    placed: change.proved ?? new Set(change.gossip),
    caughtUp: new Set(),
    active: new Set(change.voters ?? []),
    // Who does not answer now has not for a while, unless a test says otherwise.
    silent: new Set(change.active ? (change.voters ?? []).filter((id) => !change.active!.has(id)) : []),
    nowMs: 1000,
    missedSinceMs: () => 0,
    removeFailedAfterMs: 500,
    ...change,
  };
}

test('a newcomer becomes a learner first, and a voter once it has caught up', () => {
  const gossip = [member(1), member(2)];
  assert.deepEqual(nextChange(view({ gossip })), {
    type: 'add-learner',
    id: 2,
    identity: { name: 'n2', rpcAddr: '127.0.0.1:2' },
  });
  assert.equal(nextChange(view({ gossip, learners: [2] })), undefined);
  assert.deepEqual(nextChange(view({ gossip, learners: [2], caughtUp: new Set([2]) })), { type: 'promote', id: 2 });
});

test('who has not proved that it is who gossip says is neither added nor moved', () => {
  const gossip = [member(1), member(2), member(3)];
  const change = nextChange(view({ gossip, proved: new Set([gossip[2]!]) }));
  assert.equal(change?.type === 'add-learner' && change.id, 3, 'the one that has is not kept waiting');
  const elsewhere = [member(1), { ...member(2), rpcAddr: '127.0.0.1:99' }];
  assert.equal(nextChange(view({ voters: [1, 2], gossip: elsewhere, proved: new Set() })), undefined);
  assert.equal(nextChange(view({ voters: [1, 2], gossip: elsewhere, placed: new Set() })), undefined, 'not there');
});

test('who claims the Raft id of a member under another name changes nothing of it, whatever it says', () => {
  const voters = [1, 2, 3];
  const active = new Set([1, 3]);
  const own = [member(1), member(2), member(3)];
  for (const id of voters)
    for (const claim of [
      { ...member(id, 'alive', 'evil'), rpcAddr: '66.6.6.6:9200' },
      member(id, 'left', 'evil'),
      member(id, 'failed', 'evil'),
    ])
      for (const gossip of [
        [claim, ...own],
        [...own, claim],
      ])
        assert.equal(nextChange(view({ voters, active, gossip, proved: new Set(gossip) })), undefined);
  const learner = { voters: [1], learners: [2], caughtUp: new Set([2]), active: new Set([1, 2]) };
  assert.equal(nextChange(view({ ...learner, gossip: [member(1), member(2, 'alive', 'evil')] })), undefined);
});

test('who takes the name of a member replaces it only once it has proved that name', () => {
  const gossip = [member(1), member(9, 'alive', 'n2'), member(3)];
  const claimed = { voters: [1, 2, 3], gossip, active: new Set([1, 2, 3]), nowMs: 1 };
  assert.equal(nextChange(view({ ...claimed, proved: new Set([gossip[2]!]) })), undefined);
  assert.equal(nextChange(view(claimed))?.type, 'remove');
});

test('a member that is silent goes once its name lives on in another cluster, where clients would be sent', () => {
  const gossip = [member(1), { ...member(9, 'alive', 'n2'), cluster: 'other' }, member(3)];
  const silent = { voters: [1, 2, 3], gossip, active: new Set([1, 3]), nowMs: 1, proved: new Set<GossipMember>() };
  assert.deepEqual(nextChange(view(silent)), { type: 'remove', id: 2, why: 'it was started anew as 9' });
  assert.equal(nextChange(view({ ...silent, active: new Set([1, 2, 3]) })), undefined, 'it answers');
  assert.equal(nextChange(view({ ...silent, active: new Set([1]) })), undefined, 'too few are left');
});

test('who has not answered since the last check of the quorum is not silent for that, whatever is said of it', () => {
  const voters = [1, 2, 3];
  const just = {
    voters,
    active: new Set([1, 3]),
    silent: new Set<number>(),
    proved: new Set<GossipMember>(),
    nowMs: 9_999,
  };
  for (const claim of [[member(2, 'left')], [member(2, 'failed')], [member(9, 'alive', 'n2')], []])
    assert.equal(nextChange(view({ ...just, gossip: [member(1), ...claim, member(3)] })), undefined);
});

test('a node of another cluster, or one without a cluster yet, is not added', () => {
  assert.equal(nextChange(view({ gossip: [member(1), { ...member(2), cluster: 'other' }] })), undefined);
  assert.equal(nextChange(view({ gossip: [member(1), { ...member(2), cluster: '' }] })), undefined);
});

test('who left is removed once it is silent; who failed after the grace time, unless it still answers', () => {
  const voters = [1, 2, 3];
  const left = { voters, gossip: [member(1), member(2, 'left'), member(3)], active: new Set([1, 3]) };
  assert.deepEqual(nextChange(view(left)), { type: 'remove', id: 2, why: 'it left' });
  assert.equal(nextChange(view({ ...left, active: new Set(voters) })), undefined, 'that somebody else has said');
  const failed = { voters, gossip: [member(1), member(2, 'failed'), member(3)], active: new Set([1, 3]) };
  assert.equal(nextChange(view({ ...failed, nowMs: 499 })), undefined);
  assert.equal(nextChange(view({ ...failed, nowMs: 500 }))?.type, 'remove');
  assert.equal(nextChange(view({ ...failed, active: new Set([1, 2, 3]) })), undefined);
});

test('a member that gossip has never named is missed for the grace time too', () => {
  const gone = { voters: [1, 2, 3], gossip: [member(1), member(3)], active: new Set([1, 3]) };
  assert.equal(nextChange(view({ ...gone, missedSinceMs: () => 900 })), undefined);
  assert.equal(nextChange(view({ ...gone, missedSinceMs: () => 100 }))?.type, 'remove');
});

test('a node that came back under a new id takes the place of the old one', () => {
  const gossip = [member(1), member(9, 'alive', 'n2'), member(3)];
  const first = nextChange(view({ voters: [1, 2, 3], gossip, active: new Set([1, 3]), nowMs: 1 }));
  assert.deepEqual(first, { type: 'remove', id: 2, why: 'it was started anew as 9' });
  const second = nextChange(view({ voters: [1, 3], gossip, active: new Set([1, 3]), nowMs: 1 }));
  assert.equal(second?.type, 'add-learner');
});

test('no voter is removed while those that answer would be no quorum of the rest', () => {
  const gossip = [member(1), member(2, 'failed'), member(3, 'failed'), member(4, 'failed'), member(5)];
  assert.equal(nextChange(view({ voters: [1, 2, 3, 4, 5], gossip, active: new Set([1, 5]) })), undefined);
  const change = nextChange(view({ voters: [1, 2, 3, 4, 5], gossip, active: new Set([1, 5, 4]) }));
  assert.equal(change?.type === 'remove' && change.id, 2);
});

test('the leader never removes itself, and nothing is changed inside a joint configuration', () => {
  assert.equal(nextChange(view({ gossip: [member(1, 'left')] })), undefined);
  const joint = view({ gossip: [member(1), member(2)] });
  assert.equal(nextChange({ ...joint, confState: { ...joint.confState, votersOutgoing: [1] } }), undefined);
});

test('a member that came back at another address is made known at it', () => {
  const gossip = [member(1), { ...member(2), rpcAddr: '127.0.0.1:99' }];
  assert.deepEqual(nextChange(view({ voters: [1, 2], gossip })), {
    type: 'update',
    id: 2,
    identity: { name: 'n2', rpcAddr: '127.0.0.1:99' },
  });
});
