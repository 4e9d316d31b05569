import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { TestCluster, until } from './cluster.test.helper.js';
import { type Message, MessageType } from './core/message.js';

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
  await until(() => [2, 3].every((id) => cluster.map(id).values.size === 50));
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
  await until(() => [2, 3].every((id) => cluster.map(id).values.size === 20));
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
  await until(() => cluster.node(2).status().role === 'leader');
  assert.deepEqual(cluster.node(2).status().confState.voters, [2]);
});
