import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { SeededRandom, silentLogger, systemClock, utf8 } from '@dcache/base';
import { Mux, preface } from '@dcache/mux';
import { type Message, MessageType, makeMessage } from '@dcache/raft';
import { HandClock, turn, until } from '@dcache/testing';
import {
  decodeHelloAnswer,
  encodeAnswerFields,
  encodeHello,
  encodeHelloAnswer,
  type HelloAnswer,
  HelloStatus,
  peerPreface,
  takeHandshake,
} from './handshake.js';
import { acceptPeer, dialPeer } from './peer-socket.js';
import { Peers, type PeersOptions } from './peers.js';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** One node's peers on a port of its own. */
class Host {
  readonly id: number;
  readonly mux: Mux;
  readonly peers: Peers;
  readonly heard: { from: number; message: Message }[] = [];
  readonly frames: { from: number; kind: number; text: string }[] = [];
  readonly events: string[] = [];
  cluster: string | undefined = 'c';
  port = 0;
  gossipPort = 0;
  /** Connections that were accepted from somebody who showed that he is a peer. */
  proven = 0;
  onFrame: PeersOptions['onFrame'] = () => {};

  constructor(id: number, hosts: Map<number, Host>, more: Partial<PeersOptions> = {}) {
    this.id = id;
    this.peers = new Peers({
      identity: () => ({ id, name: `n${id}`, cluster: this.cluster, gossipPort: this.gossipPort }),
      addressOf: (to) => {
        const port = hosts.get(to)?.port;
        return port === undefined ? undefined : { host: '127.0.0.1', port };
      },
      onFrame: (from, kind, payload, reply) => {
        this.frames.push({ from, kind, text: Buffer.from(payload).toString() });
        this.onFrame(from, kind, payload, reply);
      },
      onLinkDown: (from) => void this.events.push(`down ${from}`),
      clock: systemClock,
      logger: silentLogger,
      ...more,
    });
    this.mux = new Mux({
      routes: [
        {
          name: 'peer',
          matcher: preface(peerPreface),
          accept: (socket) => this.peers.accept(socket, () => void this.proven++),
        },
      ],
    });
    hosts.set(id, this);
  }

  async start(): Promise<this> {
    this.port = (await this.mux.listen('127.0.0.1', this.port)).port;
    this.peers.start({
      onMessages: (from, messages) => {
        for (const message of messages) this.heard.push({ from, message });
      },
      onSnapshotPiece: () => {},
      onSnapshotAck: () => {},
      onConnect: (id) => void this.events.push(`connect ${id}`),
      onUnreachable: (id) => void this.events.push(`unreachable ${id}`),
    });
    cleanups.push(() => this.stop());
    return this;
  }

  async stop(): Promise<void> {
    await this.peers.stop();
    this.mux.close();
    this.mux.destroyConnections();
  }

  /** Sends a heartbeat, as a driver does again and again. */
  beat(to: number, commit = 0): void {
    this.peers.send(to, [makeMessage(MessageType.heartbeat, to, { from: this.id, term: 1, commit })]);
  }

  /** Beats until it has been heard. */
  async reaches(to: Host): Promise<void> {
    const before = to.heard.length;
    await until(`${to.id} hears ${this.id}`, () => {
      this.beat(to.id);
      return to.heard.length > before;
    });
  }
}

async function pair(more: Partial<PeersOptions> = {}): Promise<[Host, Host, Map<number, Host>]> {
  const hosts = new Map<number, Host>();
  return [await new Host(1, hosts, more).start(), await new Host(2, hosts).start(), hosts];
}

test('a peer is dialled when there is something to send, and one connection serves both directions', async () => {
  const [a, b, hosts] = await pair();
  await a.reaches(b);
  assert.ok(a.events.includes('connect 2') && b.events.includes('connect 1'));
  // Now the second node could not dial if it wanted to.
  hosts.delete(1);
  await b.reaches(a);
  assert.equal(b.heard[0]!.from, 1);
  assert.equal(a.heard[0]!.from, 2);
  assert.equal(a.mux.stats().open + b.mux.stats().open, 1);
  assert.deepEqual([a.proven, b.proven], [0, 1]);
});

test('who dials a member and finds a node of another cluster, or of none, is told at each dial, and who that says it is', async () => {
  const strangers: string[] = [];
  const faults: string[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void faults.push((fields as { fault: string }).fault) };
  const [a, b, hosts] = await pair({
    onStranger: (id, who) => void strangers.push(`${id} ${who && `${who.name} ${who.host}:${who.port}`}`),
    logger,
  });
  const beatsUntil = (what: string, isSo: () => boolean): Promise<true> =>
    until(what, () => {
      a.beat(2);
      return isSo();
    });
  b.cluster = 'another';
  await beatsUntil('told twice', () => strangers.length === 2);
  b.gossipPort = 9_000;
  b.cluster = undefined;
  await beatsUntil('told of one without a cluster', () => strangers.length === 3);
  b.cluster = 'c';
  hosts.set(3, b).delete(2);
  a.beat(3);
  await until('one that was started anew is no stranger', () => faults.some((fault) => /started anew/.test(fault)));
  assert.deepEqual(strangers, ['2 undefined', '2 undefined', '2 n2 127.0.0.1:9000']);
});

test('who only wants to know whether a peer is there dials it, and both hear when it is', async () => {
  const up: string[] = [];
  const hosts = new Map<number, Host>();
  const a = await new Host(1, hosts, { onLinkUp: (id) => void up.push(`1 to ${id}`) }).start();
  const b = await new Host(2, hosts, { onLinkUp: (id) => void up.push(`2 to ${id}`) }).start();
  assert.equal(a.peers.reaches(2, 'n2'), false);
  await until('both are told', () => up.length === 2);
  assert.equal(a.peers.reaches(2, 'n2'), true, 'dialled without certificates nobody proves a name');
  assert.equal(b.peers.reaches(1, 'n1'), true);
  assert.equal(b.peers.reaches(1, 'evil'), false, 'it came under a name of its own');
  assert.deepEqual(up.sort(), ['1 to 2', '2 to 1']);
});

test('a node is at an address once it was reached by dialling that, whoever else it has connections with', async () => {
  const [a, b, hosts] = await pair();
  await b.reaches(a);
  const there = `127.0.0.1:${b.port}`;
  assert.equal(a.peers.reaches(2, 'n2'), true);
  assert.equal(a.peers.reaches(2, 'n2', there), false, 'it has dialled itself, from wherever');
  await until('it is reached there', () => a.peers.reaches(2, 'n2', there));
  const before = a.mux.stats().open + b.mux.stats().open;
  for (const odd of ['127.0.0.1:1', 'nowhere', '']) assert.equal(a.peers.reaches(2, 'n2', odd), false, odd);
  assert.equal(a.peers.reaches(2, 'n2', there.replace('127.0.0.1', '[127.0.0.1]')), true, 'spelt in another way');
  assert.deepEqual([a.peers.dialsUnderWay, a.mux.stats().open + b.mux.stats().open], [0, before]);
  hosts.get(2)!.port = 1;
  assert.equal(a.peers.reaches(2, 'n2', '127.0.0.1:1'), false);
  await until('nobody is there', () => a.peers.dialsUnderWay === 0);
  assert.equal(a.peers.reaches(2, 'n2', '127.0.0.1:1'), false);
});

test('frames of the application arrive in order with who sent them, and are answered on the same connection', async () => {
  const [a, b] = await pair();
  b.onFrame = (_from, kind, payload, reply) => {
    assert.equal(reply(kind + 1, utf8(`re ${Buffer.from(payload)}`)), true);
  };
  assert.equal(a.peers.sendFrame(2, 64, utf8('too early')), 'no-link');
  await a.reaches(b);
  for (let i = 0; i < 20; i++) assert.equal(a.peers.sendFrame(2, 70, utf8(`${i}`)), 'sent');
  await until('all answers', () => a.frames.length === 20);
  assert.deepEqual(
    a.frames,
    Array.from({ length: 20 }, (_, i) => ({ from: 2, kind: 71, text: `re ${i}` })),
  );
});

test('a connection that is full refuses frames as busy, and takes them again later', async () => {
  const hosts = new Map<number, Host>();
  const a = await new Host(1, hosts, { connection: { maxOutboundBytes: 100_000 } }).start();
  const b = await new Host(2, hosts).start();
  await a.reaches(b);
  assert.equal(a.peers.sendFrame(2, 64, new Uint8Array(200_000)), 'busy', 'larger than all that may wait');
  const big = new Uint8Array(60_000);
  let sent = 0;
  // Until the system's own buffers are full too.
  while (sent < 10_000 && a.peers.sendFrame(2, 64, big) === 'sent') sent++;
  assert.ok(sent > 0 && sent < 10_000);
  await until('room again', () => a.peers.sendFrame(2, 64, big) === 'sent');
  await until('all that was taken arrives', () => b.frames.length === sent + 1);
});

test('a connection that ends is told once, and the next message makes another', async () => {
  const [a, b] = await pair();
  await a.reaches(b);
  a.events.length = 0;
  b.mux.destroyConnections();
  await until('it is noticed', () => a.events.length >= 2);
  assert.deepEqual(a.events, ['down 2', 'unreachable 2']);
  await a.reaches(b);
  assert.equal(a.events.filter((event) => event === 'connect 2').length, 1);
});

test('a peer that cannot be reached is dialled again with growing pauses, and said once', async () => {
  const clock = new HandClock();
  const warnings: string[] = [];
  const logger = { ...silentLogger, warn: (_: object, message: string) => void warnings.push(message) };
  let dials = 0;
  const refusing = createServer((socket) => {
    dials++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => refusing.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => void refusing.close());
  const { port } = refusing.address() as { port: number };
  const a = await new Host(1, new Map(), { clock, logger, addressOf: () => ({ host: '127.0.0.1', port }) }).start();

  const pauses: number[] = [];
  for (let round = 0; round < 7; round++) {
    // Each round: the pause until the next dial, in steps of the clock.
    const before = dials;
    a.beat(2);
    await until('a dial that fails', () => dials > before && a.peers.dialsUnderWay === 0);
    a.beat(2);
    assert.equal(a.peers.dialsUnderWay, 0, 'not at once again');
    let pauseMs = 0;
    while (a.peers.dialsUnderWay === 0 && pauseMs < 5_000) {
      clock.pass(10);
      pauseMs += 10;
      a.beat(2);
    }
    await until('it fails too', () => a.peers.dialsUnderWay === 0);
    clock.pass(5_000);
    pauses.push(pauseMs);
  }
  assert.deepEqual(pauses.slice(0, 3), [50, 200, 800]);
  assert.ok(pauses.slice(3).every((pauseMs) => pauseMs === 1_000));
  assert.deepEqual(warnings, ['a peer cannot be reached']);
});

test('a message to a peer without a connection or an address is unreachable, not an error', async () => {
  const a = await new Host(1, new Map()).start();
  a.beat(9);
  assert.deepEqual(a.events, ['unreachable 9']);
});

const nonce = new Uint8Array(16);

/** Connects and says hello, as a peer does, and gives the answer. */
async function greet(port: number, hello: Partial<Parameters<typeof encodeHello>[0]>) {
  const socket = connect(port, '127.0.0.1');
  socket.write(
    encodeHello({
      protocolMin: 1,
      protocolMax: 1,
      feature: 1,
      cluster: 'c',
      from: 8,
      to: 1,
      name: 'x',
      nonce,
      ...hello,
    }),
  );
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    const taken = takeHandshake(bytes, 0);
    if (taken) return { answer: decodeHelloAnswer(taken.body).answer, socket };
  }
  return { answer: undefined, socket };
}

test('a foreign cluster, another node’s id and another protocol are refused with the reason, and nothing stays open', async () => {
  const a = await new Host(1, new Map()).start();
  for (const [hello, status] of [
    [{ cluster: 'other' }, HelloStatus.foreignCluster],
    [{ to: 5 }, HelloStatus.otherNode],
    [{ protocolMin: 9, protocolMax: 9 }, HelloStatus.protocol],
  ] as const) {
    const { answer } = await greet(a.port, hello);
    assert.equal(answer?.status, status);
  }
  a.cluster = undefined;
  assert.equal((await greet(a.port, {})).answer?.status, HelloStatus.noCluster);
  await until('every refused connection is gone', () => a.mux.stats().open === 0);
  assert.deepEqual(a.events, []);
});

test('who is refused is said by name and reason, once however often it comes back', async () => {
  const warnings: unknown[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void warnings.push(fields) };
  const a = await new Host(1, new Map(), { logger }).start();
  for (let i = 0; i < 3; i++) await greet(a.port, { cluster: 'other', name: 'lost' });
  await greet(a.port, { to: 5, name: 'late' });
  await until('all are gone', () => a.mux.stats().open === 0);
  assert.deepEqual(warnings, [
    { from: '127.0.0.1', fault: 'lost: this node belongs to cluster c, not to other' },
    { from: '127.0.0.1', fault: "late: this node's Raft id is 1, not 5: it was started anew" },
  ]);
});

test('a refused peer that neither reads nor ends its side does not keep the connection', async () => {
  const a = await new Host(1, new Map()).start();
  const socket = connect({ port: a.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.pause();
  socket.write(
    encodeHello({ protocolMin: 1, protocolMax: 1, feature: 1, cluster: 'other', from: 8, to: 1, name: 'x', nonce }),
  );
  cleanups.push(() => void socket.destroy());
  await until('it came', () => a.mux.stats().accepted['peer'] === 1);
  await until('it is gone', () => a.mux.stats().open === 0);
});

test('a peer that resets its connection anywhere in the handshake harms nobody', async () => {
  const [a, b] = await pair();
  const hello = encodeHello({
    ...{ protocolMin: 1, protocolMax: 1, feature: 1, cluster: 'other', from: 8, to: 1, name: 'x', nonce },
  });
  for (let length = 1; length <= hello.length; length += 3) {
    const socket = connect(a.port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(length + 3 > hello.length ? hello : hello.subarray(0, length));
    await turn(1);
    socket.resetAndDestroy();
  }
  await until('every connection is gone', () => a.mux.stats().open === 0);
  await a.reaches(b);
});

test('a handshake that ends half-way is given up at once', async () => {
  const a = await new Host(1, new Map()).start();
  const socket = connect({ port: a.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.end(peerPreface);
  socket.on('error', () => {});
  socket.resume();
  await once(socket, 'close');
  assert.equal(a.mux.stats().open, 0);
});

test('a peer that sends garbage after its hello is cut off, and others are not', async () => {
  const [a, b] = await pair();
  await b.reaches(a);
  const random = new SeededRandom(7);
  for (let round = 0; round < 30; round++) {
    const socket = connect(a.port, '127.0.0.1');
    socket.on('error', () => {});
    const garbage = Uint8Array.from({ length: 1 + random.below(400) }, () => random.below(256));
    // A length that no frame may have, so that the round ends by itself and not by the silence.
    if (round % 2 === 0) garbage.set([0xff, 0xff, 0xff, 0xff].slice(0, garbage.length));
    socket.write(
      encodeHello({ protocolMin: 1, protocolMax: 1, feature: 1, cluster: 'c', from: 8, to: 1, name: 'x', nonce }),
    );
    socket.end(garbage);
    socket.resume();
    await once(socket, 'close');
  }
  await until('all of them are gone', () => a.mux.stats().open === 1);
  await a.reaches(b);
  await b.reaches(a);
});

test('one peer cannot hold more than four connections', async () => {
  const a = await new Host(1, new Map()).start();
  const sockets: Socket[] = [];
  for (let i = 0; i < 10; i++) sockets.push((await greetAndStay(a.port)).socket);
  await until('the oldest were closed', () => a.mux.stats().open === 4);
  for (const socket of sockets) socket.destroy();
  await until('all are gone', () => a.mux.stats().open === 0);
  assert.equal(a.events.filter((event) => event === 'down 8').length, 10);
  assert.equal(a.events.filter((event) => event === 'unreachable 8').length, 1);
});

/** A greeting whose connection stays open. */
async function greetAndStay(port: number): Promise<{ socket: Socket }> {
  const socket = await dialPeer({ host: '127.0.0.1', port }, 1, { id: 8, name: 'x', cluster: 'c' });
  socket.resume();
  cleanups.push(() => void socket.destroy());
  return { socket };
}

test('a dialler hears why it was refused, whatever way the answer is cut, and what follows the answer is not lost', async () => {
  let answer: Uint8Array = new Uint8Array();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    for (const byte of answer) socket.write(Uint8Array.of(byte));
    socket.write('frames');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => void server.close());
  const address = { host: '127.0.0.1', port: (server.address() as { port: number }).port };
  const self = { id: 1, name: 'n', cluster: 'c' };

  const say = (said: Omit<HelloAnswer, 'nonce'>) =>
    encodeHelloAnswer(encodeAnswerFields({ ...said, nonce: new Uint8Array() }), new Uint8Array());
  answer = say({ status: 2, protocol: 0, feature: 1, from: 5, message: 'it was started anew' });
  await assert.rejects(dialPeer(address, 4, self), /refused: it was started anew/);
  answer = say({ status: 0, protocol: 1, feature: 1, from: 4, message: '' });
  const socket = await dialPeer(address, 4, self);
  let rest = '';
  socket.on('data', (chunk) => {
    rest += chunk;
  });
  await until('what follows', () => rest === 'frames');
  socket.destroy();
  await assert.rejects(dialPeer(address, 4, { ...self, cluster: undefined }), /not joined a cluster/);
});

test('stopping ends a dial that is under way, and nothing is opened afterwards', {
  timeout: 20_000,
}, async (context) => {
  const held: Socket[] = [];
  const silent = createServer((socket) => void held.push(socket));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of held) socket.destroy();
    silent.close();
  });
  const { port } = silent.address() as { port: number };
  const a = await new Host(1, new Map(), { addressOf: () => ({ host: '127.0.0.1', port }) }).start();
  // So that the handshake's own time cannot end it.
  context.mock.timers.enable({ apis: ['setTimeout'] });
  a.beat(2);
  if (held.length === 0) await once(silent, 'connection');
  const ended = once(held[0]!.resume(), 'close');
  await a.peers.stop();
  await ended;
  assert.equal(a.peers.dialsUnderWay, 0);
  a.beat(2);
  assert.equal(a.peers.dialsUnderWay, 0);
});

test('who was accepted is told by its hello, with what it sent right after', async () => {
  const accepted: Promise<string>[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(
      acceptPeer(socket, { id: 6, name: 'n6', cluster: 'c' }).then(async ({ hello }) => {
        const [chunk] = await once(socket.resume(), 'data');
        socket.destroy();
        return `${hello.from} ${hello.name} ${chunk}`;
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => void server.close());
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  socket.on('error', () => {});
  const hello = encodeHello({
    ...{ protocolMin: 1, protocolMax: 4, feature: 2, cluster: 'c', from: 9, to: 6, name: 'n9', nonce },
  });
  socket.write(Buffer.concat([hello, Buffer.from('first frame')]));
  await until('it was accepted', () => accepted.length === 1);
  assert.equal(await accepted[0], '9 n9 first frame');
});
