// Durable writes over gRPC, dcache's Set beside etcd's Put: three nodes each, the same disk, 100-byte values, h2load on
// both, one request at a time a connection. Rounds alternate; the ratios are medians of rounds.
// Needs etcd and h2load (Debian: apt-get install etcd-server nghttp2-client). Options: --rounds N (5) --seconds N (3)
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench, freePort, median, output, until } from './cluster.mjs';

const { values: options } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '3' } },
});
for (const program of ['etcd', 'h2load'])
  if (spawnSync(program, ['--version']).error) {
    console.error(`${program} is not on the PATH; on Debian: apt-get install etcd-server nghttp2-client`);
    process.exit(2);
  }

const bench = new Bench();
try {
  const [leader] = await bench.cluster(({ name }) => ['--in-memory=false', '--data-dir', join(bench.folder, name)]);
  const etcdPort = await startEtcd();
  // Field 1 the key, field 2 the value, in both messages.
  const message = Buffer.concat([field(1, Buffer.from('key-1')), field(2, Buffer.alloc(100, 118))]);
  const body = join(bench.folder, 'body');
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  writeFileSync(body, Buffer.concat([frame, message]));
  const systems = [
    { name: 'dcache', url: `http://127.0.0.1:${leader.rpc}/pb.Cache/Set` },
    { name: 'etcd', url: `http://127.0.0.1:${etcdPort}/etcdserverpb.KV/Put` },
  ];
  console.log(`durable gRPC writes of 100 bytes, medians of ${options.rounds} rounds of ${options.seconds} s`);
  for (const connections of [1, 64]) {
    const results = systems.map(() => []);
    for (let round = -1; round < Number(options.rounds); round++)
      for (const [i, system] of systems.entries()) {
        const result = await measure(system.url, connections, body);
        if (round >= 0) results[i].push(result);
      }
    for (const [i, system] of systems.entries())
      console.log(
        `${String(connections).padStart(2)} connections  ${system.name.padEnd(7)} ${String(Math.round(median(results[i].map((one) => one.perSecond)))).padStart(6)}/s  mean ${median(results[i].map((one) => one.meanMs)).toFixed(2)} ms${sum(results[i].map((one) => one.failed)) ? `  ${sum(results[i].map((one) => one.failed))} failed` : ''}`,
      );
    const ratios = results[0].map((one, round) => one.perSecond / results[1][round].perSecond);
    console.log(`${String(connections).padStart(2)} connections  dcache / etcd ${median(ratios).toFixed(2)}`);
  }
} finally {
  bench.end();
}

async function startEtcd() {
  const members = [];
  for (let i = 0; i < 3; i++) members.push({ name: `e${i}`, peer: await freePort(), client: await freePort() });
  const initial = members.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(',');
  for (const { name, peer, client } of members) {
    const flags = [
      ...['--name', name, '--data-dir', join(bench.folder, name), '--log-level', 'error'],
      ...[
        '--listen-peer-urls',
        `http://127.0.0.1:${peer}`,
        '--initial-advertise-peer-urls',
        `http://127.0.0.1:${peer}`,
      ],
      ...[
        '--listen-client-urls',
        `http://127.0.0.1:${client}`,
        '--advertise-client-urls',
        `http://127.0.0.1:${client}`,
      ],
      ...['--initial-cluster', initial, '--initial-cluster-state', 'new'],
    ];
    bench.start('etcd', flags, true);
  }
  // Its leader, as for dcache: the one whose metrics say so.
  return until('etcd did not elect a leader', async () => {
    for (const { client } of members) {
      const metrics = await (await fetch(`http://127.0.0.1:${client}/metrics`)).text();
      if (/^etcd_server_is_leader 1$/m.test(metrics)) return client;
    }
    return undefined;
  });
}

async function measure(url, connections, body) {
  const args = ['-c', String(connections), '-m1', '-t1', '-D', options.seconds, '-d', body];
  args.push('-H', 'content-type: application/grpc', '-H', 'te: trailers', url);
  const text = await output('h2load', args);
  return {
    perSecond: Number(/finished in [\d.]+\w+, ([\d.]+) req\/s/.exec(text)?.[1]),
    meanMs: milliseconds(/time for request:\s+\S+\s+\S+\s+(\S+)/.exec(text)?.[1]),
    failed: Number(/(\d+) failed/.exec(text)?.[1] ?? 0),
  };
}

function field(number, bytes) {
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}

function milliseconds(text) {
  const [, number, unit] = /([\d.]+)(us|ms|s)/.exec(text ?? '') ?? [];
  return Number(number) * { us: 0.001, ms: 1, s: 1000 }[unit];
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
