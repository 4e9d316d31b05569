import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { SeededRandom, utf8 } from '@dcache/base';
import { turn, until } from '@dcache/testing';
import { codeOf, retry, TestCluster, type TextNode } from './cluster.test.helper.js';
import { MessageType } from './core/message.js';
import { DiskStorage } from './disk/disk-storage.js';
import { SimulatedDisk } from './disk/simulated-disk.js';
import { RaftError } from './errors.js';
import type { RaftStatus } from './status.js';

// Whole nodes, each with a log on a disk of its own. What a leader decides, and when, is in `room.test.ts`.

const segmentBytes = 65_536;
const value = 'x'.repeat(2000);

/** A cluster of durable nodes; node 1 leads it. */
class DurableCluster extends TestCluster {
  readonly disks: Map<number, SimulatedDisk> = new Map();
  /** Requests for votes, and heartbeats of the leader of the moment: its clock. */
  readonly seen = { votes: 0, heartbeats: 0 };

  constructor() {
    // Longer than elsewhere: an election that a busy machine brings about is not what is counted here.
    super({ electionTicks: 60 });
  }

  async foundDurable(size: number): Promise<void> {
    const leader = await this.startDurable(1, true);
    await until('the first node leads', () => leader.status().role === 'leader');
    for (let id = 2; id <= size; id++) {
      await this.startDurable(id, false);
      await leader.changeMembership({ type: 'add-learner', id });
      await retry(() => leader.changeMembership({ type: 'promote', id }));
    }
    await until('all know all voters', () =>
      [...this.nodes.values()].every((node) => node.status().confState.voters.length === size),
    );
    this.network.filter = (_from, _to, what) => {
      if (!('from' in what)) return true;
      if (what.type === MessageType.vote || what.type === MessageType.preVote) this.seen.votes++;
      if (what.type === MessageType.heartbeat) this.seen.heartbeats++;
      return true;
    };
  }

  async startDurable(id: number, isFounder: boolean): Promise<TextNode> {
    const random = new SeededRandom(id);
    const disk = this.disks.get(id) ?? new SimulatedDisk({ random });
    this.disks.set(id, disk);
    const files = disk.mount();
    const storage = await DiskStorage.open({ directory: '/log', fileSystem: files, nodeId: id, segmentBytes, random });
    return this.start(id, isFounder ? { bootstrap: {} } : {}, storage);
  }

  /** No byte more on these disks, from now on. */
  fill(...ids: readonly number[]): void {
    for (const id of ids) this.disks.get(id)!.capacityBytes = this.disks.get(id)!.usedBytes;
  }

  empty(...ids: readonly number[]): void {
    for (const id of ids) this.disks.get(id)!.capacityBytes = Number.POSITIVE_INFINITY;
  }

  /** As a client does: asks who leads, and asks again where it is told to. The codes that it was told besides. */
  async writeAsClient(text: string): Promise<string[]> {
    const codes: string[] = [];
    for (;;) {
      const code = await codeOf((await this.leader()).propose(utf8(text)));
      if (code === 'resolved') return codes;
      if (!['not-leader', 'no-leader', 'handing-over', 'lost'].includes(code)) codes.push(code);
      if (code === 'disk-full') return codes;
      await turn(1);
    }
  }

  /** Writes until a node says that its disk is full: those with a full disk do so once their segment is used up. */
  async writeUntil(condition: () => boolean): Promise<string[]> {
    const codes: string[] = [];
    for (let i = 0; !condition(); i++) {
      assert.ok(i < 500, 'no disk is full after 500 writes');
      codes.push(...(await this.writeAsClient(`key${i}=${value}`)));
      await turn(1);
    }
    return codes;
  }

  /** The leader, once it has heard of the disks of others what is wanted. */
  async settledLeader(isWanted: (status: RaftStatus) => boolean): Promise<TextNode> {
    return until('a leader has heard of the disks of others', () =>
      [...this.nodes.values()].find((node) => {
        const status = node.status();
        return status.role === 'leader' && isWanted(status);
      }),
    );
  }

  /** Fills these disks, and writes until the leader, whose own has room, has heard of it. */
  async fillAndHear(...ids: readonly number[]): Promise<TextNode> {
    this.fill(...ids);
    const hasHeard = ({ progress }: RaftStatus): boolean =>
      ids.every((id) => progress.some((one) => one.id === id && one.hasRoom === false));
    await this.writeUntil(() => [...this.nodes.values()].some((node) => hasHeard(node.status())));
    return this.settledLeader((status) => hasHeard(status) && !ids.includes(status.id));
  }

  isFull(id: number): boolean {
    return this.node(id).stats().isDiskFull;
  }

  /** Resolves after many election timeouts of the leader, and says how many votes were asked for meanwhile. */
  async votesInQuiet(): Promise<number> {
    const { votes, heartbeats } = this.seen;
    // Two followers, one heartbeat for each in three of sixty ticks: three election timeouts.
    await until('three election timeouts of heartbeats go out', () => this.seen.heartbeats - heartbeats >= 2 * 20 * 3);
    return this.seen.votes - votes;
  }
}

test('a leader whose disk is full gives way to one with room, and no write is refused', async () => {
  await using cluster = new DurableCluster();
  await cluster.foundDurable(3);
  cluster.fill(1);
  const codes = await cluster.writeUntil(() => cluster.node(1).status().role !== 'leader');
  assert.equal(cluster.isFull(1), true);
  // Longer than what is left of the full node's segment: the two others commit it.
  for (let i = 0; i < 60; i++) codes.push(...(await cluster.writeAsClient(`later${i}=${value}`)));
  assert.equal(codes.includes('disk-full'), false);
  const leader = await cluster.leader([2, 3]);
  const { term } = leader.status();
  assert.equal(await cluster.votesInQuiet(), 0);
  assert.equal(leader.status().term, term);
  cluster.empty(1);
  await until('the one that was full has caught up', () => cluster.map(1).values.get('later59') === value);
  await until('it has room again', () => !cluster.isFull(1));
});

test('with all disks full one node leads on, refuses writes and answers reads; nobody stands for election', async () => {
  await using cluster = new DurableCluster();
  await cluster.foundDurable(3);
  cluster.fill(1, 2, 3);
  const full = (): boolean => [1, 2, 3].every((id) => cluster.isFull(id));
  await cluster.writeUntil(full);
  // The first to be full may give way to one that has not told yet that it is full, too; then it is over.
  await cluster.votesInQuiet();
  const leader = await cluster.settledLeader(({ progress }) => progress.every(({ hasRoom }) => hasRoom === false));
  const { term } = leader.status();
  assert.equal(await codeOf(leader.propose(utf8('a=1'))), 'disk-full');
  await leader.readBarrier('linearizable');
  assert.equal(await cluster.votesInQuiet(), 0);
  assert.deepEqual([leader.status().role, leader.status().term], ['leader', term]);
  assert.equal(await codeOf(leader.propose(utf8('a=1'))), 'disk-full');
  cluster.empty(2);
  // Alone, the one with room can commit nothing.
  await until(
    'the leader knows that node 2 has room',
    () => leader.status().progress.some(({ id, hasRoom }) => id === 2 && hasRoom === true) || leader.id === 2,
  );
  assert.equal(await codeOf(leader.propose(utf8('a=1'))), 'disk-full');
  cluster.empty(1, 3);
  await retry(() => leader.propose(utf8('a=2')));
  assert.equal(cluster.map(leader.id).values.get('a'), '2');
});

test('leadership stays, too, where all disks are full in the midst of a write that waits for room then', async () => {
  await using cluster = new DurableCluster();
  await cluster.foundDurable(3);
  cluster.fill(1, 2, 3);
  // In one turn, so one write: longer than any segment.
  const leader = await cluster.leader();
  const written = Array.from({ length: 60 }, (_, i) => codeOf(leader.propose(utf8(`key${i}=${value}`))));
  const rooms = (): unknown => leader.status().progress.map(({ hasRoom }) => hasRoom);
  await until('the leader knows of no room', () => isDeepStrictEqual(rooms(), [false, false, false]));
  const { term } = leader.status();
  assert.equal(await cluster.votesInQuiet(), 0);
  assert.deepEqual([leader.status().role, leader.status().term], ['leader', term]);
  assert.equal(await codeOf(leader.propose(utf8('a=1'))), 'disk-full');
  cluster.empty(1, 2, 3);
  assert.deepEqual([...new Set(await Promise.all(written))], ['resolved']);
});

test('a leader whose disk hangs leads on where all others are full: none of them could do better', async () => {
  await using cluster = new DurableCluster();
  await cluster.foundDurable(3);
  const leader = await cluster.leader();
  const others = [1, 2, 3].filter((id) => id !== leader.id);
  const disk = cluster.disks.get(leader.id)!;
  cluster.fill(...others);
  disk.holdSyncs = true;
  const written = Array.from({ length: 60 }, (_, i) => codeOf(leader.propose(utf8(`key${i}=${value}`))));
  await cluster.settledLeader(({ progress }) =>
    others.every((id) => progress.some((one) => one.id === id && one.hasRoom === false)),
  );
  const { term } = leader.status();
  // Longer than a leader waits for its disk.
  assert.equal(await cluster.votesInQuiet(), 0);
  assert.deepEqual([leader.status().role, leader.status().term], ['leader', term]);
  // Who has once begun to hand over has no lease in that term.
  await retry(async () => {
    await leader.readBarrier('lease');
    assert.ok(leader.isLeaseValid());
  });
  cluster.empty(...others);
  disk.holdSyncs = false;
  disk.releaseSyncs();
  await Promise.all(written);
});

test('a leader that waits for room, and that nobody relieves, says so between two tries instead of asking for patience', async () => {
  await using cluster = new DurableCluster();
  await cluster.foundDurable(3);
  const { filter } = cluster.network;
  cluster.network.filter = (from, to, what) =>
    filter!(from, to, what) && !('from' in what && what.type === MessageType.timeoutNow);
  cluster.fill(1);
  const leader = cluster.node(1);
  // Longer than its segment, so that its own write waits, which is another reason to give way.
  const written = Array.from({ length: 60 }, (_, i) => codeOf(leader.propose(utf8(`key${i}=${value}`))));
  await until('its disk is full', () => leader.status().isDiskFull);
  const ask = (): Promise<string> => codeOf(leader.propose(utf8('a=1')));
  await retry(async () => assert.equal(await ask(), 'disk-full'));
  // A quarter of the pause.
  const { heartbeats } = cluster.seen;
  await until('some heartbeats go out', () => cluster.seen.heartbeats - heartbeats >= 20);
  assert.equal(await ask(), 'disk-full');
  cluster.network.filter = filter;
  await cluster.settledLeader(({ id }) => id !== 1);
  cluster.empty(1);
  await Promise.all(written);
});

test('a leader with room refuses what the full disks of two others could not commit, at once and by their names', async () => {
  await using cluster = new DurableCluster();
  await cluster.foundDurable(3);
  const leader = await cluster.fillAndHear(2, 3);
  // A tick later at the latest it goes by what it has heard.
  const refusal = await retry(async () => {
    const error = await leader.propose(utf8('a=1')).catch((cause: RaftError) => cause);
    assert.ok(error instanceof RaftError && error.code === 'disk-full', String(error));
    return error;
  });
  assert.deepEqual(refusal.full, [2, 3]);
  // Nothing is on its way that would have to wait for room.
  await until('nothing waits', () => leader.stats().pendingProposals === 0);
  assert.equal(await cluster.votesInQuiet(), 0);
  await leader.readBarrier('linearizable');
  cluster.empty(3);
  await retry(() => leader.propose(utf8('a=2')));
});

test('leadership is not given to a full disk: not by name, and not where another has room', async () => {
  await using cluster = new DurableCluster();
  await cluster.foundDurable(3);
  const leader = await cluster.fillAndHear(2);
  assert.equal(await codeOf(leader.transferLeadership(2)), 'disk-full');
  assert.equal(leader.status().role, 'leader');
  await leader.transferLeadership();
  const next = await cluster.settledLeader(({ id }) => id !== leader.id);
  assert.notEqual(next.id, 2);
});

test('where only full disks are left, leadership goes to one only from a node that stops: reads go on', async () => {
  await using cluster = new DurableCluster();
  await cluster.foundDurable(3);
  const leader = await cluster.fillAndHear(2, 3);
  const refusal = await leader.transferLeadership().catch((error: RaftError) => error);
  assert.ok(refusal instanceof RaftError && refusal.code === 'disk-full', String(refusal));
  assert.deepEqual(refusal.full, [2, 3]);
  assert.equal(leader.status().role, 'leader');
  await leader.transferLeadership(undefined, { mayBeFull: true });
  const next = await cluster.settledLeader(({ id }) => id !== leader.id);
  await cluster.stop(leader.id);
  await retry(() => next.readBarrier('linearizable'));
});
