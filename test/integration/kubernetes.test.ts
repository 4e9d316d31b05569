import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, freePort } from '@dcache/testing';
import { parseAllDocuments } from 'yaml';
import { dcacheBin } from './harness.js';

const manifest = fileURLToPath(new URL('../../../deploy/kubernetes/dcache.yaml', import.meta.url));
const token = 'Zc8q1rX0nT5yQ2wE';

/** The StatefulSet of the manifest on this machine: a pod is a process with a loopback address of its own. */
class StatefulSet {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'dcache-pods-'));
  readonly #policy: string;
  readonly #replicas: number;
  readonly #shell: string[];
  readonly #serfPort: number;
  readonly #rpcPort: number;
  #pods: { readonly address: string; readonly child: ChildProcess; readonly gone: Promise<unknown> }[] = [];

  constructor(serfPort: number, rpcPort: number) {
    const documents = parseAllDocuments(readFileSync(manifest, 'utf8')).map((document) => document.toJS());
    const { spec } = documents.find(({ kind }) => kind === 'StatefulSet');
    const [container] = spec.template.spec.containers;
    this.#policy = spec.podManagementPolicy ?? 'OrderedReady';
    this.#replicas = spec.replicas;
    this.#shell = [...container.command, ...container.args];
    this.#serfPort = serfPort;
    this.#rpcPort = rpcPort;
    writeFileSync(join(this.folder, 'dcache'), `#!/bin/sh\nexec '${process.execPath}' '${dcacheBin}' "$@"\n`, {
      mode: 0o755,
    });
    writeFileSync(join(this.folder, 'tokens'), `${token}\n`);
  }

  /** Makes the pods as the policy says, in the network 127.`net`.0.0, and waits until all are ready. */
  async start(net: number): Promise<void> {
    const addresses = Array.from({ length: this.#replicas }, (_, i) => `127.${net}.0.${i + 1}`);
    for (const [i, address] of addresses.entries()) {
      this.#startPod(`dcache-${i}`, address, addresses);
      if (this.#policy === 'OrderedReady') await this.#isReady(address);
    }
    for (const address of addresses) await this.#isReady(address);
  }

  #startPod(name: string, address: string, peers: readonly string[]): void {
    const [shell, ...args] = this.#shell;
    const data = join(this.folder, name);
    mkdirSync(data, { recursive: true });
    // What a cluster gives a pod: its volume, its secret, the name of all pods, and ports that are its own.
    const script = args
      .pop()!
      .replace('--data-dir /data', `--data-dir ${data}`)
      .replace('/etc/dcache/tokens', join(this.folder, 'tokens'))
      .replace('dcache-peers:9000', peers.map((peer) => `${peer}:${this.#serfPort}`).join(','))
      .replace('0.0.0.0:9000', `${address}:${this.#serfPort}`)
      .replace('--rpc-port 9200', `--rpc-port ${this.#rpcPort}`);
    const env = {
      PATH: `${this.folder}:${process.env['PATH']}`,
      POD_NAME: name,
      POD_IP: address,
      DCACHE_ENCRYPT: Buffer.alloc(32, 7).toString('base64'),
    };
    const child = spawn(shell!, [...args, script], { env, stdio: 'ignore' });
    this.#pods.push({ address, child, gone: new Promise((resolve) => child.once('close', resolve)) });
  }

  #isReady(address: string): Promise<unknown> {
    return eventually(`${address} is ready`, async () => (await this.ask(address, '/-/ready')).status === 200);
  }

  /** One request to a pod's address, with the token. */
  ask(address: string, path: string, method = 'GET', body?: string): Promise<Response> {
    return fetch(`http://${address}:${this.#rpcPort}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, connection: 'close' },
      ...(body === undefined ? {} : { body }),
    });
  }

  async killAll(): Promise<void> {
    const pods = this.#pods;
    this.#pods = [];
    for (const { child } of pods) child.kill('SIGKILL');
    await Promise.all(pods.map(({ gone }) => gone));
  }

  async destroy(): Promise<void> {
    await this.killAll();
    rmSync(this.folder, { recursive: true });
  }
}

test('the pods of the manifest found one cluster, and all gone at once they come back with their data on other addresses', {
  skip: process.platform === 'linux' ? false : 'only Linux has all of 127.0.0.0/8',
}, async () => {
  const set = new StatefulSet(await freePort(), await freePort());
  try {
    await set.start(41);
    const written = await set.ask('127.41.0.2', '/hello', 'POST', 'this is the value');
    assert.equal(written.status, 200, await written.text());
    const servers = (await (await set.ask('127.41.0.3', '/-/servers')).json()) as { id: string }[];
    assert.deepEqual(servers.map(({ id }) => id).sort(), ['dcache-0', 'dcache-1', 'dcache-2']);

    await set.killAll();
    await set.start(42);
    for (const address of ['127.42.0.1', '127.42.0.2', '127.42.0.3'])
      assert.equal(await (await set.ask(address, '/hello')).text(), 'this is the value');
  } finally {
    await set.destroy();
  }
});
