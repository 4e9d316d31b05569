// Failover: from kill -9 of the leader to the next write that another node acknowledges, at default timeouts, on a
// cluster of three. Each run starts a fresh cluster. Options: --runs N (10)
import { request } from 'node:http';
import { parseArgs } from 'node:util';
import { Bench, median } from './cluster.mjs';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '10' } } });
const times = [];
for (let run = 0; run < Number(values.runs); run++) times.push(await failover());
console.log(
  `kill -9 of the leader to the next acknowledged write, ms: ${times.map((time) => Math.round(time)).join(' ')}`,
);
console.log(`median ${Math.round(median(times))} ms of ${times.length} runs`);

async function failover() {
  const bench = new Bench();
  try {
    const [leader, other] = await bench.cluster();
    await ask(other.rpc, 'POST', '/k', 'before');
    const start = performance.now();
    leader.child.kill('SIGKILL');
    // One write at a time, as an impatient client would: a refusal or an error is tried again at once.
    while ((await ask(other.rpc, 'POST', '/k', 'after').catch(() => 0)) !== 200) await new Promise(setImmediate);
    return performance.now() - start;
  } finally {
    bench.end();
  }
}

function ask(port, method, path, body) {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, method, path, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    });
    call.on('error', reject).end(body);
  });
}
