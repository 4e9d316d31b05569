// HTTP on a cluster of three in-memory nodes, beside a bare node:http server that holds its values in a Map.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, freePort } from '@dcache/testing';
import { compare, need, wrkCase } from './load.mjs';

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

export async function http(bench, options) {
  need('wrk');
  writeFileSync(join(bench.folder, 'bare.mjs'), bareSource);
  const barePort = await freePort();
  bench.start(process.execPath, [join(bench.folder, 'bare.mjs'), String(barePort)]);
  const [leader, follower] = await bench.cluster();
  await eventually('the bare server answers', () => fetch(`http://127.0.0.1:${barePort}/`));
  const [bare, first, second] = [barePort, leader.rpc, follower.rpc].map((port) => `http://127.0.0.1:${port}`);
  const cases = [
    { name: 'POST bare', url: bare, method: 'POST' },
    { name: 'POST leader', url: first, method: 'POST', of: 'POST bare' },
    { name: 'POST follower', url: second, method: 'POST', of: 'POST bare' },
    { name: 'GET bare', url: bare, method: 'GET' },
    { name: 'GET local', url: first, method: 'GET', query: '?consistency=local', of: 'GET bare' },
    { name: 'GET linearizable, leader', url: first, method: 'GET', of: 'GET bare' },
    { name: 'GET linearizable, follower', url: second, method: 'GET', of: 'GET bare' },
  ];
  console.log('HTTP, 64 connections, 100-byte values, three nodes in memory');
  await compare(
    cases.map((one) => wrkCase(bench, one)),
    options,
    {
      'POST leader': 0.45,
      'POST follower': 0.45,
      'GET local': 0.7,
      'GET linearizable, leader': 0.5,
      'GET linearizable, follower': 0.5,
    },
  );
}
