// Runs the simulation for many seeds: `npm run sim -- --seeds N --from S`. A seed that fails is run again with its trace
// written to a file, and the line to replay it is printed. Exits 1 when a seed fails.
//
//   --seeds N       how many seeds (default 100)
//   --from S        the first seed (default 1; `random` draws one and prints it)
//   --trace DIR     where traces of failing seeds go (default: the system's folder for temporary files)
//   --print         print the whole trace of a single seed, failing or not
//   --mutation M    make a known bug on purpose
//   --driver        simulate the driver (whole nodes, their log, connections and promises) and not the core alone
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { driverMutations, mutations, simulate, simulateDriver } = await import('../packages/sim/dist/index.js').catch(
  (error) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    console.error('not built: run npm run build');
    process.exit(2);
  },
);

const usage =
  'usage: npm run sim -- [--seeds N] [--from S|random] [--trace DIR] [--print] [--driver] [--mutation NAME]\n' +
  `mutations: ${mutations.join(', ')}; with --driver: ${driverMutations.join(', ')}`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '100' },
      from: { type: 'string', default: '1' },
      trace: { type: 'string', default: tmpdir() },
      print: { type: 'boolean', default: false },
      mutation: { type: 'string' },
      driver: { type: 'boolean', default: false },
    },
  });
  const seeds = Number(values.seeds);
  const from = values.from === 'random' ? Math.floor(Math.random() * 2 ** 31) : Number(values.from);
  if (!Number.isSafeInteger(seeds) || seeds < 1)
    throw new TypeError(`--seeds takes an integer from 1, got ${values.seeds}`);
  if (!Number.isSafeInteger(from) || from < 0 || from + seeds > 2 ** 32)
    throw new TypeError(`--from takes an integer from 0 to 2^32, or "random", got ${values.from}`);
  const known = values.driver ? driverMutations : mutations;
  if (values.mutation !== undefined && !known.includes(values.mutation))
    throw new TypeError(`--mutation takes one of ${known.join(', ')}, got ${values.mutation}`);
  return { ...values, seeds, from };
}

let options;
try {
  options = readOptions();
} catch (error) {
  console.error(`${error.message}\n${usage}`);
  process.exit(2);
}

const { seeds, from, mutation, driver } = options;
const run = driver ? simulateDriver : simulate;
const totals = {
  operations: 0,
  elections: 0,
  committed: 0,
  crashes: 0,
  changes: 0,
  snapshots: 0,
  delivered: 0,
  dropped: 0,
};
const started = performance.now();
let failures = 0;
for (let seed = from; seed < from + seeds; seed++) {
  const result = await run({ seed, mutation, traceLines: options.print ? 1_000_000 : 0 });
  if (options.print) console.log(result.trace.join('\n'));
  for (const name of Object.keys(totals)) totals[name] += result.summary[name] ?? 0;
  if (result.violation === undefined) continue;
  failures++;
  const { check, message, atMs } = result.violation;
  const file = join(options.trace, `sim-${seed}.trace`);
  const again = await run({ seed, mutation, traceLines: 1_000_000 });
  writeFileSync(file, `${again.trace.join('\n')}\n`);
  console.error(`seed ${seed} breaks ${check} at ${atMs.toFixed(3)} ms: ${message}`);
  console.error(
    `  replay: npm run sim -- --from ${seed} --seeds 1${mutation ? ` --mutation ${mutation}` : ''}; trace: ${file}\n`,
  );
}
const seconds = (performance.now() - started) / 1000;
const what = Object.entries(totals).flatMap(([name, count]) => (count > 0 ? [`${count} ${name}`] : []));
console.log(`${seeds} seeds from ${from} in ${seconds.toFixed(1)} s: ${what.join(', ')}; ${failures} failed`);
process.exitCode = failures > 0 ? 1 : 0;
