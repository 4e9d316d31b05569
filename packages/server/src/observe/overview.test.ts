import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import type { MemberProgress } from '@dcache/raft';
import { HandClock } from '@dcache/testing';
import type { NodeStats } from './metrics-node.js';
import { RequestMetrics } from './metrics-requests.js';
import { type OverviewMember, overview } from './overview.js';
import { SlowLog } from './slow-log.js';
import type { ServerStatus } from './status.js';

const names = ['n1', 'n2', 'n3', 'n4'];

/** The members as `n1` sees them, whose raft knows this of them. */
function members(isDiskFull: boolean, progress: readonly Partial<MemberProgress>[]): readonly OverviewMember[] {
  const servers = names.map((id, raftId) => ({ id, raftId, rpcAddr: '', isLeader: false, voteStatus: 'Voter' }));
  const { members } = overview({
    status: { id: 'n1', isDiskFull, servers } as unknown as ServerStatus,
    stats: { mux: {}, raft: { status: { lastIndex: 10, progress }, stats: { commitLatency: {} } } } as NodeStats,
    requests: new RequestMetrics(new SlowLog(0, new HandClock(), silentLogger)),
    ...{ monotonicMs: 0, uptimeSeconds: 0, gossip: () => 'alive' },
  });
  return members;
}

test('a leader tells whose disk is full, and how far behind each is', () => {
  const seen = members(false, [
    { id: 0, matchIndex: 10, hasRoom: true },
    { id: 1, matchIndex: 7, hasRoom: false },
    { id: 2, matchIndex: 10, hasRoom: true },
    { id: 3, matchIndex: 0, hasRoom: undefined },
  ]);
  assert.deepEqual(
    seen.map(({ isDiskFull }) => isDiskFull),
    [false, true, false, false],
  );
  assert.deepEqual(
    seen.map(({ lagEntries }) => lagEntries),
    [0, 3, 0, 10],
  );
});

test('another node tells it of itself alone', () => {
  for (const isFull of [true, false]) {
    const seen = members(isFull, []);
    assert.deepEqual(
      seen.map(({ isDiskFull, lagEntries }) => [isDiskFull, lagEntries]),
      [[isFull, undefined], ...Array(3).fill([undefined, undefined])],
    );
  }
});
