import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chaos } from '../conformance/chaos.js';

const steps = 4000;

for (const asyncStorage of [false, true])
  for (const guarded of [true, false])
    test(`through losses, crashes and changes of members the promises of Raft figure 3 hold (${
      asyncStorage ? 'asynchronous' : 'synchronous'
    } storage, ${guarded ? 'with' : 'without'} pre-vote and check-quorum)`, () => {
      const total = { reads: 0, crashes: 0, changes: 0, snapshots: 0, applied: 0 };
      for (let seed = 1; seed <= 16; seed++) {
        const chaos = new Chaos({ seed, steps, asyncStorage, preVote: guarded, checkQuorum: guarded });
        try {
          chaos.run();
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
        for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += chaos.counts[key];
      }
      // The world was wild enough to mean something.
      for (const [what, count] of Object.entries(total)) assert.ok(count >= 20, `${what}: ${count}`);
    });

test('one seed gives one run: nothing in the core draws on a clock or on chance of its own', () => {
  const run = (): unknown => {
    const chaos = new Chaos({ seed: 5, steps: 2000, asyncStorage: false, preVote: true, checkQuorum: true });
    chaos.run();
    return { counts: chaos.counts, digest: chaos.digest };
  };
  assert.deepEqual(run(), run());
});
