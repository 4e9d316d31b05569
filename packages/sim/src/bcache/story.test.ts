import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runStory } from './story.js';

/** A few seeds here; `node packages/sim/dist/bcache/run.js --seeds 1000` runs as many as one likes. */
const seeds = 16;

test(`twenty nodes of bcache end equal, and what was deleted stays deleted, for ${seeds} seeds`, () => {
  for (let seed = 0; seed < seeds; seed++) {
    const { faults } = runStory(seed);
    assert.deepEqual(faults.slice(0, 5), [], `seed ${seed}`);
  }
});

test('one seed is one run', () => {
  assert.deepEqual(runStory(5, 6), runStory(5, 6));
});
