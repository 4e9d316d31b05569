import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { cacheServiceV1, v1GetRequest } from '@dcache/protocol';
import { Client } from './client.js';
import { Link } from './link.js';
import { FakeServer } from './testing/fake-server.js';

const started: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of started.splice(0).reverse()) await one.stop();
});

async function start(name: string): Promise<FakeServer> {
  const fake = await new FakeServer(name).start();
  started.push(fake);
  return fake;
}

test('a link that is retired while it connects serves the call that waits for it, and closes then', async () => {
  const fake = await start('n0');
  const connection = fake.nextConnection();
  const link = new Link(fake.address, { tls: undefined, token: undefined });
  const limit = { deadlineMs: performance.now() + 10_000, signal: undefined };
  const answer = link.call(cacheServiceV1.get, v1GetRequest(new Uint8Array(1), undefined), {
    ...limit,
    connectByMs: limit.deadlineMs,
  });
  link.retire();
  await answer;
  assert.equal(fake.gets, 1);
  const socket = await connection;
  if (!socket.closed) await once(socket, 'close');
});

test('a server that says it belongs to the cluster no more still gives the snapshot that it was asked for', async () => {
  const [first, gone] = [await start('n0'), await start('n1')];
  first.servers = [first.info(true), gone.info()];
  gone.servers = [first.info(true)];
  const client = new Client({ address: first.address });
  started.push({ stop: () => client.close() });
  await client.servers();
  first.onServers.push('stopping');
  // The fake knows no snapshots: that it says so shows that it was asked.
  await assert.rejects(
    async () => {
      for await (const _ of client.admin.saveSnapshot()) assert.fail('there is none');
    },
    { code: 'unsupported' },
  );
  assert.ok(gone.connections > 0);
});
