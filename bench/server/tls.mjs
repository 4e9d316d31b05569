// What TLS costs: the same requests with and without, on connections that stay.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { compare, need, wrkCase } from './load.mjs';

export async function tls(bench, options) {
  need('wrk', 'openssl');
  const [key, cert] = [join(bench.folder, 'key.pem'), join(bench.folder, 'cert.pem')];
  const subject = ['-subj', '/CN=bench', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:node1,DNS:node2,DNS:node3'];
  const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const made = spawnSync('openssl', [...args, ...subject, '-keyout', key, '-out', cert]);
  if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`);
  const plain = await leaderOf(bench.cluster());
  const flags = ['server', 'peer'].flatMap((side) => [`--${side}-tls-cert-file`, cert, `--${side}-tls-key-file`, key]);
  const secure = await leaderOf(bench.cluster(() => [...flags, '--peer-tls-ca-file', cert], [], { ca: cert }));
  console.log('TLS, 64 connections, 100-byte values, three nodes in memory');
  const cases = [];
  for (const method of ['GET', 'POST'])
    for (const [name, scheme, { rpc }] of [
      [`${method} off`, 'http', plain],
      [`${method} on`, 'https', secure],
    ])
      cases.push(
        wrkCase(bench, {
          ...{ name, url: `${scheme}://127.0.0.1:${rpc}`, method },
          ...(scheme === 'https' ? { of: `${method} off` } : {}),
        }),
      );
  await compare(cases, options, { 'GET on': 0.6, 'POST on': 0.6 });
}

async function leaderOf(cluster) {
  return (await cluster)[0];
}
