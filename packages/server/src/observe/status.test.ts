import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RaftStatus } from '@dcache/raft';
import { isReady } from './status.js';

const confState = { voters: [1, 2], learners: [3], votersOutgoing: [], learnersNext: [], autoLeave: false };
const raft = (changes: Partial<RaftStatus>): RaftStatus =>
  ({ id: 1, leader: 2, isReadable: true, commitIndex: 500, appliedIndex: 500, confState, ...changes }) as RaftStatus;

test('a node is ready once it is a member with a leader and has applied all that it knows to be committed', () => {
  assert.equal(isReady(raft({}), false, false), true);
  assert.equal(isReady(raft({ id: 3 }), false, false), true, 'a learner too');
  for (const changes of [{ id: 9 }, { leader: undefined }, { isReadable: false }, { appliedIndex: 499 }])
    assert.equal(isReady(raft(changes), false, false), false, JSON.stringify(changes));
  assert.equal(isReady(undefined, false, false), false);
  assert.equal(isReady(raft({}), true, false), false, 'not while it stops');
});

test('once it was, what is on its way under load does not take it out of service, but a long lag does', () => {
  assert.equal(isReady(raft({ commitIndex: 1_500 }), false, true), true);
  assert.equal(isReady(raft({ commitIndex: 1_501 }), false, true), false);
  assert.equal(isReady(raft({ leader: undefined }), false, true), false);
});
