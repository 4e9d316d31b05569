import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, utf8 } from '@dcache/base';
import { turn, until } from '@dcache/testing';
import { retry, TestCluster, type TextNode } from './cluster.test.helper.js';
import { DiskStorage } from './disk/disk-storage.js';
import { SimulatedDisk } from './disk/simulated-disk.js';

/** Small pieces and short logs, so that every newcomer needs a snapshot of many pieces. */
const small = { trailingEntries: 5, snapshotChunkBytes: 32, snapshotWindow: 4, maxPromotionLag: 1000 };

async function fill(leader: TextNode, keys: number): Promise<void> {
  for (let at = 0; at < keys; at += 20)
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => leader.propose(utf8(`key${at + i}=${'v'.repeat(20)}${at + i}`))),
    );
}

/** Cuts a node off, until its leader takes it for gone and keeps no log for it. */
async function isolate(cluster: TestCluster, leader: TextNode, id: number): Promise<void> {
  cluster.network.isolate(id);
  await until('the leader takes it for gone', () =>
    leader.status().progress.some((peer) => peer.id === id && !peer.isActive),
  );
}

function sameMaps(cluster: TestCluster, a: number, b: number): void {
  assert.deepEqual([...cluster.map(b).values].sort(), [...cluster.map(a).values].sort());
}

test('a snapshot goes on where it was when the connection breaks, again and again', async () => {
  await using cluster = new TestCluster(small);
  const leader = await cluster.found(1);
  await fill(leader, 200);
  let pieces = 0;
  let begun = 0;
  cluster.network.filter = (_, to, what) => {
    if (to !== 2 || !('sequence' in what)) return true;
    if (what.type === 'begin') begun++;
    pieces++;
    // Every 20th piece is lost, and the connection with it.
    if (pieces % 20 !== 0) return true;
    cluster.network.cut(1, 2);
    setImmediate(() => cluster.network.heal());
    return false;
  };
  const node = await cluster.start(2);
  await leader.changeMembership({ type: 'add-learner', id: 2 });
  await until('the learner has everything', () => cluster.map(2).values.size === 200);
  sameMaps(cluster, 1, 2);
  assert.equal(cluster.map(2).restores, 1);
  assert.ok(begun <= 2, `it began ${begun} times`);
  assert.ok(pieces > 200);
  assert.equal(node.stats().snapshotsInstalled, 1);
});

test('a snapshot arrives over a network that loses a fifth of everything', async () => {
  await using cluster = new TestCluster({ ...small, snapshotChunkBytes: 512 });
  const leader = await cluster.found(1);
  await fill(leader, 100);
  cluster.network.loss = 0.2;
  await cluster.start(2);
  await leader.changeMembership({ type: 'add-learner', id: 2 });
  await until('the learner has everything', () => cluster.map(2).values.size === 100);
  sameMaps(cluster, 1, 2);
});

test('a lost word that all is done is asked for again', async () => {
  await using cluster = new TestCluster(small);
  const leader = await cluster.found(1);
  await fill(leader, 100);
  let lost = 0;
  cluster.network.filter = (_, __, what) => !('status' in what && what.status === 'done' && lost++ < 2);
  await cluster.start(2);
  await leader.changeMembership({ type: 'add-learner', id: 2 });
  await until('the leader knows that the snapshot is there', () => leader.stats().snapshotsSent === 1);
  assert.equal(lost, 3);
  assert.equal(cluster.map(2).restores, 1);
});

test('the sender keeps no more than a window, and waits for a slow receiver', async () => {
  await using cluster = new TestCluster(small);
  const leader = await cluster.found(1);
  await fill(leader, 100);
  let ahead = 0;
  let sent = 0;
  let taken = 0;
  cluster.network.filter = (_, to, what) => {
    if (to === 2 && 'sequence' in what && what.type === 'data') {
      sent = Math.max(sent, what.sequence);
      ahead = Math.max(ahead, sent - taken);
    }
    return true;
  };
  await cluster.start(2);
  cluster.map(2).onRestoreChunk = async () => {
    await turn(1);
    taken++;
  };
  await leader.changeMembership({ type: 'add-learner', id: 2 });
  await until('the learner has everything', () => cluster.map(2).values.size === 100);
  assert.ok(ahead <= small.snapshotWindow + 1, `${ahead} pieces were ahead of the receiver`);
});

test('writes go on while a snapshot is sent, and it stays as it was (pitfall 18)', async () => {
  await using cluster = new TestCluster({ ...small, trailingEntries: 2 });
  const leader = await cluster.found(1);
  await fill(leader, 100);
  await cluster.start(2);
  let writes = 0;
  let isDone = false;
  cluster.map(2).onRestoreChunk = async () => {
    await leader.propose(utf8(`during${writes}=${writes++}`));
  };
  const writing = (async () => {
    while (!isDone) await leader.propose(utf8(`more=${writes++}`));
  })();
  await leader.changeMembership({ type: 'add-learner', id: 2 });
  await until('the snapshot is restored', () => cluster.map(2).restores > 0);
  await until('the log goes on after the snapshot', () =>
    leader.status().progress.some((peer) => peer.id === 2 && peer.state === 'replicate'),
  );
  isDone = true;
  await writing;
  await leader.propose(utf8('last=1'));
  await until('the last write is there', () => cluster.map(2).values.has('last'));
  sameMaps(cluster, 1, 2);
  assert.equal(cluster.map(2).restores, 1, 'one snapshot was enough: the log after it was kept');
});

test('a follower whose state was lost half-way applies and reads nothing until it has another', async () => {
  await using cluster = new TestCluster(small);
  const leader = await cluster.found(3);
  await fill(leader, 60);
  await isolate(cluster, leader, 3);
  await fill(leader, 200);
  const sick = cluster.node(3);
  const map = cluster.map(3);
  let failures = 0;
  map.onRestoreChunk = () => {
    if (failures++ < 3) throw new Error('no memory');
  };
  cluster.network.heal();
  await until('it failed to restore', () => failures > 0);
  assert.equal(sick.status().isReadable, false);
  await retry(() => sick.readBarrier('linearizable'));
  assert.equal(map.values.size, 200);
  sameMaps(cluster, 1, 3);
});

test('a follower that lost its state asks a leader for it whose log would do', async () => {
  await using cluster = new TestCluster({ ...small, snapshotTimeoutMs: 500, trailingEntries: 10_000 });
  const leader = await cluster.start(1, { bootstrap: {}, trailingEntries: 5 });
  await until('it leads', () => leader.status().role === 'leader');
  await cluster.addVoter(leader, 2);
  await cluster.addVoter(leader, 3);
  await isolate(cluster, leader, 3);
  await fill(leader, 200);
  let pieces = 0;
  // The leader goes in the midst of a snapshot to node 3. Node 2 has the whole log, and so needs to send none.
  cluster.network.filter = (_, to, what) => {
    if (to === 3 && 'sequence' in what && pieces++ === 40) cluster.network.isolate(1);
    return true;
  };
  cluster.network.heal();
  const next = await (async () => {
    await until('half of the snapshot is out', () => pieces > 40);
    return cluster.leader([2]);
  })();
  await retry(() => next.propose(utf8('last=1')));
  await until('the last write is there', () => cluster.map(3).values.has('last'));
  sameMaps(cluster, 2, 3);
  assert.equal(cluster.node(3).status().isReadable, true);
  assert.equal(cluster.map(3).restores, 1);
});

test('a durable follower keeps its old state until the new one is whole on its disk', async () => {
  const disk = new SimulatedDisk({ random: new SeededRandom(3) });
  await using cluster = new TestCluster(small);
  const leader = await cluster.found(1);
  await fill(leader, 20);
  const open = (): Promise<DiskStorage> =>
    DiskStorage.open({ directory: '/n2', fileSystem: disk.mount(), nodeId: 2, segmentBytes: 65_536 });
  const durable = await cluster.start(2, {}, await open());
  await leader.changeMembership({ type: 'add-learner', id: 2 });
  await until(
    'the first snapshot is there, and known to be',
    () => cluster.map(2).values.size === 20 && leader.stats().snapshotsSent === 1,
  );
  const before = new Map(cluster.map(2).values);
  await isolate(cluster, leader, 2);
  await fill(leader, 200);
  let pieces = 0;
  cluster.network.filter = (_, to, what) => !(to === 2 && 'sequence' in what && pieces++ > 50);
  cluster.network.heal();
  await until('the snapshot is cut off', () => pieces > 60);
  assert.deepEqual(cluster.map(2).values, before, 'the old state is still whole');
  assert.equal(durable.status().isReadable, true);
  disk.crash();
  await cluster.stop(2);
  cluster.network.filter = undefined;
  await cluster.start(2, {}, await open());
  await until('the learner has everything', () => cluster.map(2).values.size === 200);
  sameMaps(cluster, 1, 2);
  await retry(() => leader.changeMembership({ type: 'promote', id: 2 }));
});
