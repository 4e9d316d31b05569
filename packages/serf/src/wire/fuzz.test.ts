import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import fc from 'fast-check';
import type { SerfMessage, SwimMessage } from '../core/message.js';
import { RequestReader } from '../rpc/request.js';
import { decodeMessage, decodeTags, encodeMessage, encodeTags } from './codec.js';
import { decodeCoordinate, encodeCoordinate } from './coordinate.js';
import { decodeConflictResponse, decodeKeyRequest, decodeKeyResponse } from './internal.js';
import { Keyring } from './keyring.js';
import { WireError } from './msgpack.js';
import { decodePacket } from './packet.js';
import { decodeSerfState, encodePushPull } from './push-pull.js';
import { StreamReader } from './stream.js';

/** Plain objects, as the decoders make them. */
function record<Shape>(shape: { [Key in keyof Shape]: fc.Arbitrary<Shape[Key]> }): fc.Arbitrary<Shape> {
  return fc.record(shape, { noNullPrototype: true }) as fc.Arbitrary<Shape>;
}

/** Messages of every kind, with any content the codec allows. */
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const time = fc.integer({ min: 0, max: 2 ** 52 });
const name = fc.oneof(fc.constant('__proto__'), fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }));
const addr = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }));
const payload = fc.uint8Array({ maxLength: 100 });
const endpoint = record({ addr, port: u16 });
const source = record({ addr, port: fc.integer({ min: 1, max: 0xffff }) });
const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const coordinate = record({
  vec: fc.array(finite, { minLength: 8, maxLength: 8 }),
  error: finite,
  adjustment: finite,
  height: finite,
});
const filter = fc.oneof(
  record({ kind: fc.constant('nodes' as const), names: fc.array(name, { maxLength: 4 }) }),
  record({ kind: fc.constant('tag' as const), tag: name, expression: fc.string() }),
);
const response = record({
  type: fc.constant('query-response' as const),
  lTime: time,
  id: u32,
  from: name,
  flags: u32,
  payload,
});
const serfMessage: fc.Arbitrary<SerfMessage> = fc.oneof(
  record({ type: fc.constant('leave' as const), lTime: time, node: name, prune: fc.boolean() }),
  record({ type: fc.constant('join' as const), lTime: time, node: name }),
  record({ type: fc.constant('user-event' as const), lTime: time, name, payload, coalesce: fc.boolean() }),
  record({
    type: fc.constant('query' as const),
    lTime: time,
    id: u32,
    origin: endpoint,
    sourceNode: name,
    filters: fc.array(filter, { maxLength: 3 }),
    flags: u32,
    relayFactor: fc.integer({ min: 0, max: 255 }),
    timeoutMs: fc.integer({ min: 0, max: 86_400_000 }),
    name,
    payload,
  }),
  response,
  record({ type: fc.constant('relay' as const), destination: endpoint, destinationName: name, response }),
);
const swimMessage: fc.Arbitrary<SwimMessage> = fc.oneof(
  record({ type: fc.constant('ping' as const), seqNo: u32, node: name }),
  record({ type: fc.constant('ping' as const), seqNo: u32, node: name, source, sourceNode: name }),
  record({ type: fc.constant('indirect-ping' as const), seqNo: u32, node: name, target: endpoint, nack: fc.boolean() }),
  record({ type: fc.constant('ack' as const), seqNo: u32 }),
  record({ type: fc.constant('ack' as const), seqNo: u32, coordinate }),
  record({ type: fc.constant('nack' as const), seqNo: u32 }),
  record({ type: fc.constant('suspect' as const), incarnation: u32, node: name, from: name }),
  record({ type: fc.constant('dead' as const), incarnation: u32, node: name, from: name }),
  record({
    type: fc.constant('alive' as const),
    incarnation: u32,
    node: name,
    addr,
    port: u16,
    meta: payload,
    vsn: fc.uint8Array({ minLength: 6, maxLength: 6 }),
  }),
);

test('decode(encode(x)) is x for every message', () => {
  fc.assert(
    fc.property(swimMessage, (message) => {
      assert.deepEqual(decodeMessage(encodeMessage(message)), message);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(serfMessage, (body) => {
      const decoded = decodeMessage(encodeMessage({ type: 'user', body }));
      assert.ok(decoded.type === 'user');
      if (decoded.body.type !== 'relay') assert.deepEqual(decoded.body, body);
      else {
        const { inner: _inner, ...relay } = decoded.body;
        assert.deepEqual(relay, body);
      }
    }),
    { numRuns: 2000 },
  );
});

test('decode(encode(x)) is x for tags and coordinates', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.string({ unit: 'grapheme' })), { maxLength: 10 }), (entries) => {
      const tags = new Map(entries);
      assert.deepEqual(decodeTags(encodeTags(tags)), tags);
    }),
  );
  fc.assert(
    fc.property(coordinate, (value) => {
      assert.deepEqual(decodeCoordinate(encodeCoordinate(value)), value);
    }),
  );
});

const keyring = new Keyring([new Uint8Array(16)]);
const decoders: Record<string, (bytes: Uint8Array) => unknown> = {
  decodePacket: (bytes) => decodePacket(bytes, { keyring: undefined, label: new Uint8Array(0) }),
  'decodePacket with a key': (bytes) => decodePacket(bytes, { keyring, label: new Uint8Array(0) }),
  'decodePacket with a label': (bytes) => decodePacket(bytes, { keyring: undefined, label: Uint8Array.of(1, 2) }),
  'streamReader with a key': (bytes) => new StreamReader({ keyring, label: new Uint8Array(0) }, 1e6).push(bytes),
  decodeMessage,
  decodeTags,
  decodeCoordinate,
  decodeSerfState,
  decodeKeyRequest,
  decodeKeyResponse,
  decodeConflictResponse,
  streamReader: (bytes) => new StreamReader({ keyring: undefined, label: new Uint8Array(0) }, 1e6).push(bytes),
  requestReader: (bytes) => new RequestReader().push(bytes),
};

/** A message with some bytes changed, some cut off, or some put in. */
const damaged = fc
  .tuple(
    fc.oneof(
      swimMessage.map(encodeMessage),
      serfMessage.map((body) => encodeMessage({ type: 'user', body })),
      serfMessage.map((body) => encodeMessage({ type: 'user', body }).subarray(1)),
      fc.constant(encodePushPull({ join: true, nodes: [], serf: emptyState() })),
    ),
    fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
    fc.nat(),
  )
  .map(([whole, changes, cut]) => {
    const bytes = whole.slice(0, cut % 3 === 0 ? cut % (whole.length + 1) : whole.length);
    for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
    return bytes;
  });

function emptyState(): Parameters<typeof encodePushPull>[0]['serf'] & object {
  return {
    lTime: 1,
    eventLTime: 1,
    queryLTime: 1,
    statusLTimes: new Map([['a', 1]]),
    leftMembers: ['b'],
    events: [{ lTime: 1, events: [{ name: 'e', payload: utf8('p') }] }],
  };
}

for (const [decoder, decode] of Object.entries(decoders))
  test(`${decoder} takes any bytes and throws nothing but a WireError`, () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), damaged), (bytes) => {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof WireError, `${String(error)} of ${Buffer.from(bytes).toString('hex')}`);
        }
      }),
      { numRuns: 3000 },
    );
  });

test('a hostile count makes no decoder take memory for it', () => {
  const huge = [0xdd, 0x0f, 0xff, 0xff, 0xff];
  const text = (value: string): number[] => [0xa0 | value.length, ...utf8(value)];
  const before = process.memoryUsage();
  for (const bytes of [
    [2, 0x81, ...text('Events'), ...huge],
    [2, 0x81, ...text('LeftMembers'), ...huge],
    [2, 0x81, ...text('StatusLTimes'), 0xdf, 0x0f, 0xff, 0xff, 0xff],
    [8, 0x81, ...text('Keys'), ...huge],
    [8, 4, 0x81, ...text('Filters'), ...huge],
    [2, 0x81, ...text('Payload'), 0xdb, 0x7f, 0xff, 0xff, 0xff],
  ])
    for (const decode of Object.values(decoders)) {
      try {
        decode(Uint8Array.from(bytes));
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }
  const after = process.memoryUsage();
  assert.ok(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers < 50_000_000);
});
