import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatServer } from './format.js';

test('a server is printed as the original prints it, false and empty fields left out', () => {
  const server = { id: 'node1', rpcAddr: '127.0.0.1:9200', isLeader: true, voteStatus: 'Voter' as const };
  assert.equal(formatServer(server), 'id:"node1"  rpc_addr:"127.0.0.1:9200"  is_leader:true  vote_status:"Voter"');
  assert.equal(
    formatServer({ ...server, isLeader: false, rpcAddr: '', voteStatus: 'Nonvoter' }),
    'id:"node1"  vote_status:"Nonvoter"',
  );
});
