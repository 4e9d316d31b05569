// What counting costs: local GETs on a node that counts its requests, beside one that does not.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { compare, need, wrkCase } from './load.mjs';

const counting = pathToFileURL(
  join(import.meta.dirname, '../../packages/server/dist/observe/metrics-requests.js'),
).href;
// There is no option for it: nobody should run a server that does not know what it does.
const uncounted = `
import { RequestMetrics } from '${counting}';
RequestMetrics.prototype.done = () => {};
RequestMetrics.prototype.observeRead = () => {};
`;

export async function metrics(bench, options) {
  need('wrk');
  const [counts] = await bench.cluster();
  const [doesNot] = await bench.cluster(
    () => [],
    ['--import', `data:text/javascript,${encodeURIComponent(uncounted)}`],
  );
  console.log('counting, local GETs of 100 bytes at 64 connections');
  for (const { rpc } of [counts, doesNot])
    for (let i = 0; i < 10_000; i += 500)
      await Promise.all(
        Array.from({ length: 500 }, (_, j) =>
          fetch(`http://127.0.0.1:${rpc}/key-${i + j}`, { method: 'POST', body: 'v'.repeat(100) }),
        ),
      );
  const one = (name, { rpc }, of) =>
    wrkCase(bench, { name, url: `http://127.0.0.1:${rpc}`, method: 'GET', query: '?consistency=local', of });
  await compare([one('not counted', doesNot), one('counted', counts, 'not counted')], options, { counted: 0.95 });
}
