import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { MemoryLog } from '../conformance/memory-log.js';
import { type RawNodeOptions, resolveOptions } from './options.js';

function options(more: Partial<RawNodeOptions>): RawNodeOptions {
  return { id: 1, storage: new MemoryLog(), random: new SeededRandom(1), ...more };
}

test('defaults are the safe ones: pre-vote and check-quorum on, reads by a quorum', () => {
  const { preVote, checkQuorum, readOnly, electionTicks, heartbeatTicks } = resolveOptions(options({}));
  assert.deepEqual([preVote, checkQuorum, readOnly, electionTicks, heartbeatTicks], [true, true, 'safe', 10, 1]);
});

test('bytes handed out to be applied are limited as an append is, unless said otherwise', () => {
  assert.equal(resolveOptions(options({ maxSizePerMessage: 7 })).maxCommittedSizePerReady, 7);
  assert.equal(resolveOptions(options({ maxCommittedSizePerReady: 9 })).maxCommittedSizePerReady, 9);
});

for (const [wrong, message] of [
  [{ id: 0 }, /^id takes an integer from 1 to 4503599627370495, got 0$/],
  [{ id: 2 ** 52 }, /^id takes/],
  [{ electionTicks: 1 }, /^electionTicks takes an integer from 2/],
  [{ heartbeatTicks: 1.5 }, /^heartbeatTicks takes .* got 1.5$/],
  [{ maxInflightMessages: 0 }, /^maxInflightMessages takes/],
  [{ maxSizePerMessage: -1 }, /^maxSizePerMessage takes/],
  [{ readOnly: 'lease', checkQuorum: false }, /readOnly 'lease' takes checkQuorum true/],
  [{ readOnly: 'never' }, /readOnly takes 'safe' or 'lease', got never/],
] as readonly [Partial<RawNodeOptions>, RegExp][])
  test(`the option ${JSON.stringify(wrong)} is refused, with what it takes`, () => {
    assert.throws(() => resolveOptions(options(wrong)), { name: 'TypeError', message });
  });
