import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, formatSaved, formatServer, formatStatus, formatValue } from './format.js';

test('a server is printed as the original prints it, false and empty fields left out', () => {
  const server = { id: 'node1', rpcAddr: '127.0.0.1:9200', isLeader: true, voteStatus: 'Voter' as const };
  assert.equal(formatServer(server), 'id:"node1"  rpc_addr:"127.0.0.1:9200"  is_leader:true  vote_status:"Voter"');
  assert.equal(
    formatServer({ ...server, isLeader: false, rpcAddr: '', voteStatus: 'Nonvoter' }),
    'id:"node1"  vote_status:"Nonvoter"',
  );
});

const view = {
  ...{ id: 'node1', raftId: 1, rpcAddr: '127.0.0.1:9200', cluster: 'c', role: 'leader', term: 3, leader: 'node1' },
  ...{ isReady: true, commitIndex: 7, appliedIndex: 7, revision: 5, stampMs: 1, entries: 2, liveBytes: 2_048 },
  ...{ isDiskFull: false, stateHash: 'ab', servers: [] },
};

test('the status is a table, with a line for who does not answer', () => {
  assert.deepEqual(formatStatus([view, { id: 'node2', rpcAddr: 'h:1', error: 'unreachable' }]), [
    'id     address         role    ready  term  applied  entries  bytes    state hash',
    'node1  127.0.0.1:9200  leader  yes    3     7        2        2.0 KiB  ab',
    'node2  h:1             no answer: unreachable',
  ]);
});

test('below the table stands whose disk is full', () => {
  const lines = formatStatus([
    { ...view, isDiskFull: true },
    { ...view, id: 'node2' },
  ]);
  assert.equal(lines.length, 4);
  assert.equal(lines[3], 'the disk of node1 is full: it takes no more log, and leads only if nobody else can');
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

test('what was saved of one server alone says how far that is, and what may be missing', () => {
  const moment = {
    ...{ entries: 1, liveBytes: 60, id: 'node3', cluster: 'c' },
    ...{ appliedIndex: 4711, appliedTerm: 7, stampMs: 1_700_000_000_000 },
  };
  assert.equal(formatSaved(2_048, 'linearizable', moment), 'saved 1 entry, 2.0 KiB');
  assert.deepEqual(formatSaved(2_048, 'local', moment).split('\n'), [
    'saved 1 entry, 2.0 KiB, as node3 alone has them: applied index 4711, term 7, log time 2023-11-14T22:13:20.000Z',
    'the last acknowledged writes may be missing; of several survivors take the highest applied index',
  ]);
});

test('on a terminal a value ends its line, and nothing in it moves the terminal', () => {
  const shown = (value: string | number[]): [string, number] => {
    const { text, escaped } = formatValue(typeof value === 'string' ? Buffer.from(value) : Uint8Array.from(value));
    return [text, escaped];
  };
  assert.deepEqual(shown('hello'), ['hello\n', 0]);
  assert.deepEqual(shown('grüße\n\tzwei\n'), ['grüße\n\tzwei\n', 0]);
  assert.deepEqual(shown(''), ['\n', 0]);
  assert.deepEqual(shown('a\x1b[2Jb\r\x07\x7f\u009b1m'), ['a\\x1b[2Jb\\x0d\\x07\\x7f\\xc2\\x9b1m\n', 6]);
  assert.deepEqual(shown([0x41, 0xff, 0x00, 0x0a]), ['A\\xff\\x00\n', 2]);
});
