import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteReader, ByteWriter, silentLogger } from '@dcache/base';
import { type ConfState, type MembershipChange, RaftError, type RaftErrorCode, type RaftStatus } from '@dcache/raft';
import type { Member } from '@dcache/serf';
import { HandClock, turn } from '@dcache/testing';
import type { ReplicatedLog } from '../log/replicated-log.js';
import { Directory, readIdentity, writeIdentity } from '../state/directory.js';
import { Membership, memberTags } from './membership.js';

const member = (name: string, raftId: number, status: Member['status'] = 'alive', cluster = 'c'): Member =>
  ({
    name,
    status,
    tags: new Map([
      [memberTags.raftId, String(raftId)],
      [memberTags.cluster, cluster],
      [memberTags.rpcAddr, `${name}:9200`],
    ]),
  }) as unknown as Member;

/** A log whose membership changes the test lets succeed or fail. */
class FakeLog {
  readonly id = 1;
  leaderId = 1;
  voters = [1];
  learners: number[] = [];
  lastIndex = 10_000;
  appliedIndex = 9_000;
  term = 2;
  readonly lagging = new Set<number>();
  readonly silent = new Set<number>();
  readonly changes: MembershipChange[] = [];
  readonly under: { resolve: () => void; reject: (error: Error) => void }[] = [];

  leader(): number {
    return this.leaderId;
  }

  status(): RaftStatus {
    const ids = [...this.voters, ...this.learners];
    return {
      term: this.term,
      appliedIndex: this.appliedIndex,
      lastIndex: this.lastIndex,
      confState: { voters: this.voters, learners: this.learners, votersOutgoing: [], learnersNext: [] },
      progress: ids.map((id) => ({
        id,
        isActive: !this.silent.has(id),
        matchIndex: Math.max(0, this.lastIndex - (this.lagging.has(id) ? 257 : 256)),
      })),
    } as unknown as RaftStatus;
  }

  changeMember(change: MembershipChange): Promise<ConfState> {
    this.changes.push(change);
    return new Promise((resolve, reject) =>
      this.under.push({ resolve: () => resolve(this.status().confState), reject }),
    );
  }

  /** Lets the change under way succeed. */
  async apply(): Promise<void> {
    const change = this.changes.at(-1)!;
    if (change.type === 'update') {
      this.under.shift()!.resolve();
      await turn();
      return;
    }
    this.voters = this.voters.filter((id) => id !== change.id);
    this.learners = this.learners.filter((id) => id !== change.id);
    if (change.type === 'add-learner') this.learners.push(change.id);
    if (change.type === 'promote') this.voters.push(change.id);
    this.under.shift()!.resolve();
    await turn();
  }
}

function make(members: Member[]) {
  const log = new FakeLog();
  const clock = new HandClock();
  const state = { members, cluster: 'c' as string | undefined, directory: new Directory() };
  const unproved = new Set<number>();
  const knockedAt = new Set<number>();
  const soughtAt: string[] = [];
  const membership = new Membership({
    log: log as unknown as ReplicatedLog,
    serf: { members: () => state.members },
    directory: () => state.directory,
    cluster: () => state.cluster,
    reaches: (id, name, rpcAddr) => {
      knockedAt.add(id);
      if (rpcAddr !== undefined) soughtAt.push(`${id} ${rpcAddr}`);
      // Nobody has a connection with itself.
      return id !== 1 && !unproved.has(id) && name === `n${id}` && !rpcAddr?.startsWith('evil');
    },
    clock,
    logger: silentLogger,
    removeFailedAfterMs: 30_000,
  });
  membership.start();
  return { log, clock, state, membership, unproved, knockedAt, soughtAt };
}

const said = (log: FakeLog): string[] => log.changes.map(({ type, id }) => `${type} ${id}`);

test('a newcomer is added as a learner and promoted once it holds all but 256 entries, one change at a time', async () => {
  const { log, clock, membership } = make([member('n1', 1), member('n2', 2), member('n3', 3)]);
  log.lagging.add(2);
  membership.look();
  membership.look();
  clock.pass(1_000);
  assert.deepEqual(said(log), ['add-learner 2'], 'nothing else while that change is under way');
  await log.apply();
  assert.deepEqual(said(log), ['add-learner 2', 'add-learner 3'], 'the next follows at once');
  await log.apply();
  assert.deepEqual(said(log).slice(2), ['promote 3'], 'the other lags');
  await log.apply();
  assert.equal(log.under.length, 0);
  log.lagging.delete(2);
  clock.pass(250);
  assert.deepEqual(said(log).slice(3), ['promote 2']);
});

test('a learner that never acknowledged anything is not promoted, however short the log is', async () => {
  const { log, clock, membership } = make([member('n1', 1), member('n2', 2)]);
  log.lastIndex = 3;
  membership.look();
  await log.apply();
  clock.pass(10_000);
  assert.deepEqual(said(log), ['add-learner 2'], 'as a voter it could cost a cluster of one its quorum');
  log.lastIndex = 300;
  clock.pass(250);
  assert.deepEqual(said(log), ['add-learner 2', 'promote 2']);
});

test('nobody is taken in before it has proved who it is', async () => {
  const { log, clock, membership, unproved, knockedAt } = make([member('n1', 1), member('n2', 2), member('n3', 3)]);
  unproved.add(2);
  membership.look();
  await log.apply();
  await log.apply();
  clock.pass(10_000);
  assert.deepEqual(said(log), ['add-learner 3', 'promote 3'], 'who is refused keeps nobody else out');
  assert.deepEqual([...knockedAt].sort(), [2, 3], 'the leader asks for the proof itself');
  unproved.delete(2);
  membership.look();
  assert.deepEqual(said(log).slice(2), ['add-learner 2']);
});

test('of two that claim one Raft id the one that has proved it is taken in', () => {
  const { log, membership } = make([member('n1', 1), member('evil', 2), member('n2', 2)]);
  membership.look();
  assert.deepEqual(said(log), ['add-learner 2']);
  const change = log.changes[0]!;
  const { name, rpcAddr } = readIdentity(new ByteReader('context' in change ? change.context! : new Uint8Array()));
  assert.deepEqual({ name, rpcAddr }, { name: 'n2', rpcAddr: 'n2:9200' });
});

test('a new address waits for the next interval, so that claims that contradict each other do not fill the log', async () => {
  const { log, clock, state, membership } = make([member('n1', 1), member('n2', 2)]);
  log.voters = [1, 2];
  for (const [id, rpcAddr] of [
    [1, 'n1:9200'],
    [2, 'elsewhere:1'],
  ] as const) {
    const writer = new ByteWriter();
    writeIdentity(writer, { name: `n${id}`, rpcAddr });
    state.directory.learn(id, writer.copy());
  }
  membership.look();
  await log.apply();
  await turn();
  assert.deepEqual(said(log), ['update 2']);
  clock.pass(250);
  assert.deepEqual(said(log), ['update 2', 'update 2'], 'the directory of this test never learns it');
});

test('who says that a member lives elsewhere changes nothing, for the member itself is sought there first', () => {
  const told = [member('n1', 1), member('n2', 2), member('n3', 3)];
  const { log, clock, state, soughtAt } = make(told);
  log.voters = [1, 2, 3];
  for (const id of [1, 2, 3]) {
    const writer = new ByteWriter();
    writeIdentity(writer, { name: `n${id}`, rpcAddr: `n${id}:9200` });
    state.directory.learn(id, writer.copy());
  }
  clock.pass(1_000);
  assert.deepEqual(soughtAt, [], 'who lives where it did is not dialled again');
  (told[1]!.tags as Map<string, string>).set(memberTags.rpcAddr, 'evil:1');
  clock.pass(250);
  assert.deepEqual([soughtAt, said(log)], [['2 evil:1'], []]);
  (told[1]!.tags as Map<string, string>).set(memberTags.rpcAddr, 'n2:9201');
  clock.pass(250);
  assert.deepEqual(said(log), ['update 2']);
});

test('a leader that lives elsewhere than the log says makes that known itself', () => {
  const { log, clock, state } = make([member('n1', 1)]);
  const writer = new ByteWriter();
  writeIdentity(writer, { name: 'n1', rpcAddr: 'before:9200' });
  state.directory.learn(1, writer.copy());
  clock.pass(250);
  assert.deepEqual(said(log), ['update 1']);
});

test('a node that is no member yet shows itself to the members of its cluster, and a member need not', () => {
  const { log, clock, state, knockedAt } = make([
    ...[member('n1', 1), member('n2', 2), member('n3', 3, 'failed'), member('n4', 4, 'alive', 'other')],
  ]);
  Object.assign(log, { leaderId: 0, voters: [], learners: [] });
  state.cluster = undefined;
  clock.pass(1_000);
  assert.deepEqual([...knockedAt], [], 'it belongs nowhere yet');
  state.cluster = 'c';
  clock.pass(250);
  assert.deepEqual([...knockedAt], [2]);
  knockedAt.clear();
  log.learners = [1];
  clock.pass(1_000);
  assert.deepEqual([...knockedAt], []);
});

test('a node that does not lead changes nothing; what it heard is done once it leads', () => {
  const { log, clock, membership } = make([member('n1', 1), member('n2', 2)]);
  log.leaderId = 0;
  membership.look();
  clock.pass(10_000);
  assert.deepEqual(said(log), []);
  log.leaderId = 1;
  clock.pass(250);
  assert.deepEqual(said(log), ['add-learner 2']);
});

test('a change that fails is tried again at the next interval, not in a loop', async () => {
  const { log, clock, membership } = make([member('n1', 1), member('n2', 2)]);
  membership.look();
  log.under.shift()!.reject(new Error('leadership was lost'));
  await turn();
  assert.equal(log.changes.length, 1);
  clock.pass(249);
  assert.equal(log.changes.length, 1);
  clock.pass(1);
  assert.deepEqual(said(log), ['add-learner 2', 'add-learner 2']);
});

/** Lets each change fail with `code` for so long; the milliseconds between the tries. */
async function failing(
  { log, clock, membership }: ReturnType<typeof make>,
  code: RaftErrorCode,
  forMs: number,
): Promise<number[]> {
  const triedAtMs: number[] = [];
  const endMs = clock.monotonicMs() + forMs;
  while (clock.monotonicMs() < endMs) {
    clock.pass(250);
    for (let round = 0; round < 3 && log.under.length > 0; round++) {
      triedAtMs.push(clock.monotonicMs());
      log.under.shift()!.reject(new RaftError(code, 'no'));
      await turn();
      // Gossip always has something to tell.
      membership.look();
    }
  }
  return triedAtMs.slice(1).map((ms, i) => ms - triedAtMs[i]!);
}

test('while the log stands still, a change that it cannot take is tried less and less often', async () => {
  for (const code of ['busy', 'unknown-outcome'] as const) {
    const made = make([member('n1', 1), member('n2', 2)]);
    const pauses = await failing(made, code, 30_000);
    assert.deepEqual(pauses, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 5_000]);
    made.log.appliedIndex++;
    assert.deepEqual(await failing(made, code, 2_000), [250, 500, 1_000], 'an entry was applied');
    made.log.term++;
    made.membership.look();
    assert.equal(made.log.under.length, 1, 'another term began');
    await made.log.apply();
    assert.deepEqual(said(made.log).slice(-1), ['promote 2'], 'what follows a change that was made is made at once');
  }
});

test('a change that fails for any other reason is tried at each interval', async () => {
  const made = make([member('n1', 1), member('n2', 2)]);
  const tried = (): number => made.log.changes.length;
  for (let i = 0; i < 20; i++) {
    const before = tried();
    made.clock.pass(250);
    assert.equal(tried(), before + 1);
    made.log.under.shift()!.reject(new RaftError('not-caught-up', 'no'));
    await turn();
  }
});

test('a failed member stays for its grace time, counted from when it failed, and for ever while it answers', () => {
  const { log, clock, state } = make([member('n1', 1), member('n2', 2), member('n3', 3)]);
  log.voters = [1, 2, 3];
  clock.pass(60_000);
  assert.deepEqual(said(log), []);
  state.members = [member('n1', 1), member('n2', 2, 'failed'), member('n3', 3)];
  clock.pass(120_000);
  assert.deepEqual(said(log), [], 'gossip says failed, but it answers the leader');
  log.silent.add(2);
  clock.pass(1_750);
  assert.deepEqual(said(log), [], 'it may only be that the leader has just checked its quorum');
  clock.pass(250);
  assert.deepEqual(said(log), ['remove 2']);
});

test('a member that left goes after two seconds of silence, and who said so in its name does it no harm', async () => {
  const { log, clock, state, membership } = make([member('n1', 1), member('n2', 2), member('n3', 3)]);
  log.voters = [1, 2, 3];
  state.members = [member('n1', 1), member('n2', 2, 'left'), member('n3', 3)];
  for (let i = 0; i < 100; i++) {
    // Right after each check of the quorum nobody has answered yet, and gossip tells that something has changed.
    for (const id of [2, 3]) log.silent.add(id);
    for (let news = 0; news < 20; news++) membership.look();
    clock.pass(1_750);
    log.silent.clear();
    clock.pass(250);
  }
  log.leaderId = 3;
  log.silent.add(2);
  clock.pass(60_000);
  log.leaderId = 1;
  clock.pass(1_750);
  assert.deepEqual(said(log), [], 'a new leader has to listen first');
  clock.pass(250);
  assert.deepEqual(said(log), ['remove 2']);
});

test('the grace time begins anew when a member was alive in between', () => {
  const { log, clock, state } = make([member('n1', 1), member('n2', 2), member('n3', 3)]);
  log.voters = [1, 2, 3];
  const failed = [member('n1', 1), member('n2', 2, 'failed'), member('n3', 3)];
  const alive = state.members;
  log.silent.add(2);
  state.members = failed;
  clock.pass(29_000);
  state.members = alive;
  clock.pass(250);
  state.members = failed;
  clock.pass(29_000);
  assert.deepEqual(said(log), []);
  clock.pass(2_000);
  assert.deepEqual(said(log), ['remove 2']);
});

test('a member that gossip does not know at all is missed for the grace time and then removed', () => {
  const { log, clock } = make([member('n1', 1), member('n3', 3)]);
  log.voters = [1, 2, 3];
  log.silent.add(2);
  clock.pass(30_000);
  assert.deepEqual(said(log), []);
  clock.pass(500);
  assert.deepEqual(said(log), ['remove 2']);
});

test('gossip members that are no nodes of a cache are passed over', () => {
  const stranger = { name: 'web', status: 'alive', tags: new Map([['role', 'web']]) } as unknown as Member;
  const odd = (tag: string): Member =>
    ({ name: `odd${tag}`, status: 'alive', tags: new Map([[memberTags.raftId, tag]]) }) as unknown as Member;
  const { log, clock, membership } = make([stranger, odd('x'), odd('-1'), odd('0'), odd('1.5'), odd('9e99')]);
  clock.pass(1_000);
  assert.deepEqual(membership.gossip(), []);
  assert.deepEqual(said(log), []);
});

test('nothing is changed before the cluster is known, for another cluster, or after the stop', () => {
  const { log, clock, state, membership } = make([member('n1', 1), member('n2', 2)]);
  state.cluster = undefined;
  clock.pass(1_000);
  state.cluster = 'other';
  clock.pass(1_000);
  assert.deepEqual(said(log), []);
  membership.stop();
  state.cluster = 'c';
  clock.pass(1_000);
  membership.look();
  assert.deepEqual(said(log), []);
  assert.equal(clock.pendingTimers, 0);
});

test('a node that asks to leave is removed at once, and hears when that was refused', async () => {
  const { log, membership } = make([member('n1', 1), member('n2', 2)]);
  log.voters = [1, 2];
  const removed = membership.remove(2);
  assert.deepEqual(said(log), ['remove 2']);
  await log.apply();
  await removed;
  const refused = membership.remove(3);
  log.under.shift()!.reject(new Error('not the leader'));
  await assert.rejects(refused, /not the leader/);
});

test('a node that left is not taken in again for looking alive, but is when it comes back', async () => {
  const { log, clock, state, membership } = make([member('n1', 1), member('n2', 2)]);
  log.voters = [1, 2];
  const removed = membership.remove(2);
  await log.apply();
  await removed;
  clock.pass(9_000);
  assert.deepEqual(said(log), ['remove 2'], 'gossip has not heard yet that it left');
  state.members = [member('n1', 1), member('n2', 2, 'left')];
  clock.pass(250);
  state.members = [member('n1', 1), member('n2', 2)];
  clock.pass(250);
  assert.deepEqual(said(log), ['remove 2', 'add-learner 2']);
});

test('a node that is still alive long after it was taken out is taken in again', async () => {
  const { log, clock, membership } = make([member('n1', 1), member('n2', 2)]);
  log.voters = [1, 2];
  const removed = membership.remove(2);
  await log.apply();
  await removed;
  clock.pass(10_250);
  assert.deepEqual(said(log), ['remove 2', 'add-learner 2']);
});

test('who comes and goes for ever does not fill the memory of a node that never leads', () => {
  const { log, state, membership } = make([]);
  log.leaderId = 2;
  for (let id = 10; id < 5_000; id++) {
    state.members = [member('n1', 1), member(`n${id}`, id)];
    membership.gossip();
  }
  assert.ok(membership.remembered <= 24, `${membership.remembered} ids are remembered`);
});
