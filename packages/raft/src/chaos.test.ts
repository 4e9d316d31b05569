import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8, SeededRandom, utf8 } from '@dcache/base';
import { until } from '@dcache/testing';
import { retry } from './cluster.test.helper.js';
import type { ConfChangeV2 } from './core/conf-change.js';
import type { ConfState } from './core/message.js';
import { DiskStorage } from './disk/disk-storage.js';
import { SimulatedDisk } from './disk/simulated-disk.js';
import { MemoryNetwork } from './net/memory-network.js';
import { RaftNode } from './node.js';
import type { AppliedEntry, StateMachine, StateMachineSnapshot } from './state-machine.js';
import { MemoryStorage } from './storage.js';

/** Keeps the order of everything that was applied: the whole history is the state. */
class History implements StateMachine<number> {
  names: string[] = [];

  apply({ data }: AppliedEntry): number {
    this.names.push(fromUtf8(data));
    return this.names.length;
  }

  applyMembership(_change: ConfChangeV2, _confState: ConfState, _index: number): void {}

  snapshot(): StateMachineSnapshot {
    const bytes = utf8(JSON.stringify(this.names));
    return {
      *chunks() {
        for (let at = 0; at < bytes.length; at += 500) yield bytes.slice(at, at + 500);
      },
      close: () => {},
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.names = [];
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    this.names = JSON.parse(Buffer.concat(parts).toString());
  }
}

interface Member {
  readonly id: number;
  readonly disk: SimulatedDisk;
  node: RaftNode<number> | undefined;
  history: History;
  /** Fatal errors that nothing here should cause. */
  errors: Error[];
}

const seed = Number(process.env['CHAOS_SEED'] ?? 1);
const rounds = Number(process.env['CHAOS_ROUNDS'] ?? 12);

test(`what was acknowledged stays, what was lost never shows, reads see the past: on disks, through crashes and cuts (seed ${seed})`, () =>
  chaos(true));

test(`the same in memory, through cuts and snapshots (seed ${seed})`, () => chaos(false));

/**
 * How long a fault, or a client's rest, lasts. Nothing is awaited here: while a majority is cut off nothing happens that
 * could be, and what must hold must hold whenever the fault ends.
 */
function lasts(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function chaos(isDurable: boolean): Promise<void> {
  const random = new SeededRandom(seed);
  const network = new MemoryNetwork({ random });
  const members: Member[] = [1, 2, 3].map((id) => ({
    id,
    disk: new SimulatedDisk({ random }),
    node: undefined,
    history: new History(),
    errors: [],
  }));
  const start = async (member: Member): Promise<void> => {
    const { id, disk } = member;
    member.history = new History();
    const storage = isDurable
      ? await DiskStorage.open({ directory: '/log', fileSystem: disk.mount(), nodeId: id, segmentBytes: 65_536 })
      : new MemoryStorage();
    const node = new RaftNode<number>({
      id,
      storage,
      transport: network.transport(id),
      stateMachine: member.history,
      ...(id === 1 ? { bootstrap: {} } : {}),
      tickMs: 10,
      electionTicks: 15,
      heartbeatTicks: 2,
      trailingEntries: 20,
      snapshotEntries: 60,
      snapshotChunkBytes: 1000,
      snapshotWindow: 4,
      snapshotTimeoutMs: 400,
      maxPromotionLag: 1000,
    });
    node.on('fatal', (error) => member.errors.push(error));
    await node.start();
    member.node = node;
  };
  for (const member of members) await start(member);
  const founder = members[0]!.node!;
  await until('the founder leads', () => founder.status().role === 'leader');
  for (const id of [2, 3])
    for (const type of ['add-learner', 'promote'] as const) await retry(() => founder.changeMembership({ type, id }));

  const acknowledged = new Map<string, number>();
  const lost = new Set<string>();
  const readFaults: string[] = [];
  let reads = 0;
  let isOver = false;
  let count = 0;
  const anyLive = (): Member | undefined => {
    const live = members.filter((member) => member.node !== undefined);
    return live[random.below(live.length)];
  };
  const writer = async (): Promise<void> => {
    while (!isOver) {
      const leader = members.find((member) => member.node?.status().role === 'leader') ?? anyLive();
      const name = `w${count++}`;
      try {
        const place = await leader?.node?.propose(utf8(name));
        if (place !== undefined) acknowledged.set(name, place);
      } catch (error) {
        const { code } = error as { code: string };
        if (!['unknown-outcome', 'aborted'].includes(code)) lost.add(name);
        await lasts(2);
      }
    }
  };
  const reader = async (): Promise<void> => {
    while (!isOver) {
      const member = anyLive();
      const node = member?.node;
      if (member === undefined || node === undefined) continue;
      const before = Math.max(0, ...acknowledged.values());
      const level = random.below(3) === 0 ? 'lease' : 'linearizable';
      try {
        await node.readBarrier(level);
        const seen = member.history.names.length;
        if (level === 'lease' && !node.isLeaseValid()) continue;
        reads++;
        if (seen < before) readFaults.push(`${level} read at ${member.id} saw ${seen} of ${before}`);
      } catch {
        // No answer is no wrong answer.
      }
      await lasts(1);
    }
  };
  const clients = [writer(), writer(), writer(), reader(), reader()];
  for (let round = 0; round < rounds; round++) {
    const victim = members[random.below(3)]!;
    await lasts(50 + random.below(150));
    // The last two need a disk.
    switch (random.below(isDurable ? 6 : 4)) {
      case 0:
        network.isolate(victim.id);
        break;
      case 1:
        network.cutOneWay(victim.id, (victim.id % 3) + 1);
        break;
      case 2:
        network.loss = 0.1;
        break;
      case 3:
        await members
          .find((member) => member.node?.status().role === 'leader')
          ?.node?.transferLeadership()
          .catch(() => {});
        break;
      case 4: {
        // The power goes, half the time while a disk is slow and much is on its way to it; it is back some time later.
        victim.disk.holdSyncs = random.below(2) === 0;
        await lasts(random.below(100));
        victim.disk.crash();
        const { node } = victim;
        victim.node = undefined;
        // What waits for a disk without power waits for ever.
        void node?.stop();
        await lasts(random.below(300));
        await start(victim);
        break;
      }
      case 5:
        victim.disk.holdSyncs = true;
        await lasts(random.below(300));
        victim.disk.holdSyncs = false;
        victim.disk.releaseSyncs();
        break;
    }
    if (random.below(2) === 0) {
      network.loss = 0;
      network.heal();
    }
  }
  network.loss = 0;
  network.heal();
  // With all faults over the cluster must take a write again.
  const size = acknowledged.size;
  await until('writes are acknowledged again', () => acknowledged.size > size + 5);
  isOver = true;
  await Promise.all(clients);
  const last = Math.max(...members.map((member) => member.node!.status().commitIndex));
  await until('all have applied everything', () =>
    members.every((member) => member.node!.status().appliedIndex >= last),
  );
  await Promise.all(members.map((member) => member.node!.stop()));

  for (const { id, errors, history } of members) {
    // A crash of the disk ends a node; nothing else may.
    for (const error of errors) assert.match(error.message, /EBADF|EIO|power is off/, `node ${id}`);
    assert.equal(history.names.join(), members[0]!.history.names.join(), `node ${id} applied something else`);
  }
  const { names } = members[0]!.history;
  assert.equal(new Set(names).size, names.length, 'something was applied twice');
  for (const [name, place] of acknowledged)
    assert.equal(names[place - 1], name, `${name} was acknowledged at ${place}`);
  for (const name of lost) assert.ok(!names.includes(name), `${name} was refused or lost, and is there`);
  assert.deepEqual(readFaults, []);
  assert.ok(acknowledged.size > 5 && reads > 0, `${acknowledged.size} writes and ${reads} reads were answered`);
}
