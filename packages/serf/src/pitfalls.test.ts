import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeState } from './core/message.js';
import { SimulatedPool } from './simulation/pool.js';
import { aliveOf, endpointOf, Solo } from './simulation/solo.js';

/** What home-made gossip gets wrong; the numbers are those of the rows in the list of pitfalls. */

for (const state of [NodeState.alive, NodeState.suspect, NodeState.dead, NodeState.left])
  test(`a member that restarts without its incarnation refutes the pool's memory of it (28, remembered as ${state})`, () => {
    const solo = new Solo();
    solo.hear(aliveOf('a'));
    const row = { ...aliveOf('self', 7, { run: 'earlier' }), name: 'self', state };
    solo.act((core, nowMs) => core.merge(nowMs, { join: true, nodes: [row] }, true));
    assert.equal(solo.record('self')?.state, NodeState.alive);
    assert.ok(solo.record('self')!.incarnation > 7, `its incarnation is ${solo.record('self')!.incarnation}`);
    const said = solo.gossip().filter((message) => message.type === 'alive' && message.node === 'self');
    assert.ok(said.length > 0 && said.every((message) => message.type === 'alive' && message.incarnation > 7));
  });

test('members that starve declare no healthy member dead, nor do the others (29)', () => {
  const wronged: string[] = [];
  const pool = new SimulatedPool({
    seed: 29,
    size: 40,
    loss: 0.2,
    starved: 10,
    onEvent(at, event, nowMs) {
      if (event.type !== 'member-failed') return;
      const failed = pool.members[Number(event.member.name.slice(1))]!;
      if (!failed.isStarved) wronged.push(`${at.name}: ${failed.name} at ${nowMs}`);
    },
  });
  pool.joinAll();
  pool.time.run(180_000);
  assert.deepEqual(wronged, []);
});

test('a process that wakes up late reads what it missed before it judges (29)', () => {
  const failed: string[] = [];
  const pool = new SimulatedPool({
    seed: 1,
    size: 6,
    onEvent(at, event) {
      if (event.type === 'member-failed') failed.push(`${at.name}: ${event.member.name}`);
    },
  });
  pool.joinAll();
  pool.time.run(10_000);
  const sleeper = pool.members[2]!;
  for (let i = 0; i < 5; i++) {
    pool.pause(sleeper, 3000);
    pool.time.run(8000);
  }
  assert.deepEqual(failed, []);
  assert.ok(sleeper.core.counters.stalls >= 5);
});

test('a joining member costs one full state, and a quiet pool one each interval of each member (30)', () => {
  const size = 20;
  const pool = new SimulatedPool({ seed: 30, size });
  pool.joinAll();
  pool.time.run(60_000);
  const before = pool.exchanges;
  pool.time.run(600_000);
  const perMember = (pool.exchanges - before) / size;
  assert.ok(perMember >= 19 && perMember <= 21, `${perMember} in 20 intervals`);
});

test('two live members of one name do not take turns: the first stays, and both are told (30)', () => {
  const solo = new Solo();
  solo.hear(aliveOf('a'), aliveOf('a', 5, {}, endpointOf('twin')), aliveOf('a', 9, {}, endpointOf('twin')));
  assert.deepEqual(solo.record('a')?.addr, endpointOf('a').addr);
  solo.hear(aliveOf('self', 5, {}, endpointOf('twin')));
  const conflicts = solo.events.filter((event) => event.type === 'conflict');
  assert.deepEqual(
    conflicts.map((event) => event.type === 'conflict' && event.mine),
    [false, false, true],
  );
  assert.deepEqual(solo.record('self')?.addr, endpointOf('self').addr);
});
