import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import { until } from '@dcache/testing';
import { peerPreface } from './peers/handshake.js';
import { makePort } from './port.js';

test('clients leave room for peers: who is one too many is told, and a peer still gets in', async () => {
  const taken = { http: [] as Socket[], grpc: [] as Socket[], peer: [] as Socket[] };
  const keep = (kind: keyof typeof taken) => (socket: Socket) => {
    taken[kind].push(socket);
    socket.on('error', () => {}).resume();
  };
  const mux = makePort({
    ...{ peers: keep('peer'), grpc: keep('grpc'), http: keep('http') },
    ...{ tls: undefined, maxKeyBytes: 100, maxConnections: 10, logger: silentLogger },
  });
  const { port } = await mux.listen('127.0.0.1', 0);
  const open: Socket[] = [];
  const dial = (bytes: string | Uint8Array): { text: string; isClosed: boolean; socket: Socket } => {
    const socket = connect(port, '127.0.0.1');
    const state = { text: '', isClosed: false, socket };
    socket.on('data', (part) => {
      state.text += part.toString();
    });
    socket.on('close', () => {
      state.isClosed = true;
    });
    socket.on('error', () => {});
    socket.write(bytes);
    open.push(socket);
    return state;
  };
  const get = 'GET / HTTP/1.1\r\n\r\n';
  try {
    for (let i = 0; i < 9; i++) dial(i % 2 === 0 ? get : 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    await until('nine clients', () => taken.http.length + taken.grpc.length === 9);
    const refused = dial(get);
    await until('the tenth is refused', () => refused.isClosed);
    assert.match(refused.text, /^HTTP\/1\.1 503 .*too many connections are open; try again in a moment\n$/s);
    assert.match(refused.text, /content-length: 53\r\n/);
    assert.equal(refused.text.split('\r\n\r\n')[1]?.length, 53);
    dial(peerPreface);
    await until('a peer gets in', () => taken.peer.length === 1);
    taken.http[0]!.destroy();
    await until('there is room for a client again', () => {
      if (taken.http.length === 6) return true;
      const next = dial(get);
      next.socket.once('data', () => next.socket.destroy());
      return false;
    });
  } finally {
    for (const socket of open) socket.destroy();
    mux.close();
    mux.destroyConnections();
  }
});

test('however many connections say nothing, or claim to be peers and prove nothing, a client and a peer get in', async () => {
  const taken = { http: [] as Socket[], proven: [] as Socket[], claimed: 0 };
  const mux = makePort({
    peers: (socket, onProven) => {
      taken.claimed++;
      // What comes behind the preface is the proof of this test.
      let bytes = 0;
      socket.on('error', () => {});
      socket.on('data', (part: Buffer) => {
        bytes += part.length;
        if (bytes === peerPreface.length) return;
        taken.proven.push(socket);
        onProven();
      });
      socket.resume();
    },
    grpc: undefined,
    http: (socket) => {
      taken.http.push(socket);
      socket.end('served');
    },
    ...{ tls: undefined, maxKeyBytes: 100, maxConnections: 20, logger: silentLogger },
  });
  const { port } = await mux.listen('127.0.0.1', 0);
  const open: Socket[] = [];
  const dial = async (bytes: string | Uint8Array): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {}).resume();
    open.push(socket);
    await once(socket, 'connect');
    socket.write(bytes);
    return socket;
  };
  try {
    const peer = await dial(Buffer.concat([peerPreface, Buffer.from('proof')]));
    await until('the peer is in', () => taken.proven.length === 1);
    for (const bytes of ['', 'G', peerPreface]) {
      for (let i = 0; i < 60; i++) await dial(bytes);
      const served = taken.http.length;
      await dial('GET / HTTP/1.1\r\n\r\n');
      await until('a client gets in', () => taken.http.length === served + 1);
      const proven = taken.proven.length;
      await dial(Buffer.concat([peerPreface, Buffer.from('proof')]));
      await until('a peer gets in', () => taken.proven.length === proven + 1);
    }
    assert.ok(taken.claimed > 60);
    assert.equal(peer.destroyed, false, 'a peer that has proved itself stays');
    assert.ok(mux.stats().open <= 20);
  } finally {
    for (const socket of open) socket.destroy();
    mux.close();
    mux.destroyConnections();
  }
});
