// Runs the conformance list of packages/serf/README.md: real Serf agents (the `serf` program on the PATH) and our nodes
// in one pool, on the loopback. Takes about five minutes; `--quick` leaves out what waits long. Exits 1 when one fails.
import { hasSerf } from '../packages/serf/dist/interop/lab.js';
import { runSuite } from '../packages/serf/dist/interop/suite.js';

if (!(await hasSerf())) {
  console.error('the serf program is not on the PATH (Debian: apt install serf)');
  process.exit(2);
}
const extent = process.argv.includes('--quick') ? 'quick' : 'full';
const results = await runSuite(extent, ({ id, title, tookMs, detail, error, skipped }) => {
  const verdict = error !== undefined ? 'FAIL' : skipped !== undefined ? 'SKIP' : 'pass';
  const more = error?.message ?? skipped ?? detail;
  console.log(`${verdict} ${String(id).padStart(2)} ${title} (${tookMs} ms)${more === '' ? '' : `: ${more}`}`);
});
const failed = results.filter((result) => result.error !== undefined).length;
const skipped = results.filter((result) => result.skipped !== undefined).length;
if (skipped > 0) console.log(`${skipped} could not be run on this machine`);
console.log(`${results.length - failed - skipped} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
