import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasSerf } from './lab.js';
import { runSuite } from './suite.js';

const isThere = await hasSerf();
const mustBeThere = process.env['DCACHE_CI'] !== undefined;

test('real Serf agents and our nodes are one pool (the quick part of npm run interop:serf)', {
  skip: isThere || mustBeThere ? false : 'the serf program is not on the PATH (Debian: apt install serf)',
}, async () => {
  assert.ok(isThere, 'DCACHE_CI is set, so the serf program must be on the PATH');
  const results = await runSuite('quick', () => {});
  const failed = results.filter((result) => result.error !== undefined);
  assert.deepEqual(
    failed.map((result) => `${result.id} ${result.title}: ${result.error?.message}`),
    [],
  );
  assert.ok(results.length >= 20, `only ${results.length} checks ran`);
});
