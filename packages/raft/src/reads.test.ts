import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { HandClock, turn } from '@dcache/testing';
import { codeOf } from './cluster.test.helper.js';
import type { ReadIndexResult } from './core/ready.js';
import type { LeaseMoment } from './lease.js';
import { ReadBarriers } from './reads.js';

/** Read barriers over a core that only notes what it is asked. */
class Setup {
  readonly clock: HandClock = new HandClock();
  readonly issued: number[] = [];
  readonly confirmed: { term: number; sentMs: number }[] = [];
  result: ReadIndexResult = 'requested';
  term = 3;
  readonly reads: ReadBarriers;

  constructor(maxPending = 100) {
    this.reads = new ReadBarriers({
      clock: this.clock,
      random: new SeededRandom(1),
      maxPending,
      timeoutMs: 2000,
      retryMs: 500,
      issue: (context) => {
        this.issued.push(context);
        return this.result;
      },
      now: () => ({
        sent: { monotonicMs: this.clock.monotonicMs(), wallMs: this.clock.wallMs() },
        term: this.term,
      }),
      onConfirmed: (term: number, sent: LeaseMoment) => this.confirmed.push({ term, sentMs: sent.monotonicMs }),
      schedule: () => {},
    });
  }
}

/** What a promise resolved with so far. */
function watch<T>(promise: Promise<T>): { value: T | undefined } {
  const seen: { value: T | undefined } = { value: undefined };
  promise.then(
    (value) => {
      seen.value = value;
    },
    () => {},
  );
  return seen;
}

test('a read never joins a round that began before it (thesis §6.4)', async () => {
  const { reads, issued } = new Setup();
  const early = watch(reads.request());
  reads.flush();
  const late = watch(reads.request());
  reads.flush();
  assert.equal(issued.length, 2);
  reads.onReadState(10, issued[0]!);
  reads.onApplied(20);
  await turn();
  assert.deepEqual([early.value, late.value], [10, undefined]);
  reads.onReadState(12, issued[1]!);
  reads.onApplied(20);
  await turn();
  assert.equal(late.value, 12);
});

test('a read waits until its index is applied', async () => {
  const { reads, issued } = new Setup();
  const read = watch(reads.request());
  reads.flush();
  reads.onReadState(10, issued[0]!);
  reads.onApplied(9);
  await turn();
  assert.equal(read.value, undefined);
  reads.onApplied(10);
  await turn();
  assert.equal(read.value, 10);
  assert.equal(reads.pending, 0);
});

test("a round without an answer is begun again with a fresh number, and a late answer to the old one is nobody's (pitfall 10)", async () => {
  const { reads, issued, clock } = new Setup();
  const read = watch(reads.request());
  reads.flush();
  clock.pass(500);
  reads.tick();
  reads.flush();
  assert.equal(issued.length, 2);
  assert.notEqual(issued[0], issued[1]);
  reads.onReadState(10, issued[0]!);
  reads.onApplied(99);
  await turn();
  assert.equal(read.value, undefined);
  reads.onReadState(11, issued[1]!);
  reads.onApplied(99);
  await turn();
  assert.equal(read.value, 11);
});

test('a read that no quorum confirms ends with no-leader after its time, wherever it waits', async () => {
  const { reads, issued, clock } = new Setup();
  const codes = [codeOf(reads.request()), codeOf(reads.applied(1000))];
  reads.flush();
  for (let at = 0; at < 2000; at += 100) {
    clock.pass(100);
    reads.tick();
    reads.flush();
  }
  assert.deepEqual(await Promise.all(codes), ['no-leader', 'no-leader']);
  assert.equal(reads.pending, 0);
  assert.ok(issued.length <= 5);
});

test('what the core refuses is refused at once, and what is too much as well', async () => {
  const setup = new Setup(2);
  setup.result = 'no-leader';
  const first = codeOf(setup.reads.request());
  setup.reads.flush();
  assert.equal(await first, 'no-leader');
  setup.result = 'busy';
  const second = codeOf(setup.reads.request());
  setup.reads.flush();
  assert.equal(await second, 'busy');
  setup.result = 'requested';
  const waiting = [codeOf(setup.reads.request()), codeOf(setup.reads.request())];
  assert.equal(await codeOf(setup.reads.request()), 'busy');
  setup.reads.failAll(Object.assign(new Error('over'), { code: 'stopped' }) as never);
  assert.deepEqual(await Promise.all(waiting), ['stopped', 'stopped']);
});

test('a confirmed round tells when it was sent and in which term, for the lease', () => {
  const { reads, issued, confirmed, clock } = new Setup();
  void reads.request();
  const sentMs = clock.monotonicMs();
  reads.flush();
  clock.pass(80);
  reads.onReadState(5, issued[0]!);
  assert.deepEqual(confirmed, [{ term: 3, sentMs }]);
});
