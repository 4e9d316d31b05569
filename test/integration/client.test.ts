import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, type ClientError, type ClientOptions } from '@dcache/client';
import { eventually } from '@dcache/testing';
import { Cluster, type Node, run } from './harness.js';

let cluster: Cluster;

before(async () => {
  cluster = await Cluster.start(3);
});

after(() => cluster.destroy());

const addressOf = (node: Node): string => `127.0.0.1:${node.rpcPort}`;

function connect(options: Partial<ClientOptions> = {}): Client {
  return new Client({ address: cluster.nodes.filter((node) => node.isRunning).map(addressOf), ...options });
}

test('what one client writes another reads: values, revisions, time left, misses', async () => {
  const [first, second] = cluster.nodes as [Node, Node];
  await using writer = connect({ address: addressOf(first) });
  await using reader = connect({ address: addressOf(second) });
  const revision = await writer.set('a', 'one', { ttlMs: 60_000 });
  const entry = await reader.getEntry('a');
  assert.equal(Buffer.from(entry!.value).toString(), 'one');
  assert.equal(entry!.revision, revision);
  assert.ok(entry!.ttlMs! > 0 && entry!.ttlMs! <= 60_000);
  assert.equal(await reader.get('never'), undefined);
  const bytes = new Uint8Array([0, 255, 128]);
  await writer.set(bytes, bytes);
  for (const level of ['linearizable', 'lease'] as const)
    assert.deepEqual(new Uint8Array((await reader.get(bytes, { level }))!), bytes);
});

test('the examples of the READMEs run as they stand, in plain JavaScript', async () => {
  for (const readme of ['README.md', 'packages/client/README.md']) {
    const text = await readFile(new URL(`../../../${readme}`, import.meta.url), 'utf8');
    const example = /```js\n(import \{ Client \}[\s\S]*?)```/.exec(text)?.[1] ?? '';
    assert.ok(example.includes("'localhost:9200'"), readme);
    // Beside the compiled tests, where the package's name is known.
    const file = fileURLToPath(new URL(`./readme-example-${process.pid}.mjs`, import.meta.url));
    await writeFile(file, example.replace('localhost:9200', addressOf(cluster.nodes[0]!)));
    try {
      assert.deepEqual(await run(process.execPath, [file]), { code: 0, stdout: 'the next one\n', stderr: '' }, readme);
    } finally {
      await rm(file);
    }
  }
});

test('conditions are kept, and their refusal has a code', async () => {
  await using client = connect();
  const revision = await client.set('c', '1', { ifAbsent: true });
  await assert.rejects(client.set('c', '2', { ifAbsent: true }), { code: 'precondition-failed' });
  await assert.rejects(client.set('d', '2', { ifPresent: true }), { code: 'precondition-failed' });
  await assert.rejects(client.set('c', '2', { ifRevision: revision + 1 }), { code: 'precondition-failed' });
  const next = await client.set('c', '2', { ifRevision: revision });
  await assert.rejects(client.delete('c', { ifRevision: revision }), { code: 'precondition-failed' });
  assert.equal(await client.delete('c', { ifRevision: next }), true);
  assert.equal(await client.delete('c'), false);
  await assert.rejects(client.set('c', 'x', { ttlMs: 0 }), TypeError);
  await assert.rejects(client.set('', 'x'), { code: 'bad-argument', message: /the key is empty/ });
  await assert.rejects(client.set('c', Buffer.alloc(1_048_577)), { code: 'too-large', message: /at most 1048576/ });
  await assert.rejects(client.set('c', Buffer.alloc(8_000_000)), { code: 'too-large' });
});

test('many keys are written and read at one moment', async () => {
  await using client = connect();
  const revisions = await client.setMany([
    { key: 'm1', value: '1' },
    { key: 'm2', value: '2', ttlMs: 60_000 },
  ]);
  assert.equal(revisions[1], revisions[0]! + 1);
  const entries = await client.getMany(['m2', 'none', 'm1']);
  assert.deepEqual(
    entries.map((entry) => entry && Buffer.from(entry.value).toString()),
    ['2', undefined, '1'],
  );
  const refused = client.setMany([
    { key: 'm3', value: '3' },
    { key: 'm1', value: 'x', ifAbsent: true },
  ]);
  await assert.rejects(refused, { code: 'precondition-failed', message: /set 1 was refused/ });
  assert.equal(await client.get('m3'), undefined);
});

test('a call that is aborted, late or closed ends at once, and says what is known', async () => {
  const stalled = await stall(await cluster.leader());
  try {
    const [address] = [addressOf(stalled)];
    const client = connect({ address, discover: false });
    const aborting = new AbortController();
    const read = client.get('a', { signal: aborting.signal });
    setImmediate(() => aborting.abort());
    await assert.rejects(read, { code: 'aborted' });
    await assert.rejects(client.get('a', { timeoutMs: 200 }), (error: ClientError) =>
      ['timeout', 'unavailable'].includes(error.code),
    );
    await assert.rejects(client.set('a', 'x', { timeoutMs: 200 }), { code: 'unavailable' });
    const pending = client.get('a');
    const closing = client.close();
    await assert.rejects(pending, { code: 'closed' });
    await closing;
    await assert.rejects(client.get('a'), { code: 'closed' });
  } finally {
    stalled.signal('SIGCONT');
  }
  await cluster.formed(3);
});

test('with no server at all the error is unavailable, within the time given', async () => {
  await using client = connect({ address: '127.0.0.1:1', timeoutMs: 300 });
  await assert.rejects(client.get('a'), { code: 'unavailable' });
  await assert.rejects(client.set('a', 'x'), { code: 'unavailable' });
});

test('leaders are killed and stopped under load: every write is applied once, and none is in doubt', async () => {
  await using client = connect({ timeoutMs: 25_000, attemptTimeoutMs: 1_500 });
  const load = new Chains(client, 16);
  await eventually('some writes', () => load.acknowledged > 300);

  const killed = await cluster.leader();
  await killed.kill();
  let mark = load.acknowledged;
  await eventually('writes go on without the leader', () => load.acknowledged > mark + 300);
  killed.start('--join', cluster.nodes.find((node) => node !== killed)!.serfAddress);
  await cluster.formed(3);

  // A leader that stands still takes writes and answers none: their senders cannot know.
  const stalled = await stall(await cluster.leader());
  mark = load.acknowledged;
  await eventually('writes go on beside the leader that stands still', () => load.acknowledged > mark + 300);
  stalled.signal('SIGCONT');
  await cluster.formed(3);

  mark = load.acknowledged;
  await client.admin.transferLeadership();
  await eventually('writes go on with another leader', () => load.acknowledged > mark + 300);
  await load.stop();
  await load.check();
  await cluster.converged();
});

test('an operator asks the cluster through any node, and members leave by name', async () => {
  await using client = connect();
  const leader = await cluster.leader();
  const [other, dies] = (await cluster.followers()) as [Node, Node];
  assert.equal((await client.admin.status(addressOf(other))).id, other.name);
  assert.equal(await client.admin.transferLeadership(other.name), other.name);
  await assert.rejects(client.admin.transferLeadership('nobody'), { code: 'not-found' });
  await assert.rejects(client.admin.leave('nobody'), { code: 'not-found' });
  await dies.kill();
  await eventually('the dead one is removed', async () => {
    try {
      await client.admin.leave(dies.name);
      return true;
    } catch (error) {
      // Gossip takes its time to call it dead.
      return (error as ClientError).code === 'precondition-failed' ? false : Promise.reject(error);
    }
  });
  await client.admin.leave(leader.name);
  assert.equal(await leader.exited(), 0);
  await eventually('one is left', async () => (await client.servers()).length === 1);
  await client.set('still', 'here');
});

async function stall(node: Node): Promise<Node> {
  node.signal('SIGSTOP');
  return node;
}

/**
 * Writers of one key each. Every write asks for the revision that the one before gave, so a write that was lost, or
 * applied twice, is seen at the next one. Every tenth round deletes the key and makes it anew: a second delete would
 * find nothing.
 */
class Chains {
  readonly #client: Client;
  readonly #chains: Promise<void>[] = [];
  readonly #state = new Map<string, number>();
  #isStopped = false;
  #failure: unknown;
  acknowledged = 0;

  constructor(client: Client, count: number) {
    this.#client = client;
    for (let i = 0; i < count; i++)
      this.#chains.push(
        this.#run(`chain-${i}`).catch((error) => {
          this.#failure ??= error;
          this.#isStopped = true;
        }),
      );
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#chains);
    if (this.#failure) throw this.#failure;
  }

  async check(): Promise<void> {
    for (const [key, value] of this.#state)
      assert.equal(Buffer.from((await this.#client.get(key)) ?? []).toString(), String(value), key);
  }

  async #run(key: string): Promise<void> {
    let revision = await this.#client.set(key, '0', { ifAbsent: true });
    for (let value = 1; !this.#isStopped; value++) {
      if (value % 10 === 0) {
        assert.equal(await this.#client.delete(key, { ifRevision: revision }), true, key);
        revision = await this.#client.set(key, String(value), { ifAbsent: true });
      } else {
        const next = await this.#client.set(key, String(value), { ifRevision: revision });
        assert.ok(next > revision, `${key}: ${next} follows ${revision}`);
        revision = next;
      }
      this.#state.set(key, value);
      this.acknowledged++;
    }
  }
}
