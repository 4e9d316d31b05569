// HTTP POST and GET at 64 connections on a cluster of three in-memory nodes, beside a bare node:http server that holds
// its values in a Map, in the same run. Every round measures each case once, in turn; the ratios are medians of rounds.
// Needs wrk (Debian: apt-get install wrk). Options: --rounds N (5) --seconds N (3) --connections N (64)
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench, freePort, median, output, until } from './cluster.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '64' },
  },
});
if (spawnSync('wrk', ['-v']).error) {
  console.error('wrk is not on the PATH; on Debian: apt-get install wrk');
  process.exit(2);
}

const bench = new Bench();

// The yardstick: the least that a cache behind node:http can do.
const bareSource = `
import { createServer } from 'node:http';
const map = new Map();
createServer((request, response) => {
  if (request.method === 'GET') {
    const value = map.get(request.url);
    response.writeHead(value ? 200 : 404, { 'content-length': value ? value.length : 0 });
    response.end(value);
    return;
  }
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    map.set(request.url, parts.length === 1 ? parts[0] : Buffer.concat(parts));
    response.writeHead(200, { 'content-length': 0 });
    response.end();
  });
}).listen(Number(process.argv[2]), '127.0.0.1');
`;

// Ten thousand keys; each connection walks them from a place of its own.
const lua = (method) => `
local n = 0
function init() math.randomseed(os.time()); n = math.random(0, 9999) end
request = function()
  n = (n + 7) % 10000
  return wrk.format('${method}', '/key-' .. n .. (wrk.query or ''), nil, ${method === 'POST' ? "string.rep('v', 100)" : 'nil'})
end
`;

try {
  await main();
} finally {
  bench.end();
}

async function main() {
  writeFileSync(join(bench.folder, 'bare.mjs'), bareSource);
  const barePort = await freePort();
  bench.start(process.execPath, [join(bench.folder, 'bare.mjs'), String(barePort)]);
  const [{ rpc: leaderPort }, { rpc: followerPort }] = await bench.cluster();
  await until('the bare server does not answer', () => fetch(`http://127.0.0.1:${barePort}/`));

  const cases = [
    { name: 'POST bare', port: barePort, method: 'POST' },
    { name: 'POST leader', port: leaderPort, method: 'POST', of: 'POST bare' },
    { name: 'POST follower', port: followerPort, method: 'POST', of: 'POST bare' },
    { name: 'GET bare', port: barePort, method: 'GET' },
    { name: 'GET local', port: leaderPort, method: 'GET', query: '?consistency=local', of: 'GET bare' },
    { name: 'GET linearizable, leader', port: leaderPort, method: 'GET', of: 'GET bare' },
    { name: 'GET linearizable, follower', port: followerPort, method: 'GET', of: 'GET bare' },
  ];
  for (const one of cases) {
    one.script = join(bench.folder, `${cases.indexOf(one)}.lua`);
    const source = lua(one.method);
    writeFileSync(one.script, one.query ? source.replace("(wrk.query or '')", `'${one.query}'`) : source);
    one.results = [];
  }
  for (const one of cases) await measure(one, 1);
  for (let round = 0; round < Number(options.rounds); round++)
    for (const one of cases) one.results.push(await measure(one, Number(options.seconds)));

  console.log(
    `${options.connections} connections, 100-byte values, 10,000 keys; medians of ${options.rounds} rounds of ${options.seconds} s`,
  );
  for (const one of cases) {
    const yardstick = cases.find((other) => other.name === one.of);
    const rate = median(one.results.map((result) => result.perSecond));
    const errors = one.results.reduce((sum, result) => sum + result.errors, 0);
    const ratio = yardstick
      ? `${median(one.results.map((result, i) => result.perSecond / yardstick.results[i].perSecond)).toFixed(2)} × bare`
      : '';
    console.log(
      `${one.name.padEnd(28)} ${String(Math.round(rate)).padStart(7)}/s  ${ratio.padEnd(13)} p50 ${median(one.results.map((result) => result.p50Ms)).toFixed(2)} ms  p99 ${median(one.results.map((result) => result.p99Ms)).toFixed(2)} ms${errors ? `  ${errors} errors` : ''}`,
    );
  }
}

async function measure({ port, script }, seconds) {
  const args = [
    '-t1',
    `-c${options.connections}`,
    `-d${seconds}s`,
    '--latency',
    '-s',
    script,
    `http://127.0.0.1:${port}`,
  ];
  const text = await output('wrk', args);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]);
  const failed = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  const broken =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1).map(Number) ?? [];
  return {
    perSecond,
    p50Ms: milliseconds(/50%\s+([\d.]+\w+)/.exec(text)?.[1]),
    p99Ms: milliseconds(/99%\s+([\d.]+\w+)/.exec(text)?.[1]),
    errors: failed + broken.reduce((sum, count) => sum + count, 0),
  };
}

function milliseconds(text) {
  const [, number, unit] = /([\d.]+)(us|ms|s)/.exec(text ?? '') ?? [];
  return Number(number) * { us: 0.001, ms: 1, s: 1000 }[unit];
}
