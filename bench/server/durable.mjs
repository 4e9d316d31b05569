// Durable writes over gRPC, dcache's Set beside etcd's Put: three nodes each, the same disk, h2load on both, one request
// at a time a connection.
import { join } from 'node:path';
import { eventually, freePort } from '@dcache/testing';
import { compare, h2loadCase, keyValue, need } from './load.mjs';

export async function durable(bench, options) {
  need('etcd', 'h2load');
  const [leader] = await bench.cluster(({ name }) => ['--in-memory=false', '--data-dir', join(bench.folder, name)]);
  const etcdPort = await startEtcd(bench);
  const urls = {
    etcd: `http://127.0.0.1:${etcdPort}/etcdserverpb.KV/Put`,
    dcache: `http://127.0.0.1:${leader.rpc}/pb.Cache/Set`,
  };
  console.log('gRPC writes of 100 bytes, three nodes on disk');
  const cases = [1, 64].flatMap((connections) =>
    Object.entries(urls).map(([system, url]) =>
      h2loadCase(bench, {
        ...{
          name: `${system}, ${connections} connections`,
          url,
          message: keyValue('key-1', 100),
          connections,
          streams: 1,
        },
        ...(system === 'etcd' ? {} : { of: `etcd, ${connections} connections` }),
      }),
    ),
  );
  await compare(cases, options, { 'dcache, 64 connections': 2 });
}

async function startEtcd(bench) {
  const members = [];
  for (let i = 0; i < 3; i++) members.push({ name: `e${i}`, peer: await freePort(), client: await freePort() });
  const initial = members.map(({ name, peer }) => `${name}=http://127.0.0.1:${peer}`).join(',');
  for (const { name, peer, client } of members) {
    const [peerUrl, clientUrl] = [`http://127.0.0.1:${peer}`, `http://127.0.0.1:${client}`];
    const flags = ['--name', name, '--data-dir', join(bench.folder, name), '--log-level', 'error'];
    flags.push('--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl);
    flags.push('--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl);
    bench.start('etcd', [...flags, '--initial-cluster', initial, '--initial-cluster-state', 'new'], true);
  }
  // Its leader, as for dcache: the one whose metrics say so.
  return eventually('etcd elects a leader', async () => {
    for (const { client } of members) {
      const metrics = await (await fetch(`http://127.0.0.1:${client}/metrics`)).text();
      if (/^etcd_server_is_leader 1$/m.test(metrics)) return client;
    }
    return undefined;
  });
}
