// The server beside what it is measured against, part by part: http grpc durable metrics tls. Without names, all of them.
// Three nodes and the load share this machine's processors. Options: --rounds N (5) --seconds N (3)
import { parseArgs } from 'node:util';
import { Bench } from './cluster.mjs';
import { durable } from './server/durable.mjs';
import { grpc } from './server/grpc.mjs';
import { http } from './server/http.mjs';
import { metrics } from './server/metrics.mjs';
import { tls } from './server/tls.mjs';

const parts = { http, grpc, durable, metrics, tls };
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '3' } },
});
const unknown = positionals.find((name) => !Object.hasOwn(parts, name));
if (unknown !== undefined) {
  console.error(`there is no part ${unknown}; there are ${Object.keys(parts).join(', ')}`);
  process.exit(2);
}
const options = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
console.log(`medians of ${options.rounds} rounds of ${options.seconds} s`);
for (const [name, part] of Object.entries(parts)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const bench = new Bench();
  try {
    await part(bench, options);
  } finally {
    bench.end();
  }
}
