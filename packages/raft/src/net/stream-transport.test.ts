import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { until } from '@dcache/testing';
import { codeOf, retry, TextMap, type TextNode } from '../cluster.test.helper.js';
import { DiskStorage } from '../disk/disk-storage.js';
import { RaftNode } from '../node.js';
import { MemoryStorage } from '../storage.js';
import { StreamTransport } from './stream-transport.js';

/** A node on real sockets. The handshake is one byte: who dials. */
class SocketNode implements AsyncDisposable {
  readonly id: number;
  readonly frames: { from: number; kind: number; text: string }[] = [];
  readonly map: TextMap = new TextMap();
  readonly transport: StreamTransport;
  readonly node: TextNode;
  readonly sockets: Set<Socket> = new Set();
  readonly #server: Server;
  readonly #dialled: Map<number, number> = new Map();
  #isStopped = false;

  constructor(id: number, options: { storage?: DiskStorage; bootstrap?: object } = {}) {
    this.id = id;
    this.transport = new StreamTransport({
      onApplicationFrame: (from, kind, payload) =>
        this.frames.push({ from, kind, text: Buffer.from(payload).toString() }),
      onDisconnect: (peer) => {
        const port = this.#dialled.get(peer);
        if (port !== undefined) setImmediate(() => this.dial(peer, port));
      },
    });
    this.node = new RaftNode({
      id,
      storage: options.storage ?? new MemoryStorage(),
      transport: this.transport,
      stateMachine: this.map,
      tickMs: 10,
      electionTicks: 30,
      heartbeatTicks: 3,
      ...(options.bootstrap === undefined ? {} : { bootstrap: options.bootstrap }),
    });
    this.#server = createServer((socket) => {
      this.#keep(socket);
      socket.once('readable', () => {
        const [from] = (socket.read(1) as Buffer | null) ?? [];
        if (from !== undefined) this.transport.attach(from, socket);
      });
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as { port: number }).port;
  }

  /** Keeps a connection to another node, dialling again when it breaks. */
  dial(peer: number, port: number): void {
    if (this.#isStopped) return;
    this.#dialled.set(peer, port);
    const socket = connect(port, '127.0.0.1');
    this.#keep(socket);
    socket.once('connect', () => {
      socket.write(Uint8Array.of(this.id));
      this.transport.attach(peer, socket);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await this.node.stop();
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
  }
}

/** Nodes that all know each other's ports; each pair has one connection, or two. */
async function connectAll(nodes: readonly SocketNode[], both = false): Promise<void> {
  const ports = await Promise.all(nodes.map((node) => node.listen()));
  for (const [at, node] of nodes.entries())
    for (const [other, peer] of nodes.entries())
      if (at < other || (both && at !== other)) node.dial(peer.id, ports[other]!);
  for (const node of nodes)
    await until('it is connected to all others', () => node.transport.connected().length === nodes.length - 1);
}

async function addVoters(leader: TextNode, ids: readonly number[]): Promise<void> {
  await until('it leads', () => leader.status().role === 'leader');
  for (const id of ids) {
    await leader.changeMembership({ type: 'add-learner', id });
    await retry(() => leader.changeMembership({ type: 'promote', id }));
  }
}

test('three nodes over real sockets, that dial each other both ways, replicate large and small', async () => {
  await using a = new SocketNode(1, { bootstrap: {} });
  await using b = new SocketNode(2);
  await using c = new SocketNode(3);
  const all = [a, b, c];
  for (const { node } of all) await node.start();
  await connectAll(all, true);
  await addVoters(a.node, [2, 3]);
  const values = Array.from({ length: 50 }, (_, i) => `k${i}=${'v'.repeat(i * 2000)}`);
  await Promise.all(values.map((value) => a.node.propose(utf8(value))));
  await until('all have applied all', () => all.every(({ map }) => map.applied.length === 50));
  assert.deepEqual(b.map.applied, values);
  assert.deepEqual(c.map.applied, values);
  await c.node.readBarrier('linearizable');
});

test('connections that break are used again when they are back, and nothing is lost', async () => {
  await using a = new SocketNode(1, { bootstrap: {} });
  await using b = new SocketNode(2);
  await using c = new SocketNode(3);
  const all = [a, b, c];
  for (const { node } of all) await node.start();
  await connectAll(all);
  await addVoters(a.node, [2, 3]);
  for (let i = 0; i < 30; i++) {
    const victim = all[i % 3]!;
    for (const socket of victim.sockets) socket.destroy();
    const leader = await (async () => {
      await until('somebody leads', () => all.some(({ node }) => node.status().role === 'leader'));
      return all.find(({ node }) => node.status().role === 'leader')!.node;
    })();
    await codeOf(leader.propose(utf8(`k${i}=1`)));
  }
  const leader = all.find(({ node }) => node.status().role === 'leader') ?? a;
  await retry(() => leader.node.propose(utf8('last=1')));
  await until('all have the last write', () => all.every(({ map }) => map.values.has('last')));
  assert.equal(b.map.applied.join(), a.map.applied.join());
  assert.equal(c.map.applied.join(), a.map.applied.join());
});

test('frames of the application travel on the same connection, and a node without one is told so', async () => {
  await using a = new SocketNode(1, { bootstrap: {} });
  await using b = new SocketNode(2);
  for (const { node } of [a, b]) await node.start();
  await connectAll([a, b]);
  a.transport.connection(2)!.sendApplicationFrame(100, utf8('hello'));
  await until('the frame arrives', () => b.frames.length === 1);
  assert.deepEqual(b.frames, [{ from: 1, kind: 100, text: 'hello' }]);
  assert.equal(a.transport.connection(9), undefined);
  assert.equal(a.transport.sendSnapshotAck(9, { transfer: 0, next: 0, status: 'wanted' }), false);
});

test('durable nodes on real files and sockets have everything again after all were stopped', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'raft-nodes-'));
  const open = (id: number): Promise<DiskStorage> =>
    DiskStorage.open({ directory: join(folder, String(id)), nodeId: id, segmentBytes: 1 << 20 });
  try {
    {
      await using a = new SocketNode(1, { bootstrap: {}, storage: await open(1) });
      await using b = new SocketNode(2, { storage: await open(2) });
      await using c = new SocketNode(3, { storage: await open(3) });
      for (const { node } of [a, b, c]) await node.start();
      await connectAll([a, b, c]);
      await addVoters(a.node, [2, 3]);
      await Promise.all(Array.from({ length: 200 }, (_, i) => a.node.propose(utf8(`k${i}=${i}`))));
    }
    await using a = new SocketNode(1, { bootstrap: {}, storage: await open(1) });
    await using b = new SocketNode(2, { storage: await open(2) });
    for (const { node } of [a, b]) await node.start();
    await connectAll([a, b]);
    await retry(() => b.node.readBarrier('linearizable'));
    assert.equal(b.map.values.size, 200);
    assert.equal(b.map.values.get('k199'), '199');
  } finally {
    await rm(folder, { recursive: true });
  }
});
