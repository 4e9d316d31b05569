import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeMessages, encodeMessages } from './codec.js';
import { type Entry, EntryType, type Message, MessageType, makeMessage, type NodeId } from './core/message.js';
import { RaftError } from './errors.js';
import {
  decodeSnapshotAck,
  decodeSnapshotPiece,
  encodeSnapshotAck,
  encodeSnapshotPiece,
  type SnapshotAck,
  type SnapshotPiece,
} from './snapshot/snapshot-frame.js';

/** As `fc.record`, of plain objects only. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const id: fc.Arbitrary<NodeId> = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 2 ** 52 - 1 }));
const number = fc.oneof(fc.constant(0), fc.nat(300), fc.maxSafeNat());
const bytes = fc.uint8Array({ maxLength: 50 });
const entries: fc.Arbitrary<Entry[]> = fc
  .tuple(
    fc.integer({ min: 0, max: 2 ** 53 - 100 }),
    fc.array(record({ term: number, type: fc.constantFrom(...Object.values(EntryType)), data: bytes }), {
      maxLength: 5,
    }),
  )
  .map(([first, parts]) => parts.map((part, at) => ({ index: first + at, ...part })));
const confState = record({
  voters: fc.array(id, { maxLength: 4 }),
  learners: fc.array(id, { maxLength: 2 }),
  votersOutgoing: fc.array(id, { maxLength: 2 }),
  learnersNext: fc.array(id, { maxLength: 2 }),
  autoLeave: fc.boolean(),
});
const metadata = record({ index: number, term: number, confState });
const type = fc.constantFrom(
  MessageType.append,
  MessageType.appendResponse,
  MessageType.vote,
  MessageType.heartbeat,
  MessageType.snapshot,
  MessageType.readIndex,
  MessageType.preVoteResponse,
);
const message: fc.Arbitrary<Message> = fc
  .record({
    type,
    to: id,
    from: id,
    term: number,
    logTerm: number,
    index: number,
    commit: number,
    vote: number,
    reject: fc.boolean(),
    rejectHint: number,
    context: number,
    entries,
    snapshot: fc.option(record({ metadata, data: bytes }), { nil: undefined }),
  })
  .map((fields) => makeMessage(fields.type, fields.to, fields));
const piece: fc.Arbitrary<SnapshotPiece> = fc.oneof(
  record({
    type: fc.constant('begin' as const),
    transfer: number,
    sequence: fc.constant(0 as const),
    term: number,
    requested: fc.boolean(),
    metadata,
  }),
  record({ type: fc.constant('data' as const), transfer: number, sequence: number, data: bytes }),
  record({ type: fc.constant('end' as const), transfer: number, sequence: number, stateBytes: number }),
);
const ack: fc.Arbitrary<SnapshotAck> = record({
  transfer: number,
  next: number,
  status: fc.constantFrom(
    'progress' as const,
    'done' as const,
    'refused' as const,
    'unknown' as const,
    'wanted' as const,
  ),
});

test('messages, pieces and acks come back as they went', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
      assert.deepEqual(decodeMessages(encodeMessages(messages)), messages);
    }),
  );
  fc.assert(fc.property(piece, (one) => assert.deepEqual(decodeSnapshotPiece(encodeSnapshotPiece(one)), one)));
  fc.assert(fc.property(ack, (one) => assert.deepEqual(decodeSnapshotAck(encodeSnapshotAck(one)), one)));
});

test('the bytes are those of version 1 (golden bytes)', () => {
  const append = makeMessage(MessageType.append, 2, {
    from: 1,
    term: 7,
    logTerm: 6,
    index: 300,
    commit: 299,
    entries: [{ index: 301, term: 7, type: EntryType.normal, data: Uint8Array.of(0xab, 0xcd) }],
  });
  const vote = makeMessage(MessageType.voteResponse, 2, { from: 1, term: 7, reject: true });
  const expected = ['01 02', '03 010f 01 02 07 06 ac02 ab02 01 ad02 07 00 02abcd', '06 0081 01 02 07'];
  assert.equal(Buffer.from(encodeMessages([append, vote])).toString('hex'), expected.join('').replaceAll(' ', ''));
  const end: SnapshotPiece = { type: 'end', transfer: 5, sequence: 3, stateBytes: 600 };
  assert.equal(Buffer.from(encodeSnapshotPiece(end)).toString('hex'), '010205030f5599f1d804');
  const done: SnapshotAck = { transfer: 5, next: 4, status: 'done' };
  assert.equal(Buffer.from(encodeSnapshotAck(done)).toString('hex'), '01010504');
});

/** Runs a decoder on hostile bytes: it may give something or throw a `RaftError`, and nothing else. */
function survives(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
  try {
    decode(bytes);
  } catch (error) {
    assert.ok(error instanceof RaftError && error.code === 'corrupt', String(error));
  }
}

test('hostile bytes give a RaftError and nothing worse', () => {
  for (const decode of [decodeMessages, decodeSnapshotPiece, decodeSnapshotAck]) {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => survives(decode, bytes)),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) =>
        survives(decode, Buffer.concat([Uint8Array.of(1), bytes])),
      ),
    );
  }
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 3 }), fc.nat(), fc.nat(255), (messages, at, value) => {
      const bytes = encodeMessages(messages);
      bytes[at % bytes.length] = value;
      survives(decodeMessages, bytes);
      survives(decodeMessages, bytes.subarray(0, at % bytes.length));
    }),
  );
});

test('a count that the bytes cannot hold is refused before anything is made for it', () => {
  assert.throws(() => decodeMessages(Buffer.from('01ffffffff0f', 'hex')), /4294967295 messages in 0 bytes/);
});

test('a type that never leaves a node, an unknown field and a gap between entries are refused', () => {
  assert.throws(
    () => decodeMessages(Buffer.from('0101000000' + '0102', 'hex')),
    /type 0 .* is no message between nodes/,
  );
  assert.throws(() => decodeMessages(Buffer.from('010103ffff0102', 'hex')), /unknown fields/);
  const entriesWithGap = [1, 3].map((index) => ({ index, term: 1, type: EntryType.normal, data: new Uint8Array(0) }));
  const gap = makeMessage(MessageType.append, 2, { from: 1, term: 1, entries: entriesWithGap });
  assert.throws(() => decodeMessages(encodeMessages([gap])), /entry 3 after 1/);
});

test('indexes up to 2^53-1 are carried, and larger ones refused (pitfall 32)', () => {
  const heartbeat = makeMessage(MessageType.heartbeat, 2, { from: 1, commit: Number.MAX_SAFE_INTEGER });
  assert.equal(decodeMessages(encodeMessages([heartbeat]))[0]!.commit, Number.MAX_SAFE_INTEGER);
  assert.throws(() => encodeMessages([makeMessage(MessageType.heartbeat, 2, { from: 1, commit: 2 ** 53 })]), /2\^53/);
  // 2^53 itself, and a varint of nine bytes.
  const decode = (commit: string) => () => decodeMessages(Buffer.from(`01010800080102${commit}`, 'hex'));
  assert.equal(decode('ffffffffffffff0f')()[0]!.commit, Number.MAX_SAFE_INTEGER);
  assert.throws(decode('8080808080808010'), /2\^53 or more/);
  assert.throws(decode('808080808080808001'), /longer than 8 bytes/);
});
