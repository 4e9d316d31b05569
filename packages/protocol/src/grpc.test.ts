import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8 } from '@dcache/base';
import { CommandType } from './command.js';
import { cacheService, grpcGetResponse, grpcServers, grpcSetCommand, grpcSetRequest } from './grpc.js';
import { defaultLimits } from './limits.js';

test('the wire bytes of pb.Cache are the fixed ones', () => {
  const set = cacheService.set.requestSerialize(grpcSetRequest('k', new Uint8Array([1, 2])));
  assert.equal(set.toString('hex'), '0a016b12020102');
  const servers = cacheService.getServers.responseSerialize(
    grpcServers([{ id: 'n', rpcAddr: 'h:1', isLeader: true, voteStatus: 'Voter' }]),
  );
  assert.equal(servers.toString('hex'), '0a11' + '0a016e' + '1203683a31' + '1801' + '2205566f746572');
  assert.deepEqual(
    Object.values(cacheService).map((method) => method.path),
    ['/pb.Cache/Set', '/pb.Cache/Get', '/pb.Cache/GetServers', '/pb.Cache/Delete'],
  );
});

test('a Set becomes a command with the key as bytes', () => {
  const request = cacheService.set.requestDeserialize(Buffer.from('0a016b12020102', 'hex'));
  const command = grpcSetCommand(request, defaultLimits);
  assert.equal(command.type, CommandType.set);
  assert.equal(command.type === CommandType.set && fromUtf8(command.key), 'k');
});

test('an empty key, a large value and a miss are errors with a code', () => {
  assert.throws(() => grpcSetCommand(grpcSetRequest('', new Uint8Array()), defaultLimits), { code: 'bad-argument' });
  assert.throws(() => grpcSetCommand(grpcSetRequest('k', new Uint8Array(1_048_577)), defaultLimits), {
    code: 'too-large',
  });
  assert.throws(() => grpcGetResponse(undefined), { code: 'not-found' });
});
