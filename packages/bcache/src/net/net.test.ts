import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { test } from 'node:test';
import { BytesError, SeededRandom, silentLogger, systemClock } from '@dcache/base';
import { until } from '@dcache/testing';
import fc from 'fast-check';
import { decodeMessage, encodeMessage, MessageType, readBatch } from '../core/message.js';
import { CacheError } from '../errors.js';
import { decodeLease, encodeLease, LeaseType, ownerOf } from '../fill/lease.js';
import { MemoryHub } from '../memory-bus.js';
import { listen, testBus } from '../testing/bus-suite.js';
import { FrameReader, FrameSeal, frame } from './frame.js';
import { GossipBus } from './gossip-bus.js';
import { type Identity, readAnswer, readHello, readProof, writeAnswer, writeHello } from './handshake.js';
import { Link } from './link.js';
import { Listener } from './listener.js';

function gossipBus(node: string, peers: readonly string[]): GossipBus {
  return new GossipBus({
    node,
    incarnation: '1',
    cluster: 'test',
    listen: '127.0.0.1:0',
    streamPort: 0,
    peers,
    maxQueueBytes: 16 * 1024 * 1024,
    logger: silentLogger,
  });
}

testBus('MemoryBus', async () => {
  const hub = new MemoryHub();
  return async (id) => hub.bus(id);
});

testBus('GossipBus', async () => {
  let first: GossipBus | undefined;
  return async (id) => {
    const bus = gossipBus(id, first === undefined ? [] : [first.members()[0]!.address]);
    first ??= bus;
    return bus;
  };
});

test('frames are cut alike however the stream is chunked', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 20 })),
      (messages, sizes) => {
        const stream = Buffer.concat(messages.map((message) => frame(message)));
        const reader = new FrameReader();
        const found: Uint8Array[] = [];
        for (let at = 0; at < stream.length; ) {
          const size = sizes.next().value;
          reader.push(stream.subarray(at, at + size));
          at += size;
          for (let next = reader.next(); next !== undefined; next = reader.next()) found.push(next);
        }
        assert.deepEqual(found, messages);
      },
    ),
  );
});

test('a frame that claims to be too large is refused before it is waited for', () => {
  const reader = new FrameReader(1000);
  reader.push(Buffer.from([0x7f, 0xff, 0xff, 0xff]));
  assert.throws(() => reader.next(), CacheError);
});

test('sealed frames open in their order alone, and not once they were changed', () => {
  const key = randomBytes(32);
  const [sealer, opener] = [new FrameSeal(key), new FrameSeal(key)];
  const sealed = ['one', 'two'].map((text) => sealer.seal(Buffer.from(text)));
  assert.equal(Buffer.from(opener.open(sealed[0]!)).toString(), 'one');
  assert.throws(() => opener.open(sealed[0]!), CacheError);
  const changed = new FrameSeal(key);
  sealed[0]![0]! ^= 1;
  assert.throws(() => changed.open(sealed[0]!), /does not open/);
  assert.throws(() => new FrameSeal(key).open(new Uint8Array(3)), CacheError);
});

const identity = (node: string, key?: Uint8Array, cluster = 'c'): Identity => ({
  cluster,
  node,
  incarnation: '1',
  keys: () => (key === undefined ? [] : [key]),
});

test('who has the key is let in and has the same stream key; proofs of another stream do not count', () => {
  const key = randomBytes(32);
  const [client, server] = [identity('a', key), identity('b', key)];
  const shake = (): { proof: Uint8Array; same: boolean; accept: (proof: Uint8Array) => unknown } => {
    const [clientNonce, serverNonce] = [randomBytes(16), randomBytes(16)];
    const hello = writeHello(client, clientNonce);
    const read = readHello(server, hello.bytes);
    const { proof, streamKey } = readAnswer(
      'b',
      { ...hello, nonce: clientNonce },
      writeAnswer(server, read, serverNonce),
    );
    const accept = (given: Uint8Array): Buffer | undefined => readProof(server, read, serverNonce, given);
    return { proof, accept, same: streamKey!.equals(accept(proof)!) };
  };
  const [one, other] = [shake(), shake()];
  assert.equal(one.same, true);
  assert.throws(() => one.accept(other.proof), /has not the key/);
  assert.throws(() => one.accept(new Uint8Array(0)), /has not the key/);
});

test('another cluster, another key, no key, this very id and nonsense are refused, each with its reason', () => {
  const key = randomBytes(32);
  const hello = (own: Identity): Uint8Array => writeHello(own, randomBytes(16)).bytes;
  const server = identity('b', key);
  assert.throws(() => readHello(server, hello(identity('a', key, 'other'))), /cluster 'other', this node of 'c'/);
  assert.throws(() => readHello(server, hello(identity('a', randomBytes(32)))), /another key/);
  assert.throws(() => readHello(server, hello(identity('a'))), /has no key/);
  assert.throws(() => readHello(identity('b'), hello(identity('a', key))), /this node has none/);
  assert.throws(() => readHello(server, hello(identity('b', key))), { code: 'duplicate-id' });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert.throws(
        () => readHello(server, bytes),
        (error) => error instanceof BytesError || error instanceof CacheError,
      );
    }),
  );
});

test('messages that are none are a BytesError, whatever the bytes', () => {
  const known = [
    encodeMessage({ type: MessageType.pull, origin: 'a/1', from: 1, to: 9 }),
    encodeMessage({
      type: MessageType.positions,
      wantsAnswer: true,
      nowMs: 5,
      echoMs: 0,
      entries: [{ origin: 'a/1', seen: 3, dot: 9, reach: 1, voidAbove: Infinity }],
    }),
    encodeLease({ type: LeaseType.ask, id: 1, space: '', key: 'k', leaseMs: 5, waits: true }),
  ].map((bytes) => bytes.slice());
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.constantFrom(...known).chain((one) =>
      fc.tuple(fc.nat(one.length - 1), fc.nat(255)).map(([at, value]) => {
        const changed = one.slice();
        changed[at] = value;
        return changed;
      }),
    ),
  );
  fc.assert(
    fc.property(bytes, (message) => {
      for (const decode of [decodeMessage, readBatch, decodeLease]) {
        try {
          decode(message);
        } catch (error) {
          assert.ok(error instanceof BytesError, `${decode.name}: ${String(error)}`);
        }
      }
    }),
    { numRuns: 2000 },
  );
});

test('a stranger that talks nonsense, and a peer that does after its handshake, are dropped and counted', {
  timeout: 20_000,
}, async () => {
  const errors: Error[] = [];
  const listener = new Listener({
    own: identity('b'),
    tls: undefined,
    clock: systemClock,
    onMessage: (_, message) => {
      if (message[0] === 99) throw new BytesError('unknown message type 99');
    },
    onError: (error) => errors.push(error),
  });
  const port = await listener.listen('127.0.0.1', 0);
  const stranger = connect(port, '127.0.0.1', () => stranger.write('GET / HTTP/1.1\r\n\r\n'));
  stranger.on('error', () => {});
  stranger.resume();
  await new Promise((resolve) => stranger.once('close', resolve));
  let opened = 0;
  const random = new SeededRandom(1);
  const link = new Link({
    own: identity('a'),
    peer: 'b',
    host: '127.0.0.1',
    port,
    tls: undefined,
    clock: systemClock,
    random: () => random.next(),
    maxQueueBytes: 1000,
    onOpen: () => opened++,
    onError: () => {},
  });
  await until('it is open', () => opened === 1);
  link.send(new Uint8Array([99]));
  await until('it was dropped, and has dialled again', () => opened >= 2);
  assert.equal(listener.refusals, 2);
  assert.ok(
    errors.every((error) => error instanceof CacheError && error.code === 'nonsense'),
    String(errors),
  );
  link.close();
  await listener.close();
});

test('a peer that does not read loses messages; the queue does not grow', { timeout: 20_000 }, async () => {
  const a = await listen(gossipBus('a', []));
  const slow = new Listener({
    own: identity('s'),
    tls: undefined,
    clock: systemClock,
    onMessage: () => {},
    onError: () => {},
  });
  const port = await slow.listen('127.0.0.1', 0);
  let isOpen = false;
  const link = new Link({
    own: identity('a'),
    peer: 's',
    host: '127.0.0.1',
    port,
    tls: undefined,
    clock: systemClock,
    random: () => 0,
    maxQueueBytes: 1_000_000,
    onOpen: () => {
      isOpen = true;
    },
    onError: () => {},
  });
  await until('it is open', () => isOpen);
  const message = new Uint8Array(100_000);
  // In one turn, so that nothing can leave between.
  for (let i = 0; i < 1000; i++) link.send(message);
  assert.ok(link.queuedBytes <= 1_200_000, `${link.queuedBytes} bytes wait`);
  assert.ok(link.overflows > 900);
  link.close();
  await Promise.all([slow.close(), a.bus.stop(500)]);
});

test('a key moves to another owner only when its owner goes', () => {
  const members = Array.from({ length: 10 }, (_, i) => `n${i}`);
  const owners = Array.from({ length: 2000 }, (_, i) => ownerOf('', `key${i}`, members));
  const counts = members.map((member) => owners.filter((owner) => owner === member).length);
  assert.ok(
    counts.every((count) => count > 120 && count < 290),
    String(counts),
  );
  const fewer = members.slice(1);
  owners.forEach((owner, i) => {
    if (owner !== 'n0') assert.equal(ownerOf('', `key${i}`, fewer), owner);
  });
  assert.equal(ownerOf('', 'k', [...members].reverse()), ownerOf('', 'k', members));
});
