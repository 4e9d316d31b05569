import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { NodeRow, QueryFilter, SerfMessage, SwimMessage } from '../core/message.js';
import { decodeMessage, encodeMessage } from './codec.js';
import { compressMessage, decompressMessage } from './compress.js';
import { decodeCoordinate, encodeCoordinate } from './coordinate.js';
import {
  decodeConflictResponse,
  decodeKeyRequest,
  decodeKeyResponse,
  encodeKeyRequest,
  encodeKeyResponse,
} from './internal.js';
import { Keyring } from './keyring.js';
import { decodePacket, encodePacket } from './packet.js';
import { encodePushPull } from './push-pull.js';
import { StreamReader } from './stream.js';

interface Vector {
  readonly name: string;
  readonly hex: string;
  readonly decoded?: Record<string, unknown> | null;
  readonly key_b64?: string;
  readonly plain_hex?: string;
  readonly padded_plain_hex?: string;
  readonly decompressed_hex?: string;
  readonly rest_hex?: string;
}

// dist/wire -> packages/serf -> the repository
const root = fileURLToPath(new URL('../../../../', import.meta.url));
const folder = process.env['CONFORMANCE_DIR'] ?? join(root, '..', 'shared', 'conformance');
const file = join(folder, 'serf', 'vectors.json');
const skip = existsSync(file) ? false : `${file} is not there; set CONFORMANCE_DIR`;
const vectors = skip === false ? (JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] }).vectors : [];
const open = { keyring: undefined, label: new Uint8Array(0) };
const seen = new Set<string>();

function vector(name: string): Vector {
  seen.add(name);
  const found = vectors.find((one) => one.name === name);
  assert.ok(found !== undefined, `no vector ${name}`);
  return found;
}

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

function hex(value: Uint8Array): string {
  return Buffer.from(value).toString('hex');
}

/** Bytes and texts as the vectors write them. */
function wire(value: Uint8Array | string): { $hex: string } {
  return { $hex: hex(typeof value === 'string' ? Buffer.from(value) : value) };
}

function wireOrNil(value: Uint8Array): { $hex: string } | null {
  return value.length === 0 ? null : wire(value);
}

/** What a message says, under the names of the wire: written without the codec, to be compared with the vector. */
function fields(message: SwimMessage | SerfMessage): Record<string, unknown> {
  switch (message.type) {
    case 'ping':
    case 'indirect-ping':
      return {
        ...(message.type === 'indirect-ping'
          ? { Nack: message.nack, Port: message.target.port, Target: wire(message.target.addr) }
          : {}),
        Node: wire(message.node),
        SeqNo: message.seqNo,
        SourceAddr: wire(message.source!.addr),
        SourceNode: wire(message.sourceNode!),
        SourcePort: message.source!.port,
      };
    case 'ack':
      return { Payload: wire(encodeCoordinate(message.coordinate!)), SeqNo: message.seqNo };
    case 'nack':
      return { SeqNo: message.seqNo };
    case 'suspect':
    case 'dead':
      return { From: wire(message.from), Incarnation: message.incarnation, Node: wire(message.node) };
    case 'alive':
      return {
        Addr: wire(message.addr),
        Incarnation: message.incarnation,
        Meta: wire(message.meta),
        Node: wire(message.node),
        Port: message.port,
        Vsn: wire(message.vsn),
      };
    case 'user':
      return fields(message.body);
    case 'leave':
      return { LTime: message.lTime, Node: wire(message.node), Prune: message.prune };
    case 'join':
      return { LTime: message.lTime, Node: wire(message.node) };
    case 'user-event':
      return {
        CC: message.coalesce,
        LTime: message.lTime,
        Name: wire(message.name),
        Payload: wireOrNil(message.payload),
      };
    case 'query':
      return {
        Addr: wire(message.origin.addr),
        Filters: message.filters.length === 0 ? null : message.filters.map(filterHex),
        Flags: message.flags,
        ID: message.id,
        LTime: message.lTime,
        Name: wire(message.name),
        Payload: wireOrNil(message.payload),
        Port: message.origin.port,
        RelayFactor: message.relayFactor,
        SourceNode: wire(message.sourceNode),
        Timeout: message.timeoutMs * 1e6,
      };
    case 'query-response':
      return {
        Flags: message.flags,
        From: wire(message.from),
        ID: message.id,
        LTime: message.lTime,
        Payload: wireOrNil(message.payload),
      };
    case 'relay':
      return {
        DestAddr: { IP: wire(message.destination.addr), Port: message.destination.port, Zone: wire('') },
        DestName: wire(message.destinationName),
      };
  }
}

function filterHex(filter: QueryFilter): { $hex: string } {
  const text = (value: string): number[] => [0xa0 | value.length, ...Buffer.from(value)];
  if (filter.kind === 'nodes')
    return wire(Uint8Array.from([0, 0x90 | filter.names.length, ...filter.names.flatMap(text)]));
  assert.equal(filter.kind, 'tag');
  const { tag, expression } = filter as { tag: string; expression: string };
  return wire(Uint8Array.from([1, 0x82, ...text('Expr'), ...text(expression), ...text('Tag'), ...text(tag)]));
}

/** The message again, without the bytes that it came in, so that encoding has to do the work. */
function withoutRaw(message: SwimMessage): SwimMessage {
  if (message.type !== 'user') return message;
  if (message.body.type !== 'relay') return { type: 'user', body: message.body };
  const { inner: _inner, ...relay } = message.body;
  return { type: 'user', body: relay };
}

const single = [
  'ping ack_with_coordinate indirect_ping nack suspect alive dead_by_other dead_self_leave serf_join serf_leave_self',
  'serf_leave_force serf_leave_prune serf_user_event serf_query_filters serf_query_ping serf_query_listkeys',
  'serf_query_ack serf_query_key_response_failure serf_query_response serf_relay_ack serf_conflict_query',
  'serf_conflict_response serf_query_install_key serf_query_use_key serf_list_keys_response',
].flatMap((line) => line.split(' '));

for (const name of single)
  test(`captured message ${name} is decoded to its fields and encoded to its bytes`, { skip }, () => {
    const { hex: captured, decoded } = vector(name);
    const message = decodeMessage(bytes(captured));
    assert.deepEqual(fields(message), decoded);
    assert.equal(hex(encodeMessage(withoutRaw(message))), captured);
    assert.equal(hex(encodeMessage(message)), captured);
  });

test('a relay passes on the bytes it wraps', { skip }, () => {
  const { hex: captured, rest_hex } = vector('serf_relay_ack');
  const message = decodeMessage(bytes(captured));
  assert.ok(message.type === 'user' && message.body.type === 'relay');
  assert.equal(hex(message.body.inner!), rest_hex);
});

test('a coordinate is decoded and encoded', { skip }, () => {
  const { hex: captured, decoded } = vector('coordinate_payload_initial');
  const coordinate = decodeCoordinate(bytes(captured))!;
  const { adjustment, error, height, vec } = coordinate;
  assert.deepEqual({ Adjustment: adjustment, Error: error, Height: height, Vec: vec }, decoded);
  assert.equal(hex(encodeCoordinate(coordinate)), captured);
});

for (const name of ['udp_compound_3', 'udp_crc_compound', 'udp_crc_user'])
  test(`captured datagram ${name} is unfolded and folded again`, { skip }, () => {
    const { hex: captured } = vector(name);
    const { messages, faults } = decodePacket(bytes(captured), open);
    assert.deepEqual(faults, []);
    assert.equal(messages.length, { udp_compound_3: 3, udp_crc_compound: 2, udp_crc_user: 1 }[name]);
    const parts = messages.map((message) => encodeMessage(withoutRaw(message)));
    const again = encodePacket(parts, { ...open, checksum: name.includes('crc'), compress: false });
    assert.equal(hex(again), captured);
  });

for (const name of ['tcp_pushpull_join_request_plain', 'tcp_pushpull_with_event_plain'])
  test(`captured stream ${name} is read and written`, { skip }, () => {
    const { hex: captured } = vector(name);
    const message = new StreamReader(open, 1e6).push(bytes(captured));
    assert.ok(message?.type === 'push-pull');
    const { join: isJoin, nodes, serf } = message.state;
    assert.equal(isJoin, name.includes('join'));
    assert.deepEqual(
      nodes.map((row: NodeRow) => [row.name, row.port, row.state]),
      name.includes('join')
        ? [['bravo', 17947, 0]]
        : [
            ['bravo', 17947, 0],
            ['alpha', 17946, 0],
          ],
    );
    assert.equal(serf?.events.length, 512);
    const filled = serf.events.filter((slot) => slot !== undefined);
    assert.equal(filled.length, name.includes('event') ? 1 : 0);
    if (filled.length > 0) assert.equal(filled[0]!.events[0]!.name, 'deploy');
    assert.equal(hex(encodePushPull(message.state)), captured);
  });

test('the ack to a stream ping is read', { skip }, () => {
  const { hex: captured } = vector('ack_tcp_null_payload');
  assert.deepEqual(new StreamReader(open, 1e6).push(bytes(captured)), { type: 'ack', seqNo: 11 });
  assert.equal(hex(encodeMessage({ type: 'ack', seqNo: 11 })), captured);
});

test('a compressed message is inflated, and deflated to the same bytes', { skip }, () => {
  const { hex: captured, decompressed_hex } = vector('compress_small_tcp_ack');
  const { message, length } = decompressMessage(bytes(captured), 1000);
  assert.equal(hex(message), decompressed_hex);
  assert.equal(length, captured.length / 2);
  assert.equal(hex(compressMessage(message)), captured);
});

for (const name of ['udp_encrypted_v1', 'udp_encrypted_v1_compressed'])
  test(`captured datagram ${name} is decrypted`, { skip }, () => {
    const { hex: captured, key_b64, plain_hex, decompressed_hex } = vector(name);
    const keyring = Keyring.fromBase64([key_b64!]);
    assert.equal(hex(keyring.decrypt(bytes(captured))), plain_hex);
    const { messages, faults } = decodePacket(bytes(captured), { ...open, keyring });
    assert.deepEqual(faults, []);
    assert.ok(messages.length > 0);
    if (decompressed_hex === undefined) return;
    assert.equal(hex(decompressMessage(bytes(plain_hex!), 1e5).message), decompressed_hex);
    assert.equal(hex(compressMessage(bytes(decompressed_hex))), plain_hex);
  });

test('a captured datagram of encryption version 0 loses its padding', { skip }, () => {
  const { hex: captured, key_b64, padded_plain_hex } = vector('udp_encrypted_v0_own');
  const plain = hex(Keyring.fromBase64([key_b64!]).decrypt(bytes(captured)));
  assert.ok(padded_plain_hex!.startsWith(plain) && plain.length < padded_plain_hex!.length);
  const padding = (padded_plain_hex!.length - plain.length) / 2;
  assert.equal(padded_plain_hex!.slice(plain.length), padding.toString(16).padStart(2, '0').repeat(padding));
});

test('a captured encrypted stream is read with its length as authenticated data', { skip }, () => {
  const { hex: captured, key_b64, plain_hex, decompressed_hex } = vector('tcp_encrypted_v1_pushpull');
  const stream = bytes(captured);
  const keyring = Keyring.fromBase64([key_b64!]);
  assert.equal(hex(keyring.decrypt(stream.subarray(5), stream.subarray(0, 5))), plain_hex);
  assert.throws(() => keyring.decrypt(stream.subarray(5)), /no installed key/);
  const message = new StreamReader({ ...open, keyring }, 1e6).push(stream);
  assert.ok(message?.type === 'push-pull');
  assert.equal(hex(encodePushPull(message.state)), decompressed_hex);
});

test('payloads of key and conflict queries are decoded and encoded', { skip }, () => {
  const payload = (name: string): Uint8Array => bytes((vector(name).decoded!['Payload'] as { $hex: string }).$hex);
  for (const name of ['serf_query_install_key', 'serf_query_use_key', 'serf_query_listkeys']) {
    const key = decodeKeyRequest(payload(name));
    assert.equal(key.length, name.includes('list') ? 0 : 32);
    assert.deepEqual(encodeKeyRequest(key), payload(name));
  }
  for (const name of ['serf_list_keys_response', 'serf_query_key_response_failure']) {
    const response = decodeKeyResponse(payload(name));
    assert.equal(response.ok, name.includes('list'));
    assert.deepEqual(encodeKeyResponse(response), payload(name));
  }
  const where = decodeConflictResponse(payload('serf_conflict_response'));
  assert.deepEqual(where, { addr: Uint8Array.of(127, 0, 0, 1), port: 17947 });
});

test('no captured vector was left out', { skip }, () => {
  assert.deepEqual(
    vectors.map((one) => one.name).filter((name) => !seen.has(name)),
    [],
  );
});
