import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, formatServer, formatStatus } from './format.js';

test('a server is printed as the original prints it, false and empty fields left out', () => {
  const server = { id: 'node1', rpcAddr: '127.0.0.1:9200', isLeader: true, voteStatus: 'Voter' as const };
  assert.equal(formatServer(server), 'id:"node1"  rpc_addr:"127.0.0.1:9200"  is_leader:true  vote_status:"Voter"');
  assert.equal(
    formatServer({ ...server, isLeader: false, rpcAddr: '', voteStatus: 'Nonvoter' }),
    'id:"node1"  vote_status:"Nonvoter"',
  );
});

test('the status is a table, with a line for who does not answer', () => {
  const view = {
    ...{ id: 'node1', raftId: 1, rpcAddr: '127.0.0.1:9200', cluster: 'c', role: 'leader', term: 3, leader: 'node1' },
    ...{ isReady: true, commitIndex: 7, appliedIndex: 7, revision: 5, stampMs: 1, entries: 2, liveBytes: 2_048 },
    ...{ stateHash: 'ab', servers: [] },
  };
  assert.deepEqual(formatStatus([view, { id: 'node2', rpcAddr: 'h:1', error: 'unreachable' }]), [
    'id     address         role    ready  term  applied  entries  bytes    state hash',
    'node1  127.0.0.1:9200  leader  yes    3     7        2        2.0 KiB  ab',
    'node2  h:1             no answer: unreachable',
  ]);
});

test('bytes are told in the unit that fits', () => {
  assert.deepEqual([0, 1_023, 1_536, 20 * 1_048_576, 3 * 2 ** 40].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '20.0 MiB',
    '3.0 TiB',
  ]);
});
