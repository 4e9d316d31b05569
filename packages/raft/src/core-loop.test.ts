import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { until } from '@dcache/testing';
import { TestCluster } from './cluster.test.helper.js';
import { EntryType, type Message, MessageType, makeMessage } from './core/message.js';
import { CoreLoop, type CoreLoopHandler } from './core-loop.js';
import { resolveOptions } from './options.js';
import { type LogStorage, MemoryStorage } from './storage.js';

/** Ticks far apart, so that nothing but what a test does makes messages. */
const still = { tickMs: 2_000, electionTicks: 10, heartbeatTicks: 9 };

/** Notes every message from now on. */
function listen(cluster: TestCluster): Message[] {
  const messages: Message[] = [];
  cluster.network.filter = (_from, _to, what) => {
    if ('entries' in what) messages.push(what);
    return true;
  };
  return messages;
}

test('what is proposed in one turn reaches each follower in one message, and is acknowledged in one', async () => {
  await using cluster = new TestCluster(still);
  const leader = await cluster.found(3);
  const messages = listen(cluster);
  await Promise.all(Array.from({ length: 50 }, (_, i) => leader.propose(utf8(`key${i}=${i}`))));
  await until('both followers have all fifty', () => [2, 3].every((id) => cluster.map(id).values.size === 50));
  for (const id of [2, 3]) {
    const appends = messages.filter(({ type, to, entries }) => type === MessageType.append && to === id && entries[0]);
    assert.deepEqual(
      appends.map(({ entries }) => entries.length),
      [50],
    );
    const answers = messages.filter(({ type, from }) => type === MessageType.appendResponse && from === id);
    assert.equal(answers.length, 1);
  }
});

test('writes one after the other take one message and one answer each, the commit index with the next of them', async () => {
  await using cluster = new TestCluster(still);
  const leader = await cluster.found(3);
  const messages = listen(cluster);
  for (let i = 0; i < 20; i++) await leader.propose(utf8(`key${i}=${i}`));
  await until('both followers have all twenty', () => [2, 3].every((id) => cluster.map(id).values.size === 20));
  for (const id of [2, 3]) {
    const appends = messages.filter(({ type, to }) => type === MessageType.append && to === id).length;
    const answers = messages.filter(({ type, from }) => type === MessageType.appendResponse && from === id).length;
    // The last commit index has no entries to go with; and a follower may be too late for the one before.
    assert.ok(appends <= 22, `${appends} appends for 20 writes`);
    assert.ok(answers <= 21, `${answers} answers to 20 writes`);
  }
});

test('a change of members that is committed is told at once, though its leader ends with it', async () => {
  await using cluster = new TestCluster();
  const leader = await cluster.found(2);
  await leader.changeMembership({ type: 'remove', id: 1 });
  await cluster.stop(1);
  // Of two voters one is left, which needs nobody's vote once it knows.
  await until('the one that is left leads', () => cluster.node(2).status().role === 'leader');
  assert.deepEqual(cluster.node(2).status().confState.voters, [2]);
});

/** A member of three that follows node 1, whose turns the test runs by hand. */
async function makeFollower(storage: LogStorage) {
  await storage.applySnapshot(
    {
      index: 1,
      term: 1,
      confState: { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    },
    { term: 1, vote: 0, commit: 1 },
  );
  const sent: Message[] = [];
  const turns: (() => void)[] = [];
  const unused = (): never => assert.fail('nobody asks for this here');
  const options = resolveOptions<unknown>({
    id: 2,
    storage,
    stateMachine: { apply: unused, applyMembership: unused, snapshot: unused, restore: unused },
    transport: {
      start() {},
      send: (_to, messages) => void sent.push(...messages),
      sendSnapshotPiece: unused,
      sendSnapshotAck: unused,
      async stop() {},
    },
    defer: (run) => void turns.push(run),
  });
  const nothing = (): void => {};
  const handler: CoreLoopHandler = {
    onTurn: nothing,
    onSoftState: nothing,
    onReadState: nothing,
    onApply: nothing,
    onSnapshotNeeded: nothing,
    isBacklogged: () => false,
    onTurnDone: nothing,
    onFailure: (error) => assert.fail(String(error)),
  };
  const loop = new CoreLoop(options, storage, 1, handler);
  const entries = [{ index: 2, term: 2, type: EntryType.normal, data: utf8('x') }];
  const append = makeMessage(MessageType.append, 2, { from: 1, term: 2, logTerm: 1, index: 1, commit: 1, entries });
  return { sent, turns, take: () => loop.run(() => loop.receive(1, [append])) };
}

test('in memory an append is acknowledged in the turn that takes it; a durable one when it is durable', async () => {
  const inMemory = await makeFollower(new MemoryStorage());
  inMemory.take();
  inMemory.turns.shift()!();
  assert.deepEqual(
    inMemory.sent.map(({ type, index }) => [type, index]),
    [[MessageType.appendResponse, 2]],
  );

  const memory = new MemoryStorage();
  const disk = new Promise<() => void>((give) => {
    memory.append = ((append) => (entries, hardState) => {
      append.call(memory, entries, hardState);
      return new Promise<void>((resolve) => give(resolve)) as never;
    })(memory.append);
  });
  const durable = await makeFollower(memory);
  durable.take();
  while (durable.turns.length > 0) durable.turns.shift()!();
  const finish = await disk;
  assert.deepEqual(durable.sent, []);
  finish();
  await until('the write is over', () => durable.turns.length > 0);
  durable.turns.shift()!();
  assert.deepEqual(
    durable.sent.map(({ type, index }) => [type, index]),
    [[MessageType.appendResponse, 2]],
  );
});
