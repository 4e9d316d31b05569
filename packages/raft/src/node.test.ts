import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { until } from '@dcache/testing';
import { codeOf, TestCluster } from './cluster.test.helper.js';

test('a node founds a cluster alone, at once, and applies what is proposed in order', async () => {
  await using cluster = new TestCluster();
  const node = await cluster.found(1);
  assert.equal(await node.propose(utf8('a=1')), undefined);
  const replies = await Promise.all(['a=2', 'a=3', 'b=1'].map((text) => node.propose(utf8(text))));
  assert.deepEqual(replies, ['1', '2', undefined]);
  assert.deepEqual(cluster.map(1).applied, ['a=1', 'a=2', 'a=3', 'b=1']);
  assert.deepEqual(
    cluster.map(1).memberships.map(({ context }) => context),
    ['n1'],
  );
  assert.deepEqual(node.status().confState.voters, [1]);
});

test('three nodes apply the same entries; learners come first and are promoted (thesis §4.2.1)', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  await Promise.all(Array.from({ length: 100 }, (_, i) => leader.propose(utf8(`k${i}=${i}`))));
  await until('both followers have applied all', () => [2, 3].every((id) => cluster.map(id).applied.length === 100));
  for (const id of [2, 3]) {
    assert.deepEqual(cluster.map(id).applied, cluster.map(1).applied);
    assert.deepEqual(cluster.node(id).status().confState.voters, [1, 2, 3]);
    assert.equal(cluster.node(id).status().leader, 1);
  }
  assert.equal(await codeOf(cluster.node(2).propose(utf8('x=1'))), 'not-leader');
});

test('a linearizable read sees every write acknowledged before it, on a follower too (thesis §6.4)', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  for (let i = 0; i < 20; i++) {
    await leader.propose(utf8(`k=${i}`));
    const { commitIndex } = leader.status();
    const index = await cluster.node(2).readBarrier('linearizable');
    assert.ok(index >= commitIndex, `the read index ${index} is older than the commit index ${commitIndex}`);
    assert.equal(cluster.map(2).values.get('k'), String(i));
    assert.ok(cluster.node(2).status().appliedIndex >= index);
  }
});

test('a read of an idle cluster is answered, on any node', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  await leader.propose(utf8('k=1'));
  const { commitIndex } = leader.status();
  await until('both followers have applied what is committed', () =>
    [2, 3].every((id) => cluster.node(id).status().appliedIndex === commitIndex),
  );
  for (const id of [1, 2, 3]) assert.equal(await cluster.node(id).readBarrier('linearizable'), commitIndex);
});

test('all reads of one turn share one round to a quorum', async () => {
  await using cluster = new TestCluster();
  await cluster.found(3);
  const before = cluster.node(2).stats().readRounds;
  await Promise.all(Array.from({ length: 1000 }, () => cluster.node(2).readBarrier('linearizable')));
  assert.equal(cluster.node(2).stats().readRounds, before + 1);
});

test('lease reads need no round while the lease lasts, and only the leader gives them (thesis §6.4.1)', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  await leader.readBarrier('lease');
  assert.equal(leader.isLeaseValid(), true);
  const rounds = leader.stats().readRounds;
  await Promise.all(Array.from({ length: 100 }, () => leader.readBarrier('lease')));
  assert.ok(leader.stats().readRounds <= rounds + 1);
  assert.equal(await codeOf(cluster.node(2).readBarrier('lease')), 'not-leader');
});

test('leadership is handed to whom it shall go, and the lease of that term ends with the request (thesis §3.10)', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  await leader.readBarrier('lease');
  const handed = leader.transferLeadership(3);
  assert.equal(leader.isLeaseValid(), false);
  await handed;
  assert.equal((await cluster.leader()).id, 3);
  await until('the old leader follows the new one', () => leader.status().leader === 3);
  assert.equal(await codeOf(leader.propose(utf8('a=1'))), 'not-leader');
  assert.equal(await codeOf(leader.transferLeadership(2)), 'not-leader');
});

test('a node that needs what was compacted gets the state, in pieces, and then the log', async () => {
  await using cluster = new TestCluster({ trailingEntries: 10, snapshotChunkBytes: 50, snapshotWindow: 3 });
  const leader = await cluster.found(1);
  for (let i = 0; i < 300; i++) await leader.propose(utf8(`key${i}=${i}`));
  assert.ok(leader.status().firstIndex > 250);
  const sent: unknown[] = [];
  leader.on('snapshot-sent', (event) => sent.push(event.to));
  await cluster.addVoter(leader, 2);
  await leader.propose(utf8('last=1'));
  await until('the newcomer has the last write', () => cluster.map(2).values.has('last'));
  assert.deepEqual([...cluster.map(2).values].sort(), [...cluster.map(1).values].sort());
  assert.equal(cluster.map(2).restores, 1);
  assert.deepEqual(sent, [2]);
  assert.equal(cluster.map(1).openSnapshots, 0);
  assert.equal(cluster.node(2).stats().snapshotsInstalled, 1);
  assert.deepEqual(cluster.node(2).status().confState, leader.status().confState);
});

test('a removed voter no longer counts, and the last voter cannot be removed', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  await leader.changeMembership({ type: 'remove', id: 3 });
  await cluster.stop(3);
  await leader.changeMembership({ type: 'remove', id: 2 });
  await cluster.stop(2);
  await leader.propose(utf8('a=1'));
  assert.equal(await codeOf(leader.changeMembership({ type: 'remove', id: 1 })), 'refused');
  assert.deepEqual((await leader.changeMembership({ type: 'remove', id: 2 })).voters, [1]);
});

test('a leader that removes itself steps down when the others have it', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  await leader.changeMembership({ type: 'remove', id: 1 });
  const next = await cluster.leader([2, 3]);
  await until('two voters are left', () => next.status().confState.voters.length === 2);
  await next.propose(utf8('a=1'));
  assert.notEqual(leader.status().role, 'leader');
});

test('the cluster goes on when the leader is cut off, and the old leader learns what it missed', async () => {
  await using cluster = new TestCluster();
  const old = await cluster.found(3);
  cluster.network.isolate(1);
  const next = await cluster.leader([2, 3]);
  await next.propose(utf8('a=new'));
  cluster.network.heal();
  await until('the old leader has the new write', () => cluster.map(1).values.get('a') === 'new');
  assert.equal(old.status().role, 'follower');
});

test('a proposal whose place another leader took is lost (not applied, may be proposed again)', async () => {
  await using cluster = new TestCluster({ outcomeTimeoutMs: 60_000, proposalTimeoutMs: 60_000 });
  const old = await cluster.found(3);
  cluster.network.isolate(1);
  const lost = old.propose(utf8('a=old'));
  const next = await cluster.leader([2, 3]);
  await next.propose(utf8('a=new'));
  await next.propose(utf8('b=new'));
  cluster.network.heal();
  assert.equal(await codeOf(lost), 'lost');
});

test('a proposal that nobody decides is of unknown outcome, soon after leadership was lost', async () => {
  await using cluster = new TestCluster();
  const old = await cluster.found(3);
  cluster.network.isolate(1);
  assert.equal(await codeOf(old.propose(utf8('a=never'))), 'unknown-outcome');
  assert.notEqual(old.status().role, 'leader');
});

test('what waits when a node stops is settled, and what comes later is refused', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(3);
  cluster.network.isolate(1);
  const waiting = [
    leader.propose(utf8('a=1')),
    leader.readBarrier('linearizable'),
    leader.changeMembership({ type: 'remove', id: 3 }),
  ];
  await leader.stop();
  assert.deepEqual(await Promise.all(waiting.map(codeOf)), ['unknown-outcome', 'stopped', 'unknown-outcome']);
  assert.equal(await codeOf(leader.propose(utf8('a=1'))), 'stopped');
  assert.equal(await codeOf(leader.readBarrier('lease')), 'stopped');
});

test('an aborted proposal is rejected at once and its place is passed over', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(1);
  const abort = new AbortController();
  const aborted = leader.propose(utf8('a=1'), { signal: abort.signal });
  const after = leader.propose(utf8('a=2'));
  abort.abort();
  assert.equal(await codeOf(aborted), 'aborted');
  assert.equal(await after, '1');
});

test('a state machine that throws ends the node with an event', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(1);
  cluster.map(1).apply = () => {
    throw new Error('cannot apply');
  };
  const fatal = new Promise<Error>((resolve) => leader.once('fatal', resolve));
  const proposal = leader.propose(utf8('a=1'));
  assert.match((await fatal).message, /apply of entry \d+ threw/);
  assert.equal(await codeOf(proposal), 'unknown-outcome');
  assert.equal(await codeOf(leader.propose(utf8('a=1'))), 'stopped');
});
