import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import { HandClock } from '@dcache/testing';
import { TextMap } from '../cluster.test.helper.js';
import { MemoryStorage } from '../storage.js';
import { SnapshotExchange } from './snapshot-exchange.js';
import type { SnapshotPiece } from './snapshot-frame.js';

/** An exchange whose node leads term 3 and has the state of index 9. */
function leading(): { exchange: SnapshotExchange; sent: SnapshotPiece[]; reports: [number, boolean][] } {
  const sent: SnapshotPiece[] = [];
  const reports: [number, boolean][] = [];
  const exchange = new SnapshotExchange({
    storage: new MemoryStorage(),
    stateMachine: new TextMap(),
    transport: {
      start: () => {},
      send: () => {},
      sendSnapshotPiece: (_to, piece) => sent.push(piece) > 0,
      sendSnapshotAck: () => true,
      stop: async () => {},
    },
    clock: new HandClock(),
    logger: silentLogger,
    defer: (run) => run(),
    firstTransfer: 1,
    chunkBytes: 100,
    window: 8,
    timeoutMs: 1000,
    resendMs: 100,
    isBusy: () => false,
    release: async () => {},
    state: () => ({
      index: 9,
      term: 3,
      confState: { voters: [1], learners: [2], votersOutgoing: [], learnersNext: [], autoLeave: false },
    }),
    term: () => 3,
    leader: () => undefined,
    onSent: () => {},
    report: (to, ok) => void reports.push([to, ok]),
    onRestored: () => {},
    step: () => {},
    onHopeless: () => {},
  });
  return { exchange, sent, reports };
}

test('a core that wants to send a state while the receiver is sent one that it asked for asks again later', () => {
  const { exchange, sent, reports } = leading();
  // The receiver's state machine lost its state: what comes is for that alone, its core does not hear of it.
  exchange.onAck(2, { transfer: 0, next: 0, status: 'wanted' });
  assert.equal(exchange.sending, 1);
  exchange.send(2);
  assert.deepEqual(reports, [[2, false]]);
  const last = sent.at(-1)!;
  exchange.onAck(2, { transfer: last.transfer, next: last.sequence + 1, status: 'done' });
  assert.equal(exchange.sending, 0);
  exchange.send(2);
  assert.equal(sent.filter(({ type }) => type === 'begin').length, 2);
  assert.deepEqual(reports, [[2, false]]);
});

test('a core that asks again while its own transfer is under way hears of that one when it is over', () => {
  const { exchange, sent, reports } = leading();
  exchange.send(2);
  exchange.send(2);
  assert.deepEqual(reports, []);
  const last = sent.at(-1)!;
  exchange.onAck(2, { transfer: last.transfer, next: last.sequence + 1, status: 'done' });
  assert.deepEqual(reports, [[2, true]]);
});
