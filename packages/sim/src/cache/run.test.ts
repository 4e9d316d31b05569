import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheMutations } from './replica.js';
import { simulateCache } from './run.js';

const policies = ['sieve', 's3fifo', 'fifo', 'none'] as const;

for (const eviction of policies)
  test(`${eviction}: three replicas under random load with times to live have equal states at equal indexes, one healed by a snapshot and one after a power cut`, async () => {
    for (let seed = 1; seed <= 2; seed++) {
      const result = await simulateCache({ seed, eviction });
      assert.equal(result.violation, undefined, `seed ${seed}: ${result.violation?.message}`);
      // What the run is for has happened, on every replica.
      assert.ok(result.snapshots >= 1, `seed ${seed} installs no snapshot`);
      for (const [at] of result.compared.entries()) {
        assert.ok(result.expirations[at]! > 100, `seed ${seed}: ${result.expirations} expired`);
        if (eviction === 'none') assert.equal(result.evictions[at], 0);
        else assert.ok(result.evictions[at]! > 100, `seed ${seed}: ${result.evictions} were evicted`);
      }
      assert.ok(Math.min(...result.compared) > 50, `seed ${seed}: ${result.compared} states were compared`);
    }
  });

for (const mutation of cacheMutations)
  test(`the comparison finds a replica with the fault ${mutation}`, async () => {
    const { violation } = await simulateCache({ seed: 1, mutation });
    assert.equal(violation?.check, 'state-machine-safety', violation?.message);
  });

test('equal seeds give equal runs, other seeds others', async () => {
  const [one, again, other] = [
    await simulateCache({ seed: 7 }),
    await simulateCache({ seed: 7 }),
    await simulateCache({ seed: 8 }),
  ];
  assert.equal(one.violation, undefined, one.violation?.message);
  assert.equal(again.digest, one.digest);
  assert.notEqual(other.digest, one.digest);
});
