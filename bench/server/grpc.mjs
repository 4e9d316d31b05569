// gRPC Get and Set on a cluster of three in-memory nodes, beside a bare grpc-js server that gives the request back.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { eventually, freePort } from '@dcache/testing';
import { compare, h2loadCase, keyValue, need } from './load.mjs';

const grpcJs = pathToFileURL(createRequire(import.meta.url).resolve('@grpc/grpc-js')).href;

const bareSource = `
import grpc from '${grpcJs}';
const same = (bytes) => bytes;
const method = { requestStream: false, responseStream: false, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same };
const server = new grpc.Server();
server.addService({ echo: { ...method, path: '/bare.Bare/Echo' } }, { echo: (call, answer) => answer(null, call.request) });
server.bindAsync('127.0.0.1:' + process.argv[2], grpc.ServerCredentials.createInsecure(), (error) => { if (error) throw error; });
`;

export async function grpc(bench, options) {
  need('h2load');
  writeFileSync(join(bench.folder, 'bare-grpc.mjs'), bareSource);
  const barePort = await freePort();
  bench.start(process.execPath, [join(bench.folder, 'bare-grpc.mjs'), String(barePort)]);
  const [leader, follower] = await bench.cluster();
  const value = 'v'.repeat(100);
  await eventually('the value is written', async () => {
    const { ok } = await fetch(`http://127.0.0.1:${leader.rpc}/key-1`, { method: 'POST', body: value });
    return ok;
  });
  const cases = [
    { name: 'echo bare', port: barePort, path: 'bare.Bare/Echo', message: keyValue('key-1', 100) },
    { name: 'Get leader', port: leader.rpc, path: 'pb.Cache/Get', message: keyValue('key-1', 0), of: 'echo bare' },
    { name: 'Get follower', port: follower.rpc, path: 'pb.Cache/Get', message: keyValue('key-1', 0), of: 'echo bare' },
    { name: 'Set leader', port: leader.rpc, path: 'pb.Cache/Set', message: keyValue('key-1', 100), of: 'echo bare' },
    {
      name: 'Set follower',
      port: follower.rpc,
      path: 'pb.Cache/Set',
      message: keyValue('key-1', 100),
      of: 'echo bare',
    },
  ];
  console.log('gRPC, 16 connections × 32 calls, 100-byte values, three nodes in memory; Get is linearizable');
  await compare(
    cases.map(({ port, path, ...one }) =>
      h2loadCase(bench, { ...one, url: `http://127.0.0.1:${port}/${path}`, connections: 16, streams: 32 }),
    ),
    options,
    { 'Get leader': 0.8, 'Get follower': 0.8, 'Set leader': 0.4, 'Set follower': 0.4 },
  );
}
