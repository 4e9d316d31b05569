import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, utf8 } from '@dcache/base';
import { HandClock, turn, until } from '@dcache/testing';
import { codeOf, TextMap, type TextNode } from './cluster.test.helper.js';
import { DiskStorage } from './disk/disk-storage.js';
import { SimulatedDisk } from './disk/simulated-disk.js';
import { Lease } from './lease.js';
import { MemoryNetwork } from './net/memory-network.js';
import { RaftNode } from './node.js';
import { type LogStorage, MemoryStorage } from './storage.js';

test('a lease counts from when what a quorum answered was sent, on both clocks', () => {
  const clock = new HandClock();
  const lease = new Lease(clock, 100);
  assert.equal(lease.isValid(1), false);
  const sent = lease.now();
  clock.pass(60);
  lease.extend(1, sent);
  assert.equal(lease.isValid(1), true);
  assert.equal(lease.isValid(2), false);
  assert.equal(lease.isOld(1), true);
  clock.pass(39);
  assert.equal(lease.isValid(1), true);
  clock.pass(1);
  assert.equal(lease.isValid(1), false);
});

test('an answer to what was sent earlier does not shorten a lease, and one of a new term begins a new one', () => {
  const clock = new HandClock();
  const lease = new Lease(clock, 100);
  const early = lease.now();
  clock.pass(50);
  lease.extend(1, lease.now());
  lease.extend(1, early);
  clock.pass(60);
  assert.equal(lease.isValid(1), true);
  lease.extend(2, early);
  assert.equal(lease.isValid(2), false);
});

test('a machine that slept, as only its wall clock knows, has no lease any more', () => {
  const clock = new HandClock();
  const lease = new Lease(clock, 100);
  lease.extend(1, lease.now());
  clock.wallAheadMs += 5000;
  assert.equal(lease.isValid(1), false);
});

test('a renounced lease is not valid again in its term', () => {
  const clock = new HandClock();
  const lease = new Lease(clock, 100);
  lease.extend(1, lease.now());
  lease.renounce(1);
  lease.extend(1, lease.now());
  assert.equal(lease.isValid(1), false);
  lease.extend(2, lease.now());
  assert.equal(lease.isValid(2), true);
});

const tickMs = 50;
const electionTimeoutMs = 500;

/** Three nodes, each with a clock that stands still until it is moved. */
class Three implements AsyncDisposable {
  readonly network: MemoryNetwork = new MemoryNetwork();
  readonly nodes: Map<number, TextNode> = new Map();
  readonly maps: Map<number, TextMap> = new Map();
  readonly clocks: Map<number, HandClock> = new Map();

  async start(id: number, storage: LogStorage = new MemoryStorage()): Promise<TextNode> {
    const clock = new HandClock();
    const map = new TextMap();
    const node: TextNode = new RaftNode({
      id,
      storage,
      transport: this.network.transport(id),
      stateMachine: map,
      clock,
      random: new SeededRandom(id),
      ...(id === 1 ? { bootstrap: {} } : {}),
    });
    await node.start();
    this.nodes.set(id, node);
    this.maps.set(id, map);
    this.clocks.set(id, clock);
    return node;
  }

  /** Time passes for these nodes, a tick at a time, and they talk in between. */
  async pass(ms: number, ids: readonly number[] = [...this.nodes.keys()]): Promise<void> {
    for (let at = 0; at < ms; at += tickMs) {
      for (const id of ids) this.clocks.get(id)!.pass(tickMs);
      await turn(8);
    }
  }

  /** Until it holds; time passes meanwhile. */
  async passUntil(condition: () => boolean, ids?: readonly number[]): Promise<void> {
    while (!condition()) await this.pass(tickMs, ids);
  }

  async found(): Promise<TextNode> {
    const leader = await this.start(1);
    await until('it leads', () => leader.status().role === 'leader');
    for (const id of [2, 3]) {
      await this.start(id);
      await leader.changeMembership({ type: 'add-learner', id });
      await this.passUntil(() => leader.status().progress.some((peer) => peer.id === id && peer.state === 'replicate'));
      await leader.changeMembership({ type: 'promote', id });
    }
    await this.passUntil(() => [...this.nodes.values()].every((node) => node.status().confState.voters.length === 3));
    return leader;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.stop()));
  }
}

test('a leader that was stopped while another was elected answers no lease read when it wakes (pitfall 11)', async () => {
  await using three = new Three();
  const old = await three.found();
  await old.propose(utf8('k=old'));
  await old.readBarrier('lease');
  assert.equal(old.isLeaseValid(), true);
  // The old leader's process stands still: its clock moves and nothing of it runs. The others go on.
  three.network.isolate(1);
  await three.passUntil(() => [2, 3].some((id) => three.nodes.get(id)!.status().role === 'leader'), [2, 3]);
  const next = [2, 3].map((id) => three.nodes.get(id)!).find((node) => node.status().role === 'leader')!;
  await next.propose(utf8('k=new'));
  const clock = three.clocks.get(1)!;
  clock.stand(3000);
  // What wakes first is a read, before any tick of the old leader.
  assert.equal(old.status().role, 'leader');
  assert.equal(old.isLeaseValid(), false);
  const late = codeOf(old.readBarrier('lease'));
  clock.pause(0);
  await three.passUntil(() => old.status().role !== 'leader', [1]);
  three.network.heal();
  await three.passUntil(() => three.maps.get(1)!.values.get('k') === 'new');
  // It was answered after a quorum had confirmed it, with the new value, or not at all.
  assert.ok(['no-leader', 'resolved'].includes(await late));
});

test('a leader that was stopped for an election timeout steps down at its first tick', async () => {
  await using three = new Three();
  const old = await three.found();
  three.network.isolate(1);
  three.clocks.get(1)!.pause(electionTimeoutMs + 2 * tickMs);
  assert.notEqual(old.status().role, 'leader');
});

test('a leader that was stopped for less goes on', async () => {
  await using three = new Three();
  const leader = await three.found();
  three.clocks.get(1)!.pause(electionTimeoutMs - 2 * tickMs);
  assert.equal(leader.status().role, 'leader');
  await leader.propose(utf8('a=1'));
});

test('the only voter that was stopped goes on to lead', async () => {
  await using three = new Three();
  const leader = await three.start(1);
  await until('it leads', () => leader.status().role === 'leader');
  three.clocks.get(1)!.pause(60_000);
  assert.equal(leader.status().role, 'leader');
  await leader.propose(utf8('a=1'));
});

test('a restarted voter votes for nobody for an election timeout: a leader may rely on it (thesis §6.4.1)', async () => {
  const disk = new SimulatedDisk();
  const open = (): Promise<DiskStorage> =>
    DiskStorage.open({ directory: '/n3', fileSystem: disk.mount(), nodeId: 3, segmentBytes: 65_536 });
  await using three = new Three();
  const leader = await three.start(1);
  await until('it leads', () => leader.status().role === 'leader');
  for (const id of [2, 3]) {
    await three.start(id, id === 3 ? await open() : new MemoryStorage());
    await leader.changeMembership({ type: 'add-learner', id });
    await three.passUntil(() => leader.status().progress.some((peer) => peer.id === id && peer.state === 'replicate'));
    await leader.changeMembership({ type: 'promote', id });
  }
  await three.passUntil(() => [...three.nodes.values()].every((node) => node.status().confState.voters.length === 3));
  // Node 2 has not heard the leader for long; node 3 has, and its answer gave the leader its lease.
  three.network.cut(1, 2);
  three.network.cut(2, 3);
  await three.pass(2 * electionTimeoutMs);
  await leader.readBarrier('lease');
  three.network.cut(1, 3);
  await three.nodes.get(3)!.stop();
  disk.crash();
  await three.start(3, await open());
  three.network.heal();
  three.network.cut(1, 2);
  three.network.cut(1, 3);
  // Node 2 campaigns again and again while not even an election timeout has passed for node 3.
  await three.pass(6 * electionTimeoutMs, [2]);
  assert.notEqual(three.nodes.get(2)!.status().role, 'leader');
  assert.ok(three.nodes.get(3)!.stats().messagesRefused > 0, 'a vote was asked for and not given');
  assert.equal(leader.isLeaseValid(), true);
  await three.passUntil(() => [2, 3].some((id) => three.nodes.get(id)!.status().role === 'leader'), [2, 3]);
});
