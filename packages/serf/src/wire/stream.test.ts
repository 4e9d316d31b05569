import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import fc from 'fast-check';
import type { PushPullState } from '../core/message.js';
import { encodeMessage } from './codec.js';
import { Keyring } from './keyring.js';
import { MsgpackWriter, WireError } from './msgpack.js';
import type { PacketOptions } from './packet.js';
import { encodePushPull } from './push-pull.js';
import { encodeRefusal, encodeStream, type StreamMessage, StreamReader } from './stream.js';

const none: Uint8Array = new Uint8Array(0);
const open: PacketOptions = { keyring: undefined, label: none };
const keyring = new Keyring([new Uint8Array(32).fill(7)]);

const state: PushPullState = {
  join: true,
  nodes: Array.from({ length: 30 }, (_, i) => ({
    name: `node${i}`,
    addr: Uint8Array.of(10, 0, 0, i),
    port: 7946,
    incarnation: i,
    meta: Uint8Array.of(0xff, 0x80),
    state: i % 2 === 0 ? 0 : 3,
    vsn: Uint8Array.of(1, 5, 2, 2, 5, 5),
  })),
  serf: {
    lTime: 5,
    eventLTime: 6,
    queryLTime: 7,
    statusLTimes: new Map([
      ['node1', 3],
      ['__proto__', 4],
    ]),
    leftMembers: ['node3'],
    events: [undefined, { lTime: 1, events: [{ name: 'deploy', payload: utf8('v1') }] }],
  },
};

function read(bytes: Uint8Array, chunkBytes: number, options: PacketOptions = open): StreamMessage | undefined {
  const reader = new StreamReader(options, 1e6);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const message = reader.push(bytes.subarray(at, at + chunkBytes));
    if (message !== undefined) return message;
  }
  return undefined;
}

test('a push/pull does not depend on how its bytes were cut', () => {
  for (const compress of [false, true])
    for (const ring of [undefined, keyring])
      for (const label of [none, utf8('blue')]) {
        const options = { keyring: ring, label };
        const bytes = encodeStream(encodePushPull(state), { ...options, compress });
        for (const chunkBytes of [1, 7, 100, bytes.length])
          assert.deepEqual(read(bytes, chunkBytes, options), { type: 'push-pull', state });
      }
});

test('pings, acks, user messages and refusals are read', () => {
  const ping = encodeMessage({ type: 'ping', seqNo: 3, node: 'a' });
  assert.deepEqual(read(ping, 2), { type: 'ping', seqNo: 3, node: 'a' });
  assert.deepEqual(read(encodeRefusal('no'), 3), { type: 'error', error: 'no' });
  const join = encodeMessage({ type: 'user', body: { type: 'join', lTime: 1, node: 'a' } });
  const user = new MsgpackWriter()
    .u8(8)
    .map(1)
    .text('UserMsgLen')
    .int(join.length - 1)
    .verbatim(join.subarray(1));
  const message = read(user.copy(), 5);
  assert.ok(message?.type === 'user');
  assert.deepEqual(message.body, { type: 'join', lTime: 1, node: 'a' });
});

test('a stream that is not in the configured form is refused at once', () => {
  const plain = encodePushPull(state);
  assert.throws(() => read(plain, 10, { keyring, label: none }), /Encryption is configured/);
  const sealed = encodeStream(plain, { keyring, label: none, compress: false });
  assert.throws(() => read(sealed, 10), /encryption is not configured/);
  assert.throws(() => read(plain, 1, { ...open, label: utf8('blue') }), /label/);
  assert.throws(() => read(encodeStream(plain, { ...open, label: utf8('blue'), compress: false }), 1), /label/);
});

test('lengths that lie are refused before anything is kept for them', () => {
  assert.throws(() => read(Uint8Array.of(10, 0xff, 0xff, 0xff, 0xff), 5, { keyring, label: none }), /allowed are/);
  const nodes = new MsgpackWriter()
    .u8(6)
    .map(2)
    .text('Nodes')
    .int(2 ** 30)
    .text('UserStateLen')
    .int(0)
    .copy();
  assert.throws(() => read(nodes, 100), /allowed is 0 to/);
  const user = new MsgpackWriter()
    .u8(6)
    .map(1)
    .text('UserStateLen')
    .int(2 ** 30)
    .copy();
  assert.throws(() => read(user, 100), /allowed is 0 to/);
  assert.throws(() => read(Uint8Array.of(99), 1), /type 99/);
  const flood = new StreamReader(open, 1000);
  assert.throws(() => flood.push(new Uint8Array(1001)), /more than the 1000 bytes/);
});

test('a small message that never ends is refused', () => {
  const reader = new StreamReader(open, 1e7);
  const start = new MsgpackWriter().u8(0).map(1).text('Node').copy();
  reader.push(start);
  reader.push(Uint8Array.of(0xdb, 0x7f, 0xff, 0xff, 0xff));
  assert.throws(() => reader.push(new Uint8Array(70_000)), WireError);
});

test('a user state that is cut inside its stated length is refused, not waited for', () => {
  const bytes = new MsgpackWriter().u8(6).map(2).text('Nodes').int(0).text('UserStateLen').int(3);
  bytes.verbatim(Uint8Array.of(2, 0x81, 0xa5));
  assert.throws(() => read(bytes.copy(), 4), WireError);
});

test('a push/pull in one-byte pieces is read in linear work', () => {
  const many = { ...state, nodes: Array.from({ length: 2000 }, (_, i) => ({ ...state.nodes[0]!, name: `n${i}` })) };
  const bytes = encodePushPull(many);
  const reader = new StreamReader(open, 1e6);
  let message: StreamMessage | undefined;
  for (let at = 0; at < bytes.length && message === undefined; at++) message = reader.push(bytes.subarray(at, at + 1));
  assert.ok(message?.type === 'push-pull' && message.state.nodes.length === 2000);
});

test('any bytes, in any pieces, are read or refused with a WireError', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .tuple(fc.integer({ min: 0, max: 15 }), fc.uint8Array({ maxLength: 200 }))
      .map(([type, rest]) => Uint8Array.of(type, ...rest)),
  );
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 50 }), (garbage, chunkBytes) => {
      try {
        read(garbage, chunkBytes);
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});
