import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RaftError } from '../errors.js';
import { encodeFrame, FrameKind, FrameReader } from './frame.js';

function readAll(
  stream: Uint8Array,
  cuts: readonly number[],
  maxFrameBytes = 1 << 20,
): { kind: number; hex: string }[] {
  const frames: { kind: number; hex: string }[] = [];
  const reader = new FrameReader(maxFrameBytes, (kind, payload) => {
    frames.push({ kind, hex: Buffer.from(payload).toString('hex') });
  });
  const places = [0, ...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b), stream.length];
  for (let i = 1; i < places.length; i++) reader.push(stream.slice(places[i - 1], places[i]));
  assert.equal(reader.heldBytes, 0);
  return frames;
}

test('a frame is a big-endian length, a kind and a payload (golden bytes)', () => {
  assert.equal(Buffer.from(encodeFrame(FrameKind.ping, Buffer.from('hi'))).toString('hex'), '00000003046869');
  assert.deepEqual({ ...FrameKind }, { raft: 1, snapshot: 2, snapshotAck: 3, ping: 4, pong: 5, application: 64 });
});

test('the frames read do not depend on how the stream was cut', () => {
  const frame = fc.record({ kind: fc.integer({ min: 0, max: 255 }), payload: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(1000), { maxLength: 30 }), (frames, cuts) => {
      const stream = Buffer.concat(frames.map(({ kind, payload }) => encodeFrame(kind, payload)));
      const expected = frames.map(({ kind, payload }) => ({ kind, hex: Buffer.from(payload).toString('hex') }));
      assert.deepEqual(readAll(stream, cuts), expected);
    }),
  );
});

test('a length above the limit or of zero is refused before anything is kept for it', () => {
  const reader = new FrameReader(100, () => assert.fail('no frame is whole'));
  assert.throws(
    () => reader.push(Buffer.from('ffffffff01', 'hex')),
    (error) =>
      error instanceof RaftError && error.code === 'too-large' && /4294967295 bytes; at most 100/.test(error.message),
  );
  assert.throws(
    () => new FrameReader(100, () => {}).push(new Uint8Array(4)),
    (error) => error instanceof RaftError && error.code === 'corrupt',
  );
  assert.equal(reader.heldBytes, 0);
});

test('a frame that comes byte by byte holds no more than its own bytes', () => {
  let got = 0;
  const reader = new FrameReader(1 << 20, (_, payload) => {
    got = payload.length;
  });
  const stream = encodeFrame(FrameKind.raft, new Uint8Array(5000));
  for (let i = 0; i < stream.length; i++) {
    reader.push(stream.slice(i, i + 1));
    assert.ok(reader.heldBytes <= i + 1);
  }
  assert.equal(got, 5000);
  assert.equal(reader.heldBytes, 0);
});
