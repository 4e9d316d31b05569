import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { codeOf, TestCluster, until } from './cluster.test.helper.js';

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
  await until(() => [2, 3].every((id) => cluster.map(id).applied.length === 100));
  for (const id of [2, 3]) {
    assert.deepEqual(cluster.map(id).applied, cluster.map(1).applied);
    assert.deepEqual(cluster.node(id).status().confState.voters, [1, 2, 3]);
    assert.equal(cluster.node(id).status().leader, 1);
  }
  assert.equal(await codeOf(cluster.node(2).propose(utf8('x=1'))), 'not-leader');
});
