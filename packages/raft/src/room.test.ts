import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Logger, utf8 } from '@dcache/base';
import { HandClock } from '@dcache/testing';
import { Network } from './conformance/network.js';
import { MessageType, type NodeId, Role } from './core/message.js';
import { Room } from './room.js';

const tickMs = 10;
/** Ten ticks: the timeout of the network's cores. */
const electionTimeoutMs = 100;

/** A leader, node 1 of a network of cores, that has heard what room the others have; its disk, and its log of words. */
class Bench {
  readonly network: Network;
  readonly clock: HandClock = new HandClock();
  readonly storage = { isFull: false };
  readonly transfers: NodeId[] = [];
  readonly said: string[] = [];
  readonly room: Room;

  constructor(voters: readonly NodeId[], full: readonly NodeId[]) {
    this.network = new Network(voters);
    const core = this.network.elect(1);
    for (const id of full) this.network.node(id).setFull(true);
    const say = (level: string) => (_: object, message: string) => void this.said.push(`${level} ${message}`);
    const logger: Logger = { debug: () => {}, info: say('info'), warn: say('warn'), error: say('error') } as never;
    this.room = new Room({
      storage: this.storage,
      clock: this.clock,
      logger,
      electionTimeoutMs,
      core: () => core,
      transfer: (to) => {
        this.transfers.push(to);
        core.transferLeader(to);
      },
    });
    this.tick(1);
  }

  /** So many ticks of the leader; what is sent then arrives. */
  tick(count: number): void {
    for (let i = 0; i < count; i++) {
      this.clock.pass(tickMs);
      this.network.tick(1, [1]);
      this.room.look();
      this.network.settle();
    }
  }

  /** Nobody hears that it shall lead. */
  loseHandovers(): void {
    this.network.lose(MessageType.timeoutNow);
  }

  get code(): string | undefined {
    return this.room.refusal()?.code;
  }

  get leads(): boolean {
    return this.network.node(1).role === Role.leader;
  }
}

test('a leader that finds its disk full hands over at the first write, and that write may be made at the next', () => {
  const bench = new Bench([1, 2, 3, 4, 5], [2]);
  assert.equal(bench.code, undefined);
  bench.storage.isFull = true;
  assert.equal(bench.code, 'handing-over');
  bench.network.settle();
  assert.deepEqual([bench.transfers, bench.network.node(3).role], [[3], Role.leader]);
});

test('it hands over without any write, too, and says so once', () => {
  const bench = new Bench([1, 2, 3], []);
  bench.storage.isFull = true;
  bench.tick(30);
  assert.equal(bench.leads, false);
  assert.equal(bench.transfers.length, 1);
  assert.deepEqual(bench.said, ['warn this disk is full: leadership is offered to a node that has room']);
});

test('where the disks of a majority are full, leadership stays and writes are refused, until one has room', () => {
  for (const full of [
    [1, 2],
    [2, 3],
    [1, 2, 3],
  ]) {
    const bench = new Bench(
      [1, 2, 3],
      full.filter((id) => id !== 1),
    );
    bench.storage.isFull = full.includes(1);
    bench.tick(1000);
    assert.deepEqual(
      [bench.leads, bench.network.node(1).term, bench.transfers, bench.code],
      [true, 2, [], 'disk-full'],
    );
    assert.deepEqual(bench.room.refusal()?.full, full);
    assert.deepEqual(bench.said, ['error writes are refused for want of room on disks']);
    bench.storage.isFull = false;
    for (const id of [2, 3]) bench.network.node(id).setFull(false);
    bench.tick(1);
    assert.equal(bench.code, undefined);
    assert.deepEqual(bench.said.slice(1), ['info writes are taken again: there is room on the disks']);
  }
});

test('the refusal says who is full and who cannot be heard', () => {
  const bench = new Bench([1, 2, 3], [2]);
  bench.network.isolate(3);
  bench.tick(30);
  const { full, silent, message } = bench.room.refusal()!;
  assert.deepEqual([full, silent], [[2], [3]]);
  assert.match(message, /on the disk of node 2, and 3 cannot be heard$/);
});

test('one whose room is not known yet is waited for, not tried', () => {
  const bench = new Bench([1, 2, 3], []);
  const { network } = bench;
  network.node(1).transferLeader(2);
  network.settle();
  network.node(2).transferLeader(1);
  network.settle();
  bench.storage.isFull = true;
  assert.deepEqual([bench.code, bench.transfers], ['handing-over', []]);
  bench.tick(2);
  assert.equal(bench.leads, false);
});

test('where the first does not take it another is tried, and then writes are refused for a while that doubles', () => {
  const bench = new Bench([1, 2, 3], []);
  bench.loseHandovers();
  bench.storage.isFull = true;
  const codes: (string | undefined)[] = [];
  for (let i = 0; i < 1000; i++) {
    bench.tick(1);
    codes.push(bench.code);
  }
  assert.deepEqual(new Set(bench.transfers.slice(0, 2)), new Set([2, 3]));
  const isRefused = codes.map((code) => code === 'disk-full');
  const pauses: number[] = [];
  for (let at = 0; at < isRefused.length; at++)
    if (isRefused[at]) pauses.push(isRefused[at - 1] ? pauses.pop()! + 1 : 1);
  // In ticks: 2, 4 and 8 election timeouts, and never more; between them each of the two others is tried for one.
  assert.deepEqual(pauses.slice(0, 5), [20, 40, 80, 80, 80]);
  assert.equal(bench.transfers.length, 22);
  assert.equal(bench.network.node(1).term, 2);
  assert.equal(bench.said.length, 3, bench.said.join('\n'));
});

test('a full disk is not tried, though none of the others takes it', () => {
  const bench = new Bench([1, 2, 3, 4, 5], [2]);
  bench.loseHandovers();
  bench.storage.isFull = true;
  bench.tick(100);
  assert.deepEqual([...new Set(bench.transfers)].sort(), [3, 4, 5]);
});

test('the pause has a longest length, and ends when this disk has room', () => {
  const bench = new Bench([1, 2, 3], []);
  bench.loseHandovers();
  bench.storage.isFull = true;
  bench.tick(20_000);
  const before = bench.transfers.length;
  // Two tries of an election timeout each in every ten.
  bench.tick(1_000);
  assert.equal(bench.transfers.length - before, 20);
  bench.storage.isFull = false;
  bench.tick(11);
  assert.equal(bench.code, undefined);
  bench.storage.isFull = true;
  assert.equal(bench.code, 'handing-over');
  // Both are tried, and the first pause is as short as ever.
  const start = bench.transfers.length;
  bench.tick(20 + 20 + 2);
  assert.equal(bench.transfers.length - start, 2);
});

/** A full leader at the beginning of a long pause, where nobody hears that it shall lead. */
function paused(voters: readonly NodeId[], prepare: (network: Network) => void = () => {}): Bench {
  const bench = new Bench(voters, []);
  prepare(bench.network);
  const { filter } = bench.network;
  bench.network.filter = (message) => message.type !== MessageType.timeoutNow && filter(message);
  bench.storage.isFull = true;
  for (let pauses = 0, wasPaused = false; pauses < 4; ) {
    bench.tick(1);
    const isPaused = bench.code === 'disk-full';
    if (isPaused && !wasPaused) pauses++;
    wasPaused = isPaused;
  }
  bench.transfers.length = 0;
  return bench;
}

/** Whether nobody is tried in the rest of its pause of eighty ticks. */
function staysPaused(bench: Bench): boolean {
  bench.tick(70);
  return bench.leads && bench.code === 'disk-full' && bench.transfers.length === 0;
}

test('the pause ends when a voter with room is heard again: it could lead by now', () => {
  const isolated = (network: Network): void => network.isolate(3);
  assert.ok(staysPaused(paused([1, 2, 3, 4, 5], isolated)));
  const bench = paused([1, 2, 3, 4, 5], isolated);
  bench.network.heal();
  bench.tick(2);
  assert.equal(bench.leads, false);
});

test('the pause ends, too, when one that was silent only for a part of it is heard again', () => {
  // With three voters nobody has room to commit anything meanwhile, and that is another reason to refuse.
  for (const voters of [
    [1, 2, 3],
    [1, 2, 3, 4, 5],
  ]) {
    const bench = paused(voters);
    bench.network.isolate(3);
    bench.tick(25);
    assert.deepEqual([bench.leads, bench.code, bench.transfers], [true, 'disk-full', []]);
    bench.network.heal();
    bench.tick(2);
    assert.equal(bench.leads, false);
  }
});

test('the pause ends when a voter with room has come to have all of the log', () => {
  // Entries do not reach node 3; heartbeats do.
  const lagging = (network: Network): void => {
    network.filter = ({ type, to }) => type !== MessageType.append || to !== 3;
    network.node(1).propose(utf8('a'));
  };
  assert.ok(staysPaused(paused([1, 2, 3, 4, 5], lagging)));
  const bench = paused([1, 2, 3, 4, 5], lagging);
  bench.network.heal();
  bench.tick(3);
  assert.deepEqual([bench.leads, bench.transfers], [false, [3]]);
});

test('it is nothing new that a voter lacks an entry for a moment, or that it catches up while it is tried', () => {
  const bench = paused([1, 2, 3, 4, 5]);
  bench.network.node(1).propose(utf8('a'));
  bench.room.look();
  assert.ok(staysPaused(bench));
  const behind = paused([1, 2, 3, 4, 5], (network) => {
    network.filter = ({ type, to }) => type !== MessageType.append || to !== 3;
    network.node(1).propose(utf8('a'));
  });
  // In the next round it is the last to be tried.
  while (behind.transfers.at(-1) !== 3) behind.tick(1);
  behind.loseHandovers();
  behind.tick(75);
  assert.deepEqual(behind.transfers.slice(-2), [5, 3]);
});

test('the pause ends when the disk of another voter has room again', () => {
  const full = (network: Network): void => network.node(3).setFull(true);
  assert.ok(staysPaused(paused([1, 2, 3, 4, 5], full)));
  const bench = paused([1, 2, 3, 4, 5], full);
  bench.network.heal();
  bench.network.node(3).setFull(false);
  bench.tick(2);
  assert.equal(bench.leads, false);
});

test('a voter that is not heard is not tried, though it had room', () => {
  const bench = paused([1, 2, 3, 4, 5], (network) => network.isolate(3));
  bench.tick(200);
  assert.deepEqual([...new Set(bench.transfers)].sort(), [2, 4, 5]);
});

test('a follower refuses nothing here: it has its leader asked', () => {
  const bench = new Bench([1, 2, 3], []);
  bench.network.node(1).transferLeader(2);
  bench.network.settle();
  bench.storage.isFull = true;
  bench.tick(1);
  assert.deepEqual([bench.leads, bench.code, bench.said], [false, undefined, []]);
});
