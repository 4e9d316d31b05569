// What the parts of the server's bench share: load by wrk and h2load, cases measured in turn, ratios of rounds.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { median, output } from '../cluster.mjs';

/** Says what is missing on this machine, and ends. */
export function need(...programs) {
  const packages = { wrk: 'wrk', h2load: 'nghttp2-client', etcd: 'etcd-server', openssl: 'openssl' };
  for (const program of programs)
    if (spawnSync(program, ['--version']).error) {
      console.error(`${program} is not on the PATH; on Debian: apt-get install ${packages[program]}`);
      process.exit(2);
    }
}

/** GET or POST of 100 bytes on ten thousand keys; each connection walks them from a place of its own. */
export function wrkCase(bench, { name, url, method, query = '', of }) {
  const script = join(bench.folder, `${name.replace(/\W+/g, '-')}.lua`);
  writeFileSync(
    script,
    `local n = 0
function init() math.randomseed(os.time()); n = math.random(0, 9999) end
request = function()
  n = (n + 7) % 10000
  return wrk.format('${method}', '/key-' .. n .. '${query}', nil, ${method === 'POST' ? "string.rep('v', 100)" : 'nil'})
end
`,
  );
  return {
    name,
    of,
    run: async (seconds) => {
      const text = await output('wrk', ['-t1', '-c64', `-d${seconds}s`, '--latency', '-s', script, url]);
      const broken = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? [];
      const refused = method === 'GET' ? 0 : Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
      return {
        perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
        p50Ms: milliseconds(/50%\s+([\d.]+\w+)/.exec(text)?.[1]),
        p99Ms: milliseconds(/99%\s+([\d.]+\w+)/.exec(text)?.[1]),
        errors: broken.reduce((sum, count) => sum + Number(count), refused),
      };
    },
  };
}

/** A unary call again and again: `connections` of them with `streams` calls each. */
export function h2loadCase(bench, { name, url, message, connections, streams, of }) {
  const body = join(bench.folder, `${name.replace(/\W+/g, '-')}.grpc`);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  writeFileSync(body, Buffer.concat([frame, message]));
  return {
    name,
    of,
    run: async (seconds) => {
      const args = ['-c', String(connections), '-m', String(streams), '-t1', '-D', String(seconds), '-d', body];
      args.push('-H', 'content-type: application/grpc', '-H', 'te: trailers', url);
      const text = await output('h2load', args);
      const times = /time for request:\s+\S+\s+\S+\s+(\S+)/.exec(text);
      return {
        perSecond: Number(/finished in [\d.]+\w+, ([\d.]+) req\/s/.exec(text)?.[1]),
        meanMs: milliseconds(times?.[1]),
        errors: Number(/(\d+) failed/.exec(text)?.[1] ?? 0),
      };
    },
  };
}

/** Field 1 the key, field 2 the value: the same in dcache's Set and etcd's Put; without a value, Get. */
export function keyValue(key, valueBytes) {
  const field = (number, bytes) => Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
  const fields = [field(1, Buffer.from(key))];
  if (valueBytes > 0) fields.push(field(2, Buffer.alloc(valueBytes, 118)));
  return Buffer.concat(fields);
}

/**
 * Each round measures each case once, in turn, so that what else the machine does falls on all of them. A case with `of`
 * shows the median of its rounds' ratios to that one, and what it is asked to be.
 */
export async function compare(cases, { rounds, seconds }, targets = {}) {
  for (const one of cases) await one.run(1);
  const results = cases.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, one] of cases.entries()) results[i].push(await one.run(seconds));
  for (const [i, one] of cases.entries()) {
    const yardstick = cases.findIndex(({ name }) => name === one.of);
    const ratios = results[i].map(({ perSecond }, round) => perSecond / (results[yardstick]?.[round].perSecond ?? 1));
    const ratio = yardstick === -1 ? '' : `${median(ratios).toFixed(2)} × ${one.of}`;
    const asked = targets[one.name] === undefined ? '' : `asked ${targets[one.name]}`;
    const of = (field) => median(results[i].map((result) => result[field])).toFixed(2);
    const times =
      results[i][0].meanMs === undefined ? `p50 ${of('p50Ms')} p99 ${of('p99Ms')} ms` : `mean ${of('meanMs')} ms`;
    const errors = results[i].reduce((sum, result) => sum + result.errors, 0);
    console.log(
      `  ${one.name.padEnd(30)} ${String(Math.round(median(results[i].map((result) => result.perSecond)))).padStart(7)}/s  ${ratio.padEnd(26)} ${asked.padEnd(12)} ${times}${errors ? `  ${errors} errors` : ''}`,
    );
  }
}

function milliseconds(text) {
  const [, number, unit] = /([\d.]+)(us|ms|s)/.exec(text ?? '') ?? [];
  return Number(number) * { us: 0.001, ms: 1, s: 1000 }[unit];
}
