import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import { until } from '@dcache/testing';
import { sees, start } from './node.test.helper.js';

test('the second of two members of one name gives it up, the first keeps it', async () => {
  const one = await start('one');
  const two = await start('two');
  const three = await start('three');
  await two.join([one.address]);
  await three.join([one.address]);
  await Promise.all([sees(one, 'three', 'alive'), sees(two, 'three', 'alive')]);
  const intruder = await start('three');
  const conflict = once(one, 'conflict');
  const shutdown = once(intruder, 'shutdown');
  await intruder.join([one.address]);
  const [report] = await conflict;
  assert.equal(report.name, 'three');
  const [reason] = await shutdown;
  assert.equal(reason.code, 'conflict');
  assert.equal(one.member('three')?.port, three.localMember().port);
  assert.equal(three.member('one')?.status, 'alive');
  three.userEvent('still here');
});

test('who may not lose its name stays, though all others know another, and is told who that is', async () => {
  const [one, three] = [await start('one'), await start('three', { tags: { cluster: 'x' } })];
  await three.join([one.address]);
  await sees(one, 'three', 'alive');
  const asked: string[] = [];
  let hasMore = false;
  const said: string[] = [];
  const intruder = await start('three', {
    keepsName: ({ name, mine, other, tags }) => {
      asked.push(`${name} ${mine} ${other} ${tags.get('cluster')}`);
      // Only at the second time: what it may not lose came while the others were asked.
      const keeps = hasMore;
      hasMore = true;
      return keeps;
    },
    logger: { ...silentLogger, warn: (_: object, message: string) => void said.push(message) },
  });
  await intruder.join([one.address]);
  const isAsked = (times: number): Promise<true> => until(`asked ${times} times`, () => asked.length >= times);
  await isAsked(2);
  const [conflict] = [once(intruder, 'conflict', { signal: AbortSignal.timeout(20_000) })];
  await intruder.join([one.address]);
  await conflict;
  await isAsked(3);
  assert.deepEqual([...new Set(asked)], [`three true ${three.address} x`]);
  assert.deepEqual(said, ['two members use one name'], 'once, however often it comes up');
  // Had it begun a vote, that would have ended by the time that a query of the same length has.
  for await (const item of intruder.query('after')) assert.ok(item);
  intruder.userEvent('still here');
  assert.equal(one.member('three')?.port, three.localMember().port);
});

test('a pool of one keeps its name against a newcomer, though nobody else can vote', async () => {
  const founder = await start('founder');
  const intruder = await start('founder');
  const [shutdown, conflict] = [once(intruder, 'shutdown'), once(founder, 'conflict')];
  await intruder.join([founder.address]);
  await conflict;
  const [reason] = await shutdown;
  assert.equal(reason.code, 'conflict');
  // The founder's own vote has ended as well by the time that a query of the same length has.
  for await (const item of founder.query('after')) assert.ok(item);
  founder.userEvent('still here');
});

test('a founder that looked for others in vain is no newcomer, and keeps its name', async () => {
  const founder = await start('founder');
  await assert.rejects(founder.join(['127.0.0.1:1']), { code: 'join-failed' });
  const intruder = await start('founder');
  const [shutdown, conflict] = [once(intruder, 'shutdown'), once(founder, 'conflict')];
  await intruder.join([founder.address]);
  await Promise.all([conflict, shutdown]);
  for await (const item of founder.query('after')) assert.ok(item);
  founder.userEvent('still here');
});

test('a founder that keeps looking for somebody silent is no newcomer; who finds it by looking is one', async (t) => {
  const founder = await start('founder');
  const silent = createServer();
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const asked = once(silent, 'connection');
  const seeker = founder.seek([`127.0.0.1:${(silent.address() as { port: number }).port}`]);
  void seeker.start();
  const [stream] = await asked;
  t.after(() => {
    stream.destroy();
    silent.close();
  });
  const intruder = await start('founder');
  const signal = AbortSignal.timeout(20_000);
  const [shutdown, conflict] = [once(intruder, 'shutdown', { signal }), once(founder, 'conflict', { signal })];
  void intruder.seek([founder.address]).start();
  await Promise.all([conflict, shutdown]);
  for await (const item of founder.query('after')) assert.ok(item);
  founder.userEvent('still here');
  seeker.stop();
});

test('a member that finds a lost one again is no newcomer, and keeps its name against who came in its place', async () => {
  const [member, lost] = [await start('member'), await start('lost')];
  await lost.join([member.address]);
  await sees(member, 'lost', 'alive');
  const seeker = member.seek([lost.address], { firstWaitMs: 50, lastWaitMs: 50 });
  await seeker.start();
  await Promise.all([lost.leave(), sees(member, 'lost', 'left')]);
  const conflict = once(member, 'conflict', { signal: AbortSignal.timeout(20_000) });
  await start('member', { bind: lost.address });
  await conflict;
  // The vote has ended by the time that a query of the same length has.
  for await (const item of member.query('after')) assert.ok(item);
  member.userEvent('still here');
  seeker.stop();
});
