// What the benches share: processes that end with the bench, a cluster of three, medians.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, freePort } from '@dcache/testing';

const bin = join(dirname(fileURLToPath(import.meta.url)), '../packages/server/bin/dcache.js');

/** Everything a bench started and made, to be taken down by `end`. */
export class Bench {
  #children = [];
  folder = mkdtempSync(join(tmpdir(), 'dcache-bench-'));

  /** Starts a process; its errors are shown unless `quiet`. */
  start(command, args, quiet = false) {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', quiet ? 'ignore' : 'inherit'] });
    this.#children.push(child);
    return child;
  }

  /** Three dcache nodes, all voters, the leader first. With `ca`, a certificate's file, they are asked by TLS. */
  async cluster(flags = () => [], nodeFlags = [], { ca } = {}) {
    const nodes = [];
    for (let i = 1; i <= 3; i++) nodes.push({ name: `node${i}`, rpc: await freePort(), serf: await freePort() });
    for (const node of nodes) {
      const args = ['--id', node.name, '--addr', `127.0.0.1:${node.serf}`, '--rpc-port', String(node.rpc)];
      args.push('--http', '--grpc', '--log-level', 'error', ...flags(node));
      args.push(...(node === nodes[0] ? ['--bootstrap'] : ['--join', `127.0.0.1:${nodes[0].serf}`]));
      node.child = this.start(process.execPath, [...nodeFlags, bin, ...args]);
    }
    const leader = await eventually('the cluster forms', async () => {
      const views = await Promise.all(nodes.map(({ rpc }) => (ca ? statusByTls(rpc, ca) : statusOf(rpc))));
      const isFormed = views.every(
        (view) =>
          view.isReady && view.servers.length === 3 && view.servers.every((server) => server.voteStatus === 'Voter'),
      );
      return isFormed ? nodes.find((_, i) => views[i].role === 'leader') : undefined;
    });
    return [leader, ...nodes.filter((node) => node !== leader)];
  }

  end() {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function statusOf(port) {
  return (await fetch(`http://127.0.0.1:${port}/-/status`)).json();
}

function statusByTls(port, ca) {
  return new Promise((resolve, reject) => {
    const asked = get({ host: '127.0.0.1', port, path: '/-/status', ca: readFileSync(ca) }, async (response) => {
      let text = '';
      for await (const part of response) text += part;
      resolve(JSON.parse(text));
    });
    asked.on('error', reject);
  });
}

export function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

/** What a process prints on stdout until it ends. */
export async function output(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const part of child.stdout) text += part;
  return text;
}
