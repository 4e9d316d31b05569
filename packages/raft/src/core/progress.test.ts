import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyConfiguration } from './configuration.js';
import { Progress, ProgressState } from './progress.js';
import { Tracker } from './tracker.js';

function replicating(matchIndex: number): Progress {
  const progress = new Progress(2, matchIndex + 1, false, 8, 1000);
  progress.acknowledge(matchIndex);
  progress.becomeReplicate();
  return progress;
}

test('while replicating, what is sent is taken as stored, up to the inflight limit', () => {
  const progress = replicating(5);
  progress.sentAppend(3, 30, 4);
  assert.deepEqual([progress.nextIndex, progress.matchIndex, progress.inflights.count], [9, 5, 1]);
  progress.acknowledge(8);
  progress.inflights.freeTo(8);
  assert.deepEqual([progress.matchIndex, progress.inflights.count], [8, 0]);
});

test('an answer that was overtaken by a later one changes nothing', () => {
  const progress = replicating(5);
  assert.equal(progress.acknowledge(4), false);
  assert.deepEqual([progress.matchIndex, progress.nextIndex], [5, 6]);
});

test('a refusal of what is known to be stored is old, and is ignored', () => {
  const progress = replicating(5);
  progress.sentAppend(3, 30, 5);
  assert.equal(progress.refuse(5, 2), false);
  assert.equal(progress.refuse(3, 2), false);
  assert.equal(progress.nextIndex, 9);
  assert.equal(progress.refuse(8, 5), true);
  assert.equal(progress.nextIndex, 6);
});

test('a refusal of another probe than the last is old, and is ignored', () => {
  const progress = new Progress(2, 10, false, 8, 1000);
  progress.sentAppend(1, 10, 5);
  assert.equal(progress.refuse(7, 3), false);
  assert.deepEqual([progress.nextIndex, progress.isPaused], [10, true]);
  assert.equal(progress.refuse(9, 3), true);
  assert.deepEqual([progress.nextIndex, progress.isPaused], [4, false]);
});

test('a hint never sends the next index to what is stored, nor up', () => {
  const progress = new Progress(2, 10, false, 8, 1000);
  progress.acknowledge(6);
  progress.nextIndex = 10;
  assert.equal(progress.refuse(9, 2), true);
  assert.equal(progress.nextIndex, 7);
  progress.nextIndex = 10;
  assert.equal(progress.refuse(9, 50), true);
  assert.equal(progress.nextIndex, 9);
});

test('after a snapshot the probe starts behind it, after a failed one behind what is stored', () => {
  const progress = new Progress(2, 10, false, 8, 1000);
  progress.becomeSnapshot(20);
  assert.deepEqual([progress.isPaused, progress.nextIndex], [true, 21]);
  progress.becomeProbe();
  assert.deepEqual([progress.state, progress.nextIndex, progress.pendingSnapshot], [ProgressState.probe, 21, 0]);
  progress.becomeSnapshot(30);
  progress.pendingSnapshot = 0;
  progress.becomeProbe();
  assert.equal(progress.nextIndex, 1);
});

test('a commit index is worth sending while it may move that of the member', () => {
  const progress = replicating(5);
  progress.sentAppend(2, 10, 3);
  assert.equal(progress.canUseCommit(3), false, 'it was sent already');
  assert.equal(progress.canUseCommit(4), true);
  progress.sentAppend(0, 0, 7);
  assert.equal(progress.canUseCommit(9), false, 'the member has nothing beyond what was covered');
});

test('a member that left and came back in one change starts anew, one that stayed does not', () => {
  const tracker = new Tracker(8, 1000);
  const configuration = { ...emptyConfiguration, voters: [1, 2] };
  tracker.switchTo({ configuration, left: new Set() }, 0);
  for (const member of tracker.members) member.acknowledge(5);
  tracker.switchTo({ configuration, left: new Set([2]) }, 9);
  assert.deepEqual([tracker.matchIndex(1), tracker.matchIndex(2), tracker.get(2)?.nextIndex], [5, 0, 9]);
});

test('a newcomer counts as heard from until the first check of the quorum', () => {
  const tracker = new Tracker(8, 1000);
  tracker.switchTo({ configuration: { ...emptyConfiguration, voters: [1, 2, 3] }, left: new Set() }, 0);
  assert.equal(tracker.isQuorumActive(), true);
  for (const member of tracker.members) member.recentActive = member.id === 1;
  assert.equal(tracker.isQuorumActive(), false);
});
