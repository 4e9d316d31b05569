import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, utf8 } from '@dcache/base';
import { until } from '@dcache/testing';
import { codeOf, quiet, retry, TestCluster } from './cluster.test.helper.js';
import { MessageType } from './core/message.js';
import { DiskStorage } from './disk/disk-storage.js';
import { SimulatedDisk } from './disk/simulated-disk.js';
import type { RaftError } from './errors.js';

function open(disk: SimulatedDisk, id: number): Promise<DiskStorage> {
  const random = new SeededRandom(id);
  return DiskStorage.open({ directory: `/n${id}`, fileSystem: disk.mount(), nodeId: id, segmentBytes: 65_536, random });
}

test('a durable node has everything again after a power cut: state from snapshot and log, members, term', async () => {
  await using cluster = new TestCluster({ snapshotEntries: 50, trailingEntries: 10 });
  const disk = new SimulatedDisk();
  const node = await cluster.start(1, { bootstrap: { context: utf8('n1') } }, await open(disk, 1));
  await until('it leads', () => node.status().role === 'leader');
  for (let i = 0; i < 180; i++) await cluster.write(`key${i}=${i}`);
  await until('three snapshots are written', () => node.stats().snapshotsWritten >= 3);
  const { term } = node.status();
  disk.crash();
  await cluster.stop(1);
  const again = await cluster.start(1, {}, await open(disk, 1));
  await until('it leads again', () => again.status().role === 'leader');
  await again.readBarrier('linearizable');
  assert.equal(cluster.map(1).values.size, 180);
  assert.ok(cluster.map(1).applied.length < 180, 'the log was cut at the snapshot');
  assert.ok(again.status().term > term);
  assert.deepEqual(again.status().confState.voters, [1]);
  assert.equal(await again.propose(utf8('key7=new')), '7');
});

test('acknowledged writes survive a power cut of all three nodes at once', async () => {
  await using cluster = new TestCluster();
  const disks = await durableThree(cluster);
  await Promise.all(Array.from({ length: 100 }, (_, i) => cluster.write(`key${i}=${i}`)));
  for (const disk of disks.values()) disk.crash();
  for (const id of [1, 2, 3]) await cluster.stop(id);
  for (const id of [1, 2, 3]) await cluster.start(id, {}, await open(disks.get(id)!, id));
  const next = await cluster.leader();
  await retry(() => next.readBarrier('linearizable'));
  assert.equal(cluster.map(next.id).values.size, 100);
});

test('a vote leaves, and is asked for, only when it is on disk (pitfall 2; Raft §5, figure 2)', async () => {
  await using cluster = new TestCluster();
  const disks = await durableThree(cluster);
  const said: { from: number; type: number }[] = [];
  cluster.network.filter = (from, _, what) => {
    if ('from' in what) said.push({ from, type: what.type });
    return true;
  };
  const count = (type: number): number => said.filter((message) => message.type === type).length;
  for (const id of [2, 3]) disks.get(id)!.holdSyncs = true;
  cluster.network.isolate(1);
  // A poll for votes binds nobody. Who wins it wants a term of its own, and that must be on its disk first.
  const holds = (id: number): boolean => disks.get(id)!.heldSyncs > 0;
  const stands = (id: number): boolean => cluster.node(id).status().role === 'candidate' && holds(id);
  await until('one of the two stands, and syncs its own vote', () => [2, 3].some(stands));
  await quiet();
  assert.ok(count(MessageType.preVoteResponse) > 0);
  assert.equal(count(MessageType.vote), 0);
  const candidate = [2, 3].find(stands)!;
  const voter = 5 - candidate;
  disks.get(candidate)!.holdSyncs = false;
  disks.get(candidate)!.releaseSyncs();
  await until(
    'the voter has the term of the candidate, and waits for its disk',
    () =>
      count(MessageType.vote) > 0 &&
      cluster.node(voter).status().term === cluster.node(candidate).status().term &&
      holds(voter),
  );
  await quiet();
  assert.equal(count(MessageType.voteResponse), 0);
  disks.get(voter)!.holdSyncs = false;
  disks.get(voter)!.releaseSyncs();
  await until('the vote is answered', () => count(MessageType.voteResponse) > 0);
  await cluster.leader([2, 3]);
});

test('a failed sync ends the node with an event, and nothing is acknowledged (pitfall 4)', async () => {
  await using cluster = new TestCluster();
  const disk = new SimulatedDisk();
  const node = await cluster.start(1, { bootstrap: {} }, await open(disk, 1));
  await until('it leads', () => node.status().role === 'leader');
  await node.propose(utf8('a=1'));
  const fatal = new Promise<RaftError>((resolve) => node.once('fatal', resolve));
  disk.failNextSync();
  assert.equal(await codeOf(node.propose(utf8('a=2'))), 'unknown-outcome');
  assert.equal((await fatal).code, 'io');
  assert.equal(await codeOf(node.propose(utf8('a=3'))), 'stopped');
  assert.equal(cluster.map(1).values.get('a'), '1');
});

test('with a full disk proposals are refused, reads go on, and it recovers when space returns (pitfall 5)', async () => {
  await using cluster = new TestCluster();
  const disk = new SimulatedDisk();
  const node = await cluster.start(1, { bootstrap: {} }, await open(disk, 1));
  await until('it leads', () => node.status().role === 'leader');
  await node.propose(utf8('a=1'));
  disk.capacityBytes = disk.usedBytes;
  const value = 'x'.repeat(2000);
  let code = 'resolved';
  let writes = 0;
  for (; code === 'resolved'; writes++) code = await codeOf(node.propose(utf8(`a=${value}`)));
  assert.equal(code, 'disk-full');
  assert.ok(writes > 10);
  await node.readBarrier('linearizable');
  assert.equal(cluster.map(1).values.get('a'), value);
  assert.equal(node.status().role, 'leader');
  assert.equal(node.stats().isDiskFull, true);
  assert.equal(node.status().isDiskFull, true);
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  await retry(() => node.propose(utf8('a=again')));
  assert.equal(cluster.map(1).values.get('a'), 'again');
});

test('a slow disk holds up no heartbeats: a follower whose disk hangs keeps its leader (pitfall 21)', async () => {
  await using cluster = new TestCluster();
  const disks = await durableThree(cluster);
  const leader = cluster.node(1);
  const { term } = leader.status();
  const ticks = cluster.node(2).status().commitIndex;
  disks.get(2)!.holdSyncs = true;
  let heartbeats = 0;
  cluster.network.filter = (_, to, what) => {
    if (to === 2 && 'from' in what && what.type === MessageType.heartbeat) heartbeats++;
    return true;
  };
  // Thirty heartbeats of three ticks are longer than an election timeout of at most sixty ticks.
  for (let i = 0; i < 60; i++) {
    await cluster.write(`key${i}=${i}`);
    await until('the heartbeats go on', () => heartbeats >= i / 2);
  }
  const { role, leader: followed, term: after, commitIndex } = cluster.node(2).status();
  assert.deepEqual([role, followed, after], ['follower', 1, term]);
  assert.ok(commitIndex >= ticks);
  disks.get(2)!.holdSyncs = false;
  disks.get(2)!.releaseSyncs();
  await until('the slow one has everything', () => cluster.map(2).values.size === 60);
});

test('a slow disk holds up no heartbeats: a leader sends them while its own write is under way (pitfall 21)', async () => {
  await using cluster = new TestCluster();
  const disks = await durableThree(cluster);
  const leader = await cluster.leader();
  disks.get(leader.id)!.holdSyncs = true;
  let appends = 0;
  let heartbeats = 0;
  cluster.network.filter = (from, _, what) => {
    if (from === leader.id && 'from' in what && what.type === MessageType.append) appends++;
    // Those that follow the entry, while nothing more reaches the disk.
    if (from === leader.id && 'from' in what && what.type === MessageType.heartbeat && appends > 0) heartbeats++;
    return true;
  };
  const written = codeOf(leader.propose(utf8('a=1')));
  await until('the entry and eight heartbeats are out', () => appends > 0 && heartbeats >= 8);
  disks.get(leader.id)!.holdSyncs = false;
  disks.get(leader.id)!.releaseSyncs();
  await written;
});

test('an append is acknowledged by the driver only when it is on disk (pitfall 3; Raft §5, figure 2)', async () => {
  await using cluster = new TestCluster();
  const disks = await durableThree(cluster);
  const leader = await cluster.leader();
  const followers = [1, 2, 3].filter((id) => id !== leader.id);
  const { lastIndex } = leader.status();
  const acknowledged = new Set<number>();
  const answered = new Set<number>();
  cluster.network.filter = (from, _, what) => {
    if ('from' in what && what.type === MessageType.heartbeatResponse && hasEntry(from)) answered.add(from);
    if (!('from' in what) || what.index <= lastIndex) return true;
    if (what.type === MessageType.appendResponse && !what.reject) acknowledged.add(from);
    return true;
  };
  const hasEntry = (id: number): boolean => cluster.node(id).status().lastIndex > lastIndex;
  for (const id of followers) disks.get(id)!.holdSyncs = true;
  const written = codeOf(leader.propose(utf8('a=1')));
  // Both have the entry in memory, and answer heartbeats; neither says that it has it.
  await until('both followers have the entry, and answer heartbeats', () =>
    followers.every((id) => answered.has(id) && disks.get(id)!.heldSyncs > 0),
  );
  await quiet();
  assert.deepEqual([...acknowledged], []);
  assert.equal(cluster.map(leader.id).values.get('a'), undefined);
  for (const id of followers) {
    disks.get(id)!.holdSyncs = false;
    disks.get(id)!.releaseSyncs();
  }
  await until('the entry is acknowledged', () => acknowledged.size > 0);
  await written;
});

test('a leader whose own disk hangs hands over, because it can acknowledge nothing any more', async () => {
  await using cluster = new TestCluster();
  const disks = await durableThree(cluster);
  disks.get(1)!.holdSyncs = true;
  const stuck = codeOf(cluster.node(1).propose(utf8('a=1')));
  const next = await cluster.leader([2, 3]);
  await retry(async () => (await cluster.leader([2, 3])).propose(utf8('b=1')));
  await until('the next leader has applied the write', () => cluster.map(next.id).values.get('b') === '1');
  assert.equal(await stuck, 'unknown-outcome');
  disks.get(1)!.holdSyncs = false;
  disks.get(1)!.releaseSyncs();
  await until('the one that stood still has applied the write', () => cluster.map(1).values.get('b') === '1');
});

/** Three voters, each on a disk of its own. */
async function durableThree(cluster: TestCluster): Promise<Map<number, SimulatedDisk>> {
  const disks = new Map([1, 2, 3].map((id) => [id, new SimulatedDisk({ random: new SeededRandom(id) })]));
  const leader = await cluster.start(1, { bootstrap: {} }, await open(disks.get(1)!, 1));
  await until('the first node leads', () => leader.status().role === 'leader');
  for (const id of [2, 3]) {
    await cluster.start(id, {}, await open(disks.get(id)!, id));
    await leader.changeMembership({ type: 'add-learner', id });
    await retry(() => leader.changeMembership({ type: 'promote', id }));
  }
  await until('all know three voters', () =>
    [1, 2, 3].every((id) => cluster.node(id).status().confState.voters.length === 3),
  );
  return disks;
}
