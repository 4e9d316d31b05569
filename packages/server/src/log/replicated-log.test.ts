import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DcacheError, Reply } from '@dcache/protocol';
import { RaftError, type RaftErrorCode, type RaftErrorDetails, type RaftNode } from '@dcache/raft';
import { NotAppendedError, RaftReplicatedLog } from './replicated-log.js';

/** The log over node 3, which refuses everything so. */
function refusing(code: RaftErrorCode, details: RaftErrorDetails = {}): RaftReplicatedLog {
  const refuse = (): Promise<never> => Promise.reject(new RaftError(code, 'no', details));
  const node = { id: 3, on: () => {}, propose: refuse, transferLeadership: refuse, changeMembership: refuse };
  return new RaftReplicatedLog(node as unknown as RaftNode<readonly Reply[]>, (id) => `node${id}`);
}

test('full disks are told with the names of their nodes, because the request may have come in elsewhere', async () => {
  const messageOf = (details: RaftErrorDetails): Promise<string> =>
    refusing('disk-full', details)
      .append(new Uint8Array())
      .then(
        () => 'nothing',
        (error: DcacheError) => `${error.code}: ${error.message}`,
      );
  assert.match(await messageOf({ full: [3] }), /^disk-full: .* the disk of node3 \(the leader\); nothing was done$/);
  assert.match(await messageOf({ full: [1, 2] }), / the disk of node1 and node2; nothing/);
  assert.match(await messageOf({ full: [2], silent: [1] }), / the disk of node2, and node1 cannot be heard; nothing/);
});

test('leadership that is refused because of a full disk says whose, too', async () => {
  await assert.rejects(refusing('disk-full', { full: [2] }).transferLeadership(2), {
    code: 'precondition-failed',
    message: /the disk of node2: as leader/,
  });
});

test('what is certainly not in the log may be sent again, what may be there has an unknown outcome', async () => {
  for (const code of ['not-leader', 'no-leader', 'handing-over', 'lost'] as const)
    await assert.rejects(refusing(code).append(new Uint8Array()), NotAppendedError);
  for (const code of ['unknown-outcome', 'aborted', 'io'] as const)
    await assert.rejects(refusing(code).append(new Uint8Array()), { code: 'unknown-outcome' });
});

test('a change of members that was not made says so in the words of clients, and is no fault of the server', async () => {
  const rows: [RaftErrorCode, string][] = [
    ...(['not-leader', 'no-leader', 'handing-over', 'lost'] as const).map((code): [RaftErrorCode, string] => [
      code,
      'no-leader',
    ]),
    ...(['busy', 'not-caught-up'] as const).map((code): [RaftErrorCode, string] => [code, 'busy']),
    ...(['unknown-outcome', 'aborted', 'io'] as const).map((code): [RaftErrorCode, string] => [
      code,
      'unknown-outcome',
    ]),
    ['refused', 'precondition-failed'],
    ['stopped', 'stopping'],
    ['disk-full', 'disk-full'],
    ['internal', 'internal'],
  ];
  for (const [code, expected] of rows)
    await assert.rejects(refusing(code).changeMember({ type: 'remove', id: 1 }), { code: expected }, code);
});
