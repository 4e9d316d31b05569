import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import { HandClock } from '@dcache/testing';
import { type LostVoters, lostVoters, QuorumWatch, sayAgainMs, settleMs } from './quorum-watch.js';
import type { GossipMember } from './reconcile.js';

/** Voters 1, 2, 3 … are called n1, n2, n3 …; gossip as `n1=7`, or `n1=7 failed`. */
function judge(voters: number[], gossip: string[], votersOutgoing: number[] = []): LostVoters {
  return lostVoters({
    confState: { voters, votersOutgoing },
    identityOf: (id) => ({ name: `n${id}`, rpcAddr: 'a:1' }),
    gossip: gossip.map((text) => {
      const [name, raftId, status = 'alive'] = text.split(/[= ]/) as [string, string, GossipMember['status']?];
      return { name, raftId: Number(raftId), status };
    }),
  });
}

const lost = (...view: Parameters<typeof judge>): readonly string[] => judge(...view).lost;

test('a majority that gossip knows under other Raft ids is lost for good, less of them is not', () => {
  assert.deepEqual(lost([1, 2, 3], ['n3=3', 'n2=22', 'n1=21']), ['n1', 'n2']);
  assert.deepEqual(lost([1, 2], ['n1=21', 'n2=2']), ['n1'], 'one of two is none either');
  assert.deepEqual(lost([1, 2, 3], ['n1=21', 'n2=2', 'n3=3']), []);
  assert.deepEqual(lost([1, 2, 3, 4], ['n1=21', 'n2=22', 'n3=3', 'n4=4']), ['n1', 'n2']);
  assert.deepEqual(lost([1, 2, 3, 4, 5], ['n1=21', 'n2=22', 'n3=3', 'n4=4', 'n5=5']), []);
});

test('who is only failed, or gone from gossip, may come back with its data', () => {
  assert.deepEqual(lost([1, 2, 3], ['n1=1 failed', 'n2=2 failed', 'n3=3']), []);
  assert.deepEqual(lost([1, 2, 3], ['n3=3']), []);
  assert.deepEqual(lost([1, 2, 3], ['n1=21 failed', 'n2=22', 'n3=3']), [], 'that other may have been a mistake');
  assert.deepEqual(lost([1, 2, 3], ['n1=21', 'n9=1', 'n2=22', 'n3=3']), [], 'its id lives on');
});

test('while the configuration changes either majority may be the one that is lost', () => {
  const gossip = ['n1=21', 'n2=22', 'n3=3', 'n4=4', 'n5=5'];
  assert.deepEqual(judge([3, 4, 5, 6], gossip, [1, 2, 3]), { lost: ['n1', 'n2'], voters: 3 }, 'of those three');
});

test('it is said once it has been so for a while, again every five minutes, and taken back when a leader is heard of', () => {
  const clock = new HandClock();
  const said: string[] = [];
  const told: boolean[] = [];
  const state = { lost: [] as string[], hasLeader: false };
  const watch = new QuorumWatch({
    look: () => ({ lost: state.lost, voters: 3 }),
    hasLeader: () => state.hasLeader,
    cluster: () => 'c',
    tell: (isLost) => void told.push(isLost),
    clock,
    logger: { ...silentLogger, error: (_: object, line: string) => void said.push(line) },
  });
  watch.start();
  clock.pass(2 * settleMs);
  state.lost = ['n1', 'n2'];
  clock.pass(settleMs);
  assert.deepEqual([said, told, watch.fault], [[], [], undefined], 'not at once');
  clock.pass(settleMs);
  assert.equal(said.length, 1);
  assert.match(
    said[0]!,
    /^cluster c cannot elect a leader as it is: n1, n2, 2 of its 3 voters, were started again without/,
  );
  assert.match(said[0]!, /"Lost quorum" in docs\/operations\.md$/);
  assert.deepEqual([told, watch.fault], [[true], said[0]]);
  clock.pass(sayAgainMs);
  assert.equal(said.length, 2);
  state.hasLeader = true;
  clock.pass(settleMs);
  assert.deepEqual([told, watch.fault], [[true, false], undefined]);
  watch.stop();
  state.hasLeader = false;
  clock.pass(2 * sayAgainMs);
  assert.equal(said.length, 2);
});
