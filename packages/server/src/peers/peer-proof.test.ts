import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { isProof, newNonce, prove } from './peer-proof.js';
import { acceptPeer, dialPeer, type PeerSecurity } from './peer-socket.js';

const [k1, k2] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
const self = { id: 1, name: 'a', cluster: 'c' };
const other = { id: 2, name: 'b', cluster: 'c' };
const open: { destroy(): void }[] = [];
after(() => {
  for (const one of open) one.destroy();
});

/** A node that accepts peers under these keys, its address, and how the next handshake ended there. */
async function host(security: PeerSecurity) {
  const ends: Promise<string>[] = [];
  const server = createServer((socket) => {
    open.push(socket);
    ends.push(
      acceptPeer(socket, other, security).then(
        ({ hello, refusal }) => (refusal === undefined ? hello.name : 'refused'),
        (error: Error) => error.message,
      ),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push({ destroy: () => void server.close() });
  return { address: { host: '127.0.0.1', port: (server.address() as { port: number }).port }, ends };
}

const keyed = (...keys: Uint8Array[]): PeerSecurity => ({ keys: () => keys });

async function dial(address: { host: string; port: number }, security: PeerSecurity): Promise<Socket> {
  const socket = await dialPeer(address, 2, self, undefined, security);
  open.push(socket);
  return socket;
}

test('a proof holds for its key, direction, nonces and words alone', () => {
  const [a, b, said] = [newNonce(), newNonce(), new Uint8Array([1, 2])];
  const proof = prove([k1], 'dial', a, b, said);
  assert.ok(isProof(proof, [k2, k1], 'dial', a, b, said));
  assert.ok(!isProof(proof, [k2], 'dial', a, b, said));
  assert.ok(!isProof(proof, [k1], 'answer', a, b, said));
  assert.ok(!isProof(proof, [k1], 'dial', b, a, said));
  assert.ok(!isProof(proof, [k1], 'dial', a, b, new Uint8Array([1])));
  assert.ok(!isProof(new Uint8Array(), [k1], 'dial', a, b, said));
});

test('peers with a key in common accept each other, also while keys are rotated', async () => {
  for (const [mine, theirs] of [
    [keyed(k1), keyed(k1)],
    [keyed(k1, k2), keyed(k2, k1)],
  ] as const) {
    const { address, ends } = await host(theirs);
    await dial(address, mine);
    assert.equal(await ends[0], 'a');
  }
});

test('a peer with another key, or with none, is kept out, whichever side it is on', async () => {
  const { address, ends } = await host(keyed(k1));
  await assert.rejects(dial(address, keyed(k2)), /does not know the Serf key/);
  assert.match(await ends[0]!, /closed during the handshake/);
  await assert.rejects(dial(address, {}), /the peer has a Serf key and this node has none; give it --encrypt/);
  assert.match(await ends[1]!, /closed during the handshake/);
  const without = await host({});
  await assert.rejects(dial(without.address, keyed(k1)), /does not know the Serf key/);
});

test('a proof that was overheard does not open another connection', async () => {
  const { address, ends } = await host(keyed(k1));
  const sent: Buffer[] = [];
  // A relay in between that writes down what the dialler says.
  const relay = createServer((socket) => {
    const onward = connect(address.port, address.host);
    open.push(socket, onward);
    socket.on('data', (part: Buffer) => {
      sent.push(part);
      onward.write(part);
    });
    onward.pipe(socket);
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  open.push({ destroy: () => void relay.close() });
  await dial({ host: '127.0.0.1', port: (relay.address() as { port: number }).port }, keyed(k1));
  assert.equal(await ends[0], 'a');
  const replayed = connect(address.port, address.host);
  open.push(replayed);
  replayed.on('error', () => {});
  replayed.resume();
  replayed.write(Buffer.concat(sent));
  await once(replayed, 'close');
  assert.match(await ends[1]!, /a does not know the Serf key/);
});
