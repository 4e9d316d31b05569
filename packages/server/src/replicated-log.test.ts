import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Reply } from '@dcache/protocol';
import { RaftError, type RaftErrorCode, type RaftNode } from '@dcache/raft';
import { NotAppendedError, RaftReplicatedLog } from './replicated-log.js';

/** The log over a node that refuses each proposal so. */
function refusing(code: RaftErrorCode, message: string): RaftReplicatedLog {
  const node = { id: 1, on: () => {}, propose: () => Promise.reject(new RaftError(code, message)) };
  return new RaftReplicatedLog(node as unknown as RaftNode<readonly Reply[]>, 'node3');
}

test('a full disk is told with the name of the node whose it is, because the request may have come in elsewhere', async () => {
  await assert.rejects(refusing('disk-full', 'there is no room for more log on the disk').append(new Uint8Array()), {
    name: 'DcacheError',
    code: 'disk-full',
    message: 'there is no room for more log on the disk of the leader, node3; nothing was done',
  });
});

test('what is certainly not in the log may be sent again, what may be there has an unknown outcome', async () => {
  for (const code of ['not-leader', 'no-leader', 'lost'] as const)
    await assert.rejects(refusing(code, 'moved').append(new Uint8Array()), NotAppendedError);
  for (const code of ['unknown-outcome', 'aborted', 'io'] as const)
    await assert.rejects(refusing(code, 'who knows').append(new Uint8Array()), { code: 'unknown-outcome' });
});
