import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TextMap } from './cluster.test.helper.js';
import { MemoryNetwork } from './net/memory-network.js';
import { type RaftNodeOptions, resolveOptions } from './options.js';
import { MemoryStorage } from './storage.js';

const needed: RaftNodeOptions<string | undefined> = {
  id: 1,
  storage: new MemoryStorage(),
  transport: new MemoryNetwork().transport(1),
  stateMachine: new TextMap(),
};

test('an option that is wrong is named, with what it got and what it takes', () => {
  const wrong: [Partial<RaftNodeOptions<string | undefined>>, RegExp][] = [
    [{ id: 0 }, /^id takes an integer from 1 to 4503599627370495, got 0$/],
    [{ id: 2 ** 52 }, /^id takes/],
    [{ tickMs: 1.5 }, /^tickMs takes an integer from 1 to 60000, got 1.5$/],
    [{ electionTicks: 2, heartbeatTicks: 2 }, /^electionTicks takes an integer from 3/],
    [{ leaseMs: 500 }, /^leaseMs takes an integer from 1 to 450, got 500$/],
    [{ snapshotChunkBytes: 300_000 }, /^snapshotChunkBytes takes an integer from 1 to 262144/],
    [{ maxProposalBytes: Number.POSITIVE_INFINITY }, /^maxProposalBytes takes/],
  ];
  for (const [options, message] of wrong)
    assert.throws(
      () => resolveOptions({ ...needed, ...options }),
      (error) => error instanceof TypeError && message.test(error.message),
      JSON.stringify(options),
    );
  const { storage: _, ...without } = needed;
  assert.throws(() => resolveOptions(without as typeof needed), /^TypeError: storage takes an object, got undefined$/);
});

test('by default an election takes 0.5 to 1 s, and a lease ends well before the shortest', () => {
  const options = resolveOptions(needed);
  assert.equal(options.tickMs * options.electionTicks, 500);
  assert.ok(options.leaseMs < (options.electionTicks - 1) * options.tickMs * 0.9);
  assert.ok(options.heartbeatTicks * 3 < options.electionTicks);
});

test('a lease never reaches to within a tick of the election timeout, whatever the ticks are', () => {
  for (const electionTicks of [3, 4, 10, 100])
    for (const tickMs of [1, 7, 50]) {
      const { leaseMs } = resolveOptions({ ...needed, electionTicks, tickMs });
      assert.ok(leaseMs <= (electionTicks - 1) * tickMs, `${electionTicks} ticks of ${tickMs} ms: ${leaseMs} ms`);
    }
});
