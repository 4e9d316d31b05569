import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock, turn } from '@dcache/testing';
import { inSlices } from './slices.js';
import type { SnapshotPiece } from './snapshot-frame.js';
import { SnapshotSender } from './snapshot-sender.js';

// Time here is what a state machine takes; a turn of the event loop is what `defer` was asked for.

/** Turns of an event loop, and the longest that was computed between two of them. */
class Turns {
  readonly clock = new HandClock();
  longestMs = 0;
  #beganMs = this.clock.monotonicMs();
  #waiting: (() => void)[] = [];

  readonly defer = (run: () => void): void => {
    this.#waiting.push(run);
  };

  /** One turn, with all that follows from it by promises; false when nothing waits. */
  async turn(): Promise<boolean> {
    this.longestMs = Math.max(this.longestMs, this.clock.monotonicMs() - this.#beganMs);
    this.#beganMs = this.clock.monotonicMs();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) run();
    // Promises settle before the real event loop turns; none of the code under test waits for that.
    await turn(1);
    return waiting.length > 0;
  }
}

async function* arrived(count: number, bytes: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield new Uint8Array(bytes).fill(i + 1);
}

test('a state that is all there is taken in without holding the event loop for more than 3 ms', async () => {
  const turns = new Turns();
  let bytes = 0;
  let largest = 0;
  const taken = (async () => {
    // 115 ms of work: 8 pieces of 256 KiB, 0.9 ms for 16 KiB.
    for await (const part of inSlices(arrived(8, 256 * 1024), turns.clock, turns.defer)) {
      turns.clock.stand((part.length / 16_384) * 0.9);
      bytes += part.length;
      largest = Math.max(largest, part.length);
    }
  })();
  let count = 0;
  while (await turns.turn()) count++;
  await taken;
  assert.equal(bytes, 8 * 256 * 1024);
  assert.ok(largest <= 16_384);
  assert.ok(turns.longestMs <= 3, `${turns.longestMs} ms between two turns`);
  assert.ok(count >= (128 * 0.9) / 3);
});

test('slices give the bytes in their order', async () => {
  const turns = new Turns();
  const parts: number[] = [];
  const taken = (async () => {
    for await (const part of inSlices(arrived(3, 20_000), turns.clock, turns.defer)) parts.push(part.length, part[0]!);
  })();
  while (await turns.turn());
  await taken;
  assert.deepEqual(parts, [16_384, 1, 3_616, 1, 16_384, 2, 3_616, 2, 16_384, 3, 3_616, 3]);
});

test('a snapshot is sent without holding the event loop for more than 3 ms, however many answers come at once', async () => {
  const turns = new Turns();
  const { clock, defer } = turns;
  const sent: SnapshotPiece[] = [];
  let ended: boolean | undefined;
  const sender = new SnapshotSender({
    to: 2,
    transfer: 7,
    term: 1,
    requested: false,
    metadata: {
      index: 5,
      term: 1,
      confState: { voters: [1], learners: [2], votersOutgoing: [], learnersNext: [], autoLeave: false },
    },
    snapshot: {
      *chunks() {
        for (let i = 0; i < 200; i++) {
          clock.stand(0.7);
          yield new Uint8Array(16_384).fill(i);
        }
      },
      close: () => {},
    },
    chunkBytes: 256 * 1024,
    window: 8,
    timeoutMs: 30_000,
    resendMs: 10_000,
    clock,
    defer,
    send: (piece) => {
      sent.push(piece);
      return true;
    },
    onEnd: (ok) => {
      ended = ok;
    },
  });
  let answered = 0;
  for (let round = 0; ended === undefined && round < 1000; round++) {
    await turns.turn();
    // All that came is answered in one turn, each piece with an answer of its own.
    while (answered < sent.length) {
      const { type, sequence } = sent[answered++]!;
      sender.onAck({ transfer: 7, next: sequence + 1, status: type === 'end' ? 'done' : 'progress' });
    }
  }
  assert.equal(ended, true);
  assert.ok(turns.longestMs <= 3, `${turns.longestMs} ms between two turns`);
  const bytes = sent.reduce((sum, piece) => sum + (piece.type === 'data' ? piece.data.length : 0), 0);
  assert.equal(bytes, 200 * 16_384);
});
