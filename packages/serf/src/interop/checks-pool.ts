import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { until } from '@dcache/testing';
import type { Check } from './check.js';
import { Lab, type LabOptions, pass } from './lab.js';

/** Joining, tags, events and queries among three agents and one of our nodes: checks 1 to 4, 7 to 19. */
export async function checkPool(check: Check, options: LabOptions = {}): Promise<void> {
  await using lab = new Lab(options);
  const { alpha, bravo, charlie, ts1 } = await lab.pool();
  const agents = [alpha, bravo, charlie];

  await check(1, 'the seed shows our node alive with its address, tags and protocol', async () => {
    const shown = await alpha.sees('ts1', 'alive');
    assert.equal(shown.addr, ts1.address);
    assert.deepEqual(shown.tags, { role: 'ts', zone: 'a' });
    assert.deepEqual(shown.protocol, { max: 5, min: 2, version: 5 });
  });
  await check(2, 'an agent that was never contacted shows the same', async () => {
    const shown = await bravo.sees('ts1', 'alive');
    assert.equal(shown.addr, ts1.address);
    assert.deepEqual(shown.tags, { role: 'ts', zone: 'a' });
  });
  await check(3, 'our node shows all agents alive with their tags', async () => {
    for (const { name, address } of agents) {
      const seen = await ts1.sees(name, 'alive');
      assert.equal(`${seen.address}:${seen.port}`, address);
    }
    assert.deepEqual((await ts1.sees('alpha', 'alive')).tags, { role: 'web' });
  });
  await check(4, 'a new agent joins through our node and sees everyone', async () => {
    const delta = await lab.agent('delta', ['-join', ts1.address]);
    for (const name of ['alpha', 'bravo', 'charlie', 'ts1']) await delta.sees(name, 'alive');
    assert.deepEqual(delta.lines(/\[ERR\]/), []);
    await delta.cli('leave');
    await alpha.sees('delta', 'left');
  });
  await check(7, 'a changed tag of ours is seen by all, as one update each', async () => {
    const startMs = performance.now();
    await Promise.all([
      ts1.ask('tags', { tags: { role: 'ts', zone: 'b' } }),
      ...agents.map((agent) =>
        until(`${agent.name} to see the tag`, async () => (await agent.shows('ts1'))?.tags['zone'] === 'b'),
      ),
    ]);
    const tookMs = Math.round(performance.now() - startMs);
    for (const agent of agents)
      await until('the update in the log', () => agent.lines(/EventMemberUpdate: ts1/).length === 1);
    const { out } = await alpha.cli('members', '-tag', 'zone=b', '-name', 'ts1');
    assert.match(out, /ts1/);
    return `${tookMs} ms, gossip and polling together`;
  });
  await check(8, 'our node reports the changed tag of an agent', async () => {
    await bravo.cli('tags', '-set', 'zone=b');
    await until('the update', () => ts1.events('member-update', 'bravo').length === 1);
    assert.equal((await ts1.sees('bravo', 'alive')).tags['zone'], 'b');
  });
  await check(9, 'an event arrives here exactly once, with its time and payload', async () => {
    await alpha.cli('event', 'deploy', 'v1');
    const [event] = await until('the event', () => some(ts1.events('user', 'deploy')));
    assert.equal(event!.payload, 'v1');
    assert.equal(typeof event!['lTime'], 'number');
    await pass(1000);
    assert.equal(ts1.events('user', 'deploy').length, 1);
  });
  await check(10, 'the same event twice is delivered twice, with its coalesce flag', async () => {
    await alpha.cli('event', '-coalesce=false', 'twice', 'v');
    await alpha.cli('event', '-coalesce=false', 'twice', 'v');
    const events = await until('both', () => atLeast(2, ts1.events('user', 'twice')));
    assert.equal(new Set(events.map((event) => event['lTime'])).size, 2);
    assert.ok(events.every((event) => event['coalesce'] === false));
    assert.equal(ts1.events('user', 'deploy')[0]!['coalesce'], true);
  });
  await check(11, 'an event of ours reaches each agent once', async () => {
    const { out, ended } = monitor(bravo.rpc);
    await until('the monitor to run', () => out().length > 0);
    await ts1.ask('event', { name: 'ours', payload: 'hello' });
    for (const agent of agents)
      await until(`${agent.name} to hear it`, () => agent.lines(/messageUserEventType: ours/).length > 0);
    await until('the monitor to show it', () => out().includes('Name: "ours"'));
    await pass(1500);
    ended();
    assert.equal(out().match(/Name: "ours"/g)?.length, 1);
    assert.equal(out().match(/Received event: user-event: ours/g)?.length, 1);
  });
  await check(12, 'an event of 470 bytes arrives, one of 600 is refused', async () => {
    assert.equal((await alpha.cli('event', 'big', 'x'.repeat(470))).code, 0);
    const [event] = await until('the event', () => some(ts1.events('user', 'big')));
    assert.equal(event!.payload?.length, 470);
    assert.notEqual((await alpha.cli('event', 'big', 'x'.repeat(600))).code, 0);
    await assert.rejects(ts1.ask('event', { name: 'big', payload: 'x'.repeat(600) }), /allowed are 512/);
  });
  await check(13, 'a query is acked by all and answered by us', async () => {
    const { code, out } = await alpha.cli('query', '-format', 'json', 'hello', 'x');
    assert.equal(code, 0);
    const { Acks, Responses } = JSON.parse(out) as QueryOutput;
    assert.deepEqual([...(Acks ?? [])].sort(), ['alpha', 'bravo', 'charlie', 'ts1']);
    assert.equal(Responses['ts1'], 'hello from ts1');
  });
  await check(14, 'a query that is not for us is not answered, but passed on', async () => {
    const before = ts1.events('query').length;
    const named = JSON.parse(
      (await alpha.cli('query', '-format', 'json', '-node', 'alpha', 'mine')).out,
    ) as QueryOutput;
    const tagged = JSON.parse(
      (await alpha.cli('query', '-format', 'json', '-tag', 'role=nomatch', 'nobody')).out,
    ) as QueryOutput;
    for (const { Acks, Responses } of [named, tagged]) {
      assert.ok(!(Acks ?? []).includes('ts1'));
      assert.ok(!('ts1' in Responses));
    }
    assert.equal(ts1.events('query').length, before);
  });
  await check(15, 'a query without acks to our node alone gets our answer', async () => {
    const { out } = await alpha.cli('query', '-format', 'json', '-no-ack', '-node', 'ts1', 'solo');
    const { Acks, Responses } = JSON.parse(out) as QueryOutput;
    assert.equal(Acks, null);
    assert.deepEqual(Responses, { ts1: 'solo from ts1' });
  });
  await check(16, 'relayed answers are not counted twice, and we relay', async () => {
    const { out } = await alpha.cli('query', '-format', 'json', '-relay-factor', '2', 'relayed');
    const { Acks } = JSON.parse(out) as QueryOutput;
    assert.deepEqual([...(Acks ?? [])].sort(), ['alpha', 'bravo', 'charlie', 'ts1']);
    const stats = await ts1.ask<{ relays: number }>('stats');
    assert.ok(stats.relays > 0, 'our node relayed nothing');
    return `we relayed ${stats.relays}`;
  });
  await check(17, 'a query of ours is acked by all agents, each once', async () => {
    const items = await ts1.ask<{ type: string; from: string }[]>('query', { name: 'ours', relayFactor: 2 });
    const acks = items.filter((item) => item.type === 'ack').map((item) => item.from);
    assert.deepEqual(acks.sort(), ['alpha', 'bravo', 'charlie', 'ts1']);
  });
  await check(18, 'serf reachability contacts all', async () => {
    const { code, out } = await alpha.cli('reachability', '-verbose');
    assert.equal(code, 0, out);
    assert.match(out, /Successfully contacted all live nodes/);
  });
  await check(19, 'serf rtt knows our coordinate', async () => {
    const found = await until('a coordinate', async () => {
      const { code, out } = await alpha.cli('rtt', 'ts1');
      return code === 0 ? out : undefined;
    });
    assert.match(found, /rtt: [\d.]+ ms/);
    return found.trim();
  });
}

interface QueryOutput {
  readonly Acks: string[] | null;
  readonly Responses: Readonly<Record<string, string>>;
}

function some<Item>(list: Item[]): Item[] | undefined {
  return list.length > 0 ? list : undefined;
}

function atLeast<Item>(count: number, list: Item[]): Item[] | undefined {
  return list.length >= count ? list : undefined;
}

/** `serf monitor` in the background. */
function monitor(rpc: string): { out: () => string; ended: () => void } {
  let text = '';
  const child = execFile('serf', ['monitor', `-rpc-addr=${rpc}`]);
  child.stdout?.on('data', (chunk: string) => {
    text += chunk;
  });
  return { out: () => text, ended: () => child.kill('SIGKILL') };
}
