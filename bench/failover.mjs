// Failover: from kill -9 of the leader to the next write that another node acknowledges, at default timeouts, on a
// cluster of three. Each run starts a fresh cluster. Options: --runs N (10)
import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '10' } } });
const bin = join(dirname(fileURLToPath(import.meta.url)), '../packages/server/bin/dcache.js');
const times = [];
for (let run = 0; run < Number(values.runs); run++) times.push(await failover());
console.log(
  `kill -9 of the leader to the next acknowledged write, ms: ${times.map((time) => Math.round(time)).join(' ')}`,
);
console.log(
  `median ${Math.round([...times].sort((a, b) => a - b)[Math.floor(times.length / 2)])} ms of ${times.length} runs`,
);

async function failover() {
  const nodes = [];
  for (let i = 0; i < 3; i++) nodes.push({ rpc: await freePort(), serf: await freePort() });
  try {
    for (const [i, node] of nodes.entries()) {
      const args = [
        '--http',
        '--id',
        `node${i + 1}`,
        '--addr',
        `127.0.0.1:${node.serf}`,
        '--rpc-port',
        String(node.rpc),
      ];
      args.push('--log-level', 'error', ...(i === 0 ? ['--bootstrap'] : ['--join', `127.0.0.1:${nodes[0].serf}`]));
      node.child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
    }
    const leader = await until(async () => {
      const views = await Promise.all(nodes.map(({ rpc }) => status(rpc)));
      const isFormed = views.every(
        (view) =>
          view.isReady && view.servers.length === 3 && view.servers.every((server) => server.voteStatus === 'Voter'),
      );
      return isFormed ? nodes.find((_, i) => views[i].role === 'leader') : undefined;
    });
    const other = nodes.find((node) => node !== leader);
    await ask(other.rpc, 'POST', '/k', 'before');
    const start = performance.now();
    leader.child.kill('SIGKILL');
    // One write at a time, as an impatient client would: a refusal or an error is tried again at once.
    while ((await ask(other.rpc, 'POST', '/k', 'after').catch(() => 0)) !== 200) await new Promise(setImmediate);
    return performance.now() - start;
  } finally {
    for (const { child } of nodes) child?.kill('SIGKILL');
  }
}

async function status(port) {
  return (await fetch(`http://127.0.0.1:${port}/-/status`)).json();
}

function ask(port, method, path, body) {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, method, path, agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    });
    call.on('error', reject).end(body);
  });
}

async function until(check) {
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    const result = await check().catch(() => undefined);
    if (result !== undefined) return result;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('the cluster did not form within 30 s');
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
