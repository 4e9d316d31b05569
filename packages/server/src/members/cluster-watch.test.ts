import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import type { Member } from '@dcache/serf';
import { HandClock } from '@dcache/testing';
import { ClusterWatch, sayAgainMs } from './cluster-watch.js';

const own = 'bbbb';

/** The node `me` of cluster bbbb, and those that gossip tells it of. */
function make(parts: { readonly founds?: boolean; readonly isWrittenTo?: () => boolean } = {}) {
  const { founds = true, isWrittenTo = () => false } = parts;
  const clock = new HandClock();
  const members: Member[] = [];
  const ended: string[] = [];
  const said: string[] = [];
  const watch = new ClusterWatch({
    serf: { members: () => members },
    home: { cluster: own, isDurable: false, dataDir: '' },
    ...{ name: 'me', joins: true, isWrittenTo, clock },
    adopt: async () => {},
    onFatal: (error) => void ended.push(error.message),
    logger: { ...silentLogger, error: (_: object, message: string) => void said.push(message) },
  });
  if (founds) watch.founded();
  const see = (name: string, cluster: string, founder?: string): void => {
    const tags = new Map([['cluster', cluster], ...(founder === undefined ? [] : [['founder', founder] as const])]);
    members.push({ name, status: 'alive', tags } as unknown as Member);
    void watch.look();
  };
  return { clock, members, ended, said, watch, see };
}

test('a founder that nobody has written to ends when it meets a larger cluster, and says what to do', () => {
  const { ended, see } = make();
  see('g', 'cccc');
  assert.deepEqual(ended, [], 'of one stranger it is not certain who is in the wrong place');
  see('h', 'cccc');
  assert.equal(ended.length, 1);
  assert.match(ended[0]!, /this node founded cluster bbbb alone, but cluster cccc of 2 nodes was there already/);
});

test('of two new founders the one with the higher id ends, unless clients have written to it', () => {
  for (const [cluster, isWritten, ends] of [
    ['aaaa', false, 1],
    ['cccc', false, 0],
    ['aaaa', true, 0],
  ] as const) {
    const { ended, see } = make({ isWrittenTo: () => isWritten });
    see('g', cluster, 'founded');
    assert.equal(ended.length, ends, `${cluster} ${isWritten}`);
  }
});

test('a founder that was written to keeps its data, whoever comes, and says so at once and every five minutes', () => {
  let isWritten = false;
  const { clock, members, ended, said, watch, see } = make({ isWrittenTo: () => isWritten });
  isWritten = true;
  see('e1', 'ffff');
  see('e2', 'ffff');
  see('e3', 'ffff');
  assert.deepEqual(ended, []);
  assert.equal(said.length, 1);
  assert.match(
    said[0]!,
    /holds several clusters .* alone with cluster bbbb and keeps it, because clients have written/,
  );
  clock.pass(sayAgainMs - 1);
  assert.equal(said.length, 1);
  clock.pass(1);
  clock.pass(sayAgainMs);
  assert.equal(said.length, 3);
  members.length = 0;
  clock.pass(2 * sayAgainMs);
  assert.equal(said.length, 3, 'nothing is said once they are gone');
  see('e1', 'ffff');
  assert.equal(said.length, 4, 'and it is said at once when they are back');
  watch.stop();
  assert.equal(clock.pendingTimers, 0);
  clock.pass(2 * sayAgainMs);
  assert.equal(said.length, 4);
});

test('who was written to keeps its name against a node of another cluster, and says so at once and every five minutes', () => {
  let isWritten = false;
  const { clock, ended, said, watch } = make({ founds: false, isWrittenTo: () => isWritten });
  const keeps = (cluster?: string): boolean =>
    watch.keepsName({
      ...{ name: 'me', other: '10.0.0.1:9000' },
      tags: new Map(cluster === undefined ? [] : [['cluster', cluster]]),
    });
  assert.equal(keeps('cccc'), false, 'it has nothing to lose');
  isWritten = true;
  assert.equal(keeps(own), false, 'of its own cluster only one can have the name');
  assert.deepEqual([keeps(), said], [true, []], 'one that has no cluster yet goes by itself');
  for (let second = 0; second < 300; second++) {
    assert.equal(keeps('cccc'), true);
    clock.pass(1_000);
  }
  assert.equal(said.length, 1);
  assert.match(said[0]!, /^a node of cluster cccc is called me too, .*keeps its name, because clients have written/);
  assert.equal(keeps('cccc'), true);
  assert.deepEqual([said.length, ended], [2, []]);
});

test('a node is alone without a cluster, and with one that it founded until another of it is seen', () => {
  const { watch, see } = make();
  see('g', 'cccc');
  assert.equal(watch.isAlone, true);
  see('n2', own);
  assert.equal(watch.isAlone, false);
  assert.equal(make({ founds: false }).watch.isAlone, false, 'it came back with its cluster');
});

test('a founder whom its own have found goes on, however many strangers there are', () => {
  const { ended, said, see } = make();
  see('n2', own);
  for (const name of ['g', 'h', 'i']) see(name, 'cccc');
  assert.deepEqual(ended, []);
  assert.equal(said.length, 1);
  assert.doesNotMatch(said[0]!, /keeps it/);
});
