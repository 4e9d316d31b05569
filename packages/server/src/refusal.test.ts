import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { afterEach, test } from 'node:test';
import { freePort, until } from '@dcache/testing';
import { decodeHelloAnswer, encodeHello, HelloStatus, type RefuserGossip, takeHandshake } from './peers/handshake.js';
import { Server } from './server.js';
import { parseAddress } from './settings/address.js';

const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

async function start(id: string, options: { bootstrap?: boolean; join?: string[] }) {
  const addr = `127.0.0.1:${await freePort()}`;
  const server = new Server({ http: true, id, rpcPort: 0, addr, ...options });
  servers.push(server);
  await server.start();
  return { server, addr, port: Number(addr.split(':')[1]) };
}

/** What the server says to a node of that cluster that dials it for a peer of another Raft id. */
async function refused(
  { rpcAddr }: Server,
  cluster: string = 'another',
): Promise<{ status: HelloStatus; gossip: RefuserGossip | undefined }> {
  const socket = connect(parseAddress(rpcAddr)!);
  const nonce = new Uint8Array(16);
  const [protocolMin, protocolMax, feature, name] = [1, 1, 1, 'who'] as const;
  socket.write(encodeHello({ protocolMin, protocolMax, feature, cluster, from: 1, to: 2, name, nonce }));
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  const { answer, gossip } = decodeHelloAnswer(takeHandshake(Buffer.concat(parts), 0)!.body);
  return { status: answer.status, gossip };
}

test('a node tells those of another cluster its name and its gossip only as long as it is alone', async () => {
  const waits = await start('n0', {});
  const gossipOf = ({ port }: { port: number }, name: string): RefuserGossip => ({ port, name });
  assert.deepEqual(await refused(waits.server), { status: HelloStatus.noCluster, gossip: gossipOf(waits, 'n0') });
  const founder = await start('n1', { bootstrap: true });
  const { foreignCluster: status } = HelloStatus;
  assert.deepEqual(await refused(founder.server), { status, gossip: gossipOf(founder, 'n1') });
  const other = await refused(founder.server, founder.server.status().cluster);
  assert.deepEqual(other, { status: HelloStatus.otherNode, gossip: undefined }, 'one of its own needs no meeting');
  const second = await start('n2', { join: [founder.addr] });
  await until('both are members', () => [founder, second].every(({ server }) => server.servers().length === 2));
  for (const { server } of [founder, second]) assert.deepEqual(await refused(server), { status, gossip: undefined });
});
