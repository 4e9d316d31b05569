import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, utf8 } from '@dcache/base';
import { HandClock, until } from '@dcache/testing';
import { Applier } from './applier.js';
import { codeOf, TestCluster, TextMap } from './cluster.test.helper.js';
import { type Entry, EntryType, MessageType, makeMessage } from './core/message.js';

test('more proposals than may wait are busy, and those that wait are still made (decision 10)', async () => {
  await using cluster = new TestCluster({ maxPendingProposals: 10 });
  const leader = await cluster.found(1);
  const codes = await Promise.all(Array.from({ length: 30 }, (_, i) => codeOf(leader.propose(utf8(`k${i}=${i}`)))));
  assert.equal(codes.filter((code) => code === 'resolved').length, 10);
  assert.equal(codes.filter((code) => code === 'busy').length, 20);
  assert.equal(await codeOf(leader.propose(utf8('after=1'))), 'resolved');
});

test('more bytes than may wait to be committed are busy', async () => {
  await using cluster = new TestCluster({ maxUncommittedBytes: 10_000 });
  const leader = await cluster.found(3);
  cluster.network.isolate(1);
  const waiting: Promise<string>[] = [];
  const value = 'v'.repeat(1000);
  for (let i = 0; i < 30; i++) waiting.push(codeOf(leader.propose(utf8(`k${i}=${value}`))));
  const busy = waiting.slice(20);
  assert.deepEqual([...new Set(await Promise.all(busy))], ['busy']);
  cluster.network.heal();
  await Promise.all(waiting);
});

test('a proposal above the limit is too large, one of no bytes a mistake', async () => {
  await using cluster = new TestCluster({ maxProposalBytes: 100 });
  const leader = await cluster.found(1);
  assert.equal(await codeOf(leader.propose(new Uint8Array(101))), 'too-large');
  await assert.rejects(leader.propose(new Uint8Array(0)), TypeError);
});

test('more reads than may wait are busy', async () => {
  await using cluster = new TestCluster({ maxPendingReads: 5 });
  const leader = await cluster.found(3);
  const codes = await Promise.all(Array.from({ length: 8 }, () => codeOf(leader.readBarrier('linearizable'))));
  assert.deepEqual(codes.sort(), ['busy', 'busy', 'busy', 'resolved', 'resolved', 'resolved', 'resolved', 'resolved']);
});

function entries(from: number, to: number): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    index: from + i,
    term: 1,
    type: EntryType.normal,
    data: utf8(`k${from + i}=1`),
  }));
}

test('a long queue is applied in slices of a few milliseconds, in order (pitfall 21)', () => {
  const clock = new HandClock();
  const map = new TextMap();
  const apply = map.apply.bind(map);
  map.apply = (entry) => {
    clock.stand(1);
    return apply(entry);
  };
  const applier = new Applier({
    stateMachine: map,
    clock,
    sliceMs: 5,
    applyConfEntry: () => assert.fail('there is none'),
    onApplied: () => {},
    onMembership: () => {},
  });
  const first = makeMessage(MessageType.storageApply, 1, { entries: entries(1, 8) });
  const second = makeMessage(MessageType.storageApply, 1, { entries: entries(9, 11) });
  applier.push(first);
  applier.push(second);
  assert.deepEqual(applier.run().done, []);
  assert.equal(applier.index, 5);
  assert.deepEqual(applier.run().done, [first]);
  assert.equal(applier.index, 10);
  assert.deepEqual(applier.run().done, [second]);
  assert.equal(applier.isIdle, true);
  assert.deepEqual(
    map.applied,
    entries(1, 11).map(({ data }) => Buffer.from(data).toString()),
  );
});

test('heartbeats go on beside an apply that takes far longer than an election timeout (pitfall 21)', async () => {
  await using cluster = new TestCluster({ electionTicks: 60 });
  const leader = await cluster.found(3);
  const { term } = leader.status();
  for (const id of [1, 2, 3]) {
    const map = cluster.map(id);
    const apply = map.apply.bind(map);
    map.apply = (entry) => {
      // Half a slice of work for each entry.
      for (const endMs = performance.now() + 2.5; performance.now() < endMs; );
      return apply(entry);
    };
  }
  // Three nodes in one process: 3 × 250 × 2.5 ms = 1.9 s of applying, with elections at 0.6 to 1.2 s.
  await Promise.all(Array.from({ length: 250 }, (_, i) => leader.propose(utf8(`k${i}=${i}`))));
  await until('both followers have applied all', () => [2, 3].every((id) => cluster.map(id).applied.length === 250));
  assert.equal(leader.status().role, 'leader');
  assert.equal(leader.status().term, term);
});

test('a follower that cannot apply takes no more than a bound into its log, and catches up later', async () => {
  await using cluster = new TestCluster({ maxUnappliedBytes: 50_000, trailingEntries: 0, maxInflightBytes: 20_000 });
  const leader = await cluster.found(3);
  const value = 'v'.repeat(2000);
  // A state machine that takes 10 ms for each entry, while two others are a quorum.
  const map = cluster.map(3);
  const apply = map.apply.bind(map);
  let isSlow = true;
  map.apply = (entry) => {
    for (const endMs = performance.now() + (isSlow ? 10 : 0); performance.now() < endMs; );
    return apply(entry);
  };
  let most = 0;
  for (let i = 0; i < 20; i++) {
    await Promise.all(Array.from({ length: 5 }, (_, at) => codeOf(leader.propose(utf8(`k${i}-${at}=${value}`)))));
    most = Math.max(most, cluster.node(3).stats().logBytes);
  }
  assert.ok(most < 50_000 + 2 * 20_000, `${most} bytes were in the log`);
  isSlow = false;
  await until('the slow one has everything', () => map.values.size === cluster.map(1).values.size);
});

test('what was applied is the same on all nodes, whatever the network lost (pitfall 20)', async () => {
  await using cluster = new TestCluster({ random: new SeededRandom(5) });
  const leader = await cluster.found(3);
  cluster.network.loss = 0.1;
  let at = 0;
  while (at < 200)
    if ((await codeOf(leader.propose(utf8(`k${at % 7}=${at}`)))) === 'resolved') at++;
    else break;
  cluster.network.loss = 0;
  const last = (await cluster.leader()).status().lastIndex;
  await until('all have applied everything', () =>
    [1, 2, 3].every((id) => cluster.node(id).status().appliedIndex >= last),
  );
  const sequences = [1, 2, 3].map((id) => cluster.map(id).applied.join());
  assert.equal(sequences[1], sequences[0]);
  assert.equal(sequences[2], sequences[0]);
});
