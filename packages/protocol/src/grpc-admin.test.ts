import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminService, fromGrpcStatus, grpcStatus, type NodeStatus } from './grpc-admin.js';

const status: NodeStatus = {
  ...{ id: 'n1', raftId: 2 ** 51, rpcAddr: 'h:9200', cluster: 'c', role: 'leader', term: 3, leader: 'n1' },
  ...{ isReady: true, isDiskFull: true, commitIndex: 8, appliedIndex: 7, revision: 5, stampMs: 1_700_000_000_000 },
  ...{ entries: 2, liveBytes: 2_048, stateHash: 'ab' },
  servers: [{ id: 'n1', rpcAddr: 'h:9200', isLeader: true, voteStatus: 'Voter', raftId: 2 ** 52 - 1 }],
};

test("a node's status is the same on the other side of the wire", () => {
  const alone = { ...status, cluster: undefined, leader: undefined, isReady: false, isDiskFull: false, servers: [] };
  for (const one of [status, alone]) {
    const bytes = adminService.status.responseSerialize(grpcStatus(one, '1.2.3'));
    assert.deepEqual(fromGrpcStatus(adminService.status.responseDeserialize(bytes)), { ...one, version: '1.2.3' });
  }
});

test('a full disk is field 18, and a server that does not know of it has room', () => {
  const bytesOf = (isDiskFull: boolean): Buffer =>
    adminService.status.responseSerialize(grpcStatus({ ...status, isDiskFull }, ''));
  // A field's number times eight, as a varint (https://protobuf.dev/programming-guides/encoding).
  assert.equal(bytesOf(true).toString('hex'), `${bytesOf(false).toString('hex')}900101`);
  assert.equal(fromGrpcStatus(adminService.status.responseDeserialize(bytesOf(false))).isDiskFull, false);
});
