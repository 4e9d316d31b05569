// Runs the story of story.ts for many seeds: `node packages/sim/dist/bcache/run.js --seeds 1000 [--from 0] [--nodes 20]`.
// Prints each seed that fails with its faults, a line of totals, and exits 1 if any failed.
import { parseArgs } from 'node:util';
import { type Outcome, runStory } from './story.js';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '0' },
    nodes: { type: 'string', default: '20' },
  },
});
const from = Number(values.from);
const count = Number(values.seeds);
const totals = { keys: 0, writes: 0, messages: 0, pulls: 0, states: 0, refused: 0, restamped: 0 };
let failed = 0;
const startedAt = performance.now();
for (let seed = from; seed < from + count; seed++) {
  const outcome: Outcome = runStory(seed, Number(values.nodes));
  for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += outcome[name];
  if ((seed - from) % 50 === 49) console.error(`${seed - from + 1} seeds, ${failed} failed`);
  if (outcome.faults.length === 0) continue;
  failed++;
  console.log(`seed ${seed}: ${outcome.faults.length} faults\n  ${outcome.faults.slice(0, 6).join('\n  ')}`);
}
const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
console.log(JSON.stringify(totals));
console.log(`${count - failed} seeds passed, ${failed} failed, in ${seconds} s`);
process.exit(failed > 0 ? 1 : 0);
