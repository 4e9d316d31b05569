import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import type { PushPullState, SwimMessage } from '../core/message.js';
import { decodeMessage, encodeMessage, encodeTags } from './codec.js';
import { encodePushPull } from './push-pull.js';
import { StreamReader } from './stream.js';

/*
 * Serf from 0.10.2 on encodes with go-msgpack 2: the same maps with the same keys, but a positive Go int above 127 in
 * one of the signed forms. No agent of that age can be had where these tests run, so its bytes are made from ours by
 * rewriting each value, in the two forms a reader must take.
 */
type Form = 'signed ints' | 'strings as bin';

/** Rewrites the msgpack value at `at` (raw, maps, arrays, ints, nil, bools and floats occur); returns where it ends. */
function rewrite(bytes: Uint8Array, at: number, form: Form, out: number[]): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const byte = bytes[at]!;
  const copy = (length: number): number => {
    out.push(...bytes.subarray(at, at + length));
    return at + length;
  };
  const each = (count: number, next: number): number => {
    let end = next;
    for (let i = 0; i < count; i++) end = rewrite(bytes, end, form, out);
    return end;
  };
  const raw = (start: number, length: number): number => {
    if (form === 'strings as bin') out.push(0xc5, length >> 8, length & 0xff, ...bytes.subarray(start, start + length));
    else out.push(...bytes.subarray(at, start + length));
    return start + length;
  };
  const int = (value: number, length: number): number => {
    if (form !== 'signed ints' || value >= 2 ** 31) return copy(1 + length);
    if (value < 2 ** 15) out.push(0xd1, value >> 8, value & 0xff);
    else out.push(0xd2, value >> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff);
    return at + 1 + length;
  };
  if (byte <= 0x7f || byte >= 0xe0 || byte === 0xc0 || byte === 0xc2 || byte === 0xc3) return copy(1);
  if (byte <= 0x8f) return each(2 * (byte & 0x0f), copy(1));
  if (byte <= 0x9f) return each(byte & 0x0f, copy(1));
  if (byte <= 0xbf) return raw(at + 1, byte & 0x1f);
  switch (byte) {
    case 0xcb:
      return copy(9);
    case 0xcc:
      return int(bytes[at + 1]!, 1);
    case 0xcd:
      return int(view.getUint16(at + 1), 2);
    case 0xce:
      return int(view.getUint32(at + 1), 4);
    case 0xcf:
      return copy(9);
    case 0xda:
      return raw(at + 3, view.getUint16(at + 1));
    case 0xdc:
      return each(view.getUint16(at + 1), copy(3));
    case 0xde:
      return each(2 * view.getUint16(at + 1), copy(3));
    default:
      throw new Error(`byte ${byte.toString(16)} is not one that these messages hold`);
  }
}

const addr = Uint8Array.of(10, 0, 0, 1);
const origin = { addr, port: 7946 };
const meta = encodeTags(new Map([['role', 'r'.repeat(200)]]));
const vsn = Uint8Array.of(1, 5, 2, 2, 5, 5);
const payload = utf8('p'.repeat(300));
const lTime = 70_000;

const messages: readonly SwimMessage[] = [
  { type: 'ping', seqNo: 40_000, node: 'n'.repeat(40), source: origin, sourceNode: 'm' },
  { type: 'indirect-ping', seqNo: 300, node: 'n', target: origin, nack: true, source: origin, sourceNode: 'm' },
  { type: 'ack', seqNo: 200 },
  { type: 'nack', seqNo: 200 },
  { type: 'suspect', incarnation: 200, node: 'n', from: 'm' },
  { type: 'alive', incarnation: 70_000, node: 'n', meta, vsn, ...origin },
  { type: 'dead', incarnation: 200, node: 'n', from: 'm' },
  { type: 'user', body: { type: 'join', lTime, node: 'n' } },
  { type: 'user', body: { type: 'leave', lTime, node: 'n', prune: true } },
  { type: 'user', body: { type: 'user-event', lTime, name: 'deploy', payload, coalesce: true } },
  {
    type: 'user',
    body: {
      type: 'query',
      lTime,
      id: 0x7fff_fff0,
      origin,
      sourceNode: 'm',
      filters: [{ kind: 'nodes', names: ['n'] }],
      flags: 1,
      relayFactor: 200,
      timeoutMs: 1000,
      name: 'uptime',
      payload,
    },
  },
  { type: 'user', body: { type: 'query-response', lTime, id: 200, from: 'm', flags: 1, payload } },
];

function withoutRaw(message: SwimMessage): SwimMessage {
  return message.type === 'user' ? { type: 'user', body: message.body } : message;
}

for (const form of ['signed ints', 'strings as bin'] as const) {
  test(`every message of a newer encoder is read the same (${form})`, () => {
    for (const message of messages) {
      const bytes = encodeMessage(message);
      const headBytes = message.type === 'user' ? 2 : 1;
      const out = [...bytes.subarray(0, headBytes)];
      assert.equal(rewrite(bytes, headBytes, form, out), bytes.length);
      assert.notDeepEqual(out, [...bytes], `${message.type} is written in another form`);
      assert.deepEqual(withoutRaw(decodeMessage(Uint8Array.from(out))), message);
    }
  });

  test(`a push/pull of a newer encoder is read the same (${form})`, () => {
    const nodes = Array.from({ length: 200 }, (_, i) => ({
      ...origin,
      name: `member-${i}`,
      incarnation: i * 1000,
      meta,
      state: 2 as const,
      vsn,
    }));
    const state: PushPullState = {
      join: true,
      nodes,
      serf: {
        lTime,
        eventLTime: 200,
        queryLTime: 1,
        statusLTimes: new Map(nodes.map((row, i) => [row.name, i])),
        leftMembers: ['member-7'],
        events: [undefined, { lTime: 200, events: [{ name: 'deploy', payload }] }],
      },
    };
    const bytes = encodePushPull(state);
    const rows: number[] = [];
    // Behind the type byte stand the header, the rows, and the user state: its own type byte and a map.
    let at = rewrite(bytes, 1, form, []);
    for (let i = 0; i < nodes.length; i++) at = rewrite(bytes, at, form, rows);
    const user = [bytes[at]!];
    assert.equal(rewrite(bytes, at + 1, form, user), bytes.length);
    const int = (value: number): number[] =>
      form === 'signed ints' ? [0xd1, value >> 8, value & 0xff] : [0xcd, value >> 8, value & 0xff];
    const key = (name: string): number[] => [0xa0 | name.length, ...utf8(name)];
    const head = [6, 0x83, ...key('Join'), 0xc3, ...key('Nodes'), ...int(200), ...key('UserStateLen')];
    const whole = Uint8Array.from([...head, ...int(user.length), ...rows, ...user]);
    const read = new StreamReader({ keyring: undefined, label: new Uint8Array(0) }, 1e6).push(whole);
    assert.ok(read?.type === 'push-pull');
    assert.deepEqual(read.state, state);
  });
}
