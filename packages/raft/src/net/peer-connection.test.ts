import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { HandClock, turn, until } from '@dcache/testing';
import { codeOf } from '../cluster.test.helper.js';
import { encodeMessages } from '../codec.js';
import { EntryType, type Message, MessageType, makeMessage } from '../core/message.js';
import { RaftError } from '../errors.js';
import { encodeSnapshotPiece, type SnapshotAck, type SnapshotPiece } from '../snapshot/snapshot-frame.js';
import { encodeFrame, FrameKind } from './frame.js';
import { PeerConnection, type PeerConnectionHandler, type PeerConnectionOptions } from './peer-connection.js';

/** Notes all that comes. */
class Heard implements PeerConnectionHandler {
  batches: (readonly Message[])[] = [];
  pieces: SnapshotPiece[] = [];
  acks: SnapshotAck[] = [];
  frames: { kind: number; payload: Uint8Array }[] = [];
  dropped = 0;
  closed: (Error | undefined)[] = [];
  onMessages(messages: readonly Message[]): void {
    this.batches.push(messages);
  }
  onSnapshotPiece(piece: SnapshotPiece): void {
    this.pieces.push(piece);
  }
  onSnapshotAck(ack: SnapshotAck): void {
    this.acks.push(ack);
  }
  onApplicationFrame(kind: number, payload: Uint8Array): void {
    this.frames.push({ kind, payload: new Uint8Array(payload) });
  }
  onDropped(): void {
    this.dropped++;
  }
  onClose(error: Error | undefined): void {
    this.closed.push(error);
  }
}

/** Two ends of a pipe in memory; `limit` cuts what is written into chunks of that many bytes. */
function pipe(chunkBytes = 1 << 20): [Duplex, Duplex] {
  const make = (other: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        for (let at = 0; at < chunk.length; at += chunkBytes) other().push(chunk.subarray(at, at + chunkBytes));
        setImmediate(done);
      },
      final(done) {
        other().push(null);
        done();
      },
    });
  const a: Duplex = make(() => b);
  const b: Duplex = make(() => a);
  return [a, b];
}

function connected(
  options: PeerConnectionOptions = {},
  streams = pipe(),
): { a: PeerConnection; b: PeerConnection; heardA: Heard; heardB: Heard } {
  const heardA = new Heard();
  const heardB = new Heard();
  const a = new PeerConnection(streams[0], heardA, options);
  const b = new PeerConnection(streams[1], heardB, options);
  return { a, b, heardA, heardB };
}

function heartbeat(term: number): Message {
  return makeMessage(MessageType.heartbeat, 2, { from: 1, term });
}

function append(bytes: number): Message {
  const entries = [{ index: 1, term: 1, type: EntryType.normal, data: new Uint8Array(bytes) }];
  return makeMessage(MessageType.append, 2, { from: 1, term: 1, entries });
}

test('all messages of one turn leave in one frame, in order', async () => {
  const { a, b, heardB } = connected();
  for (let term = 1; term <= 50; term++) a.send([heartbeat(term)]);
  await until('the messages arrive', () => heardB.batches.length > 0);
  assert.deepEqual(
    heardB.batches[0]!.map(({ term }) => term),
    Array.from({ length: 50 }, (_, i) => i + 1),
  );
  assert.equal(a.stats().sentFrames, 1);
  a.close();
  b.close();
});

test('everything arrives over a real socket, however it is cut: messages, pieces, acks, application frames', async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const client = connect(port, '127.0.0.1');
  await until('the connection is accepted', () => sockets.length === 1);
  const { a, b, heardA, heardB } = connected({}, [client, sockets[0]!]);
  a.send([append(300_000), heartbeat(2)]);
  const piece: SnapshotPiece = { type: 'data', transfer: 3, sequence: 1, data: new Uint8Array(200_000).fill(7) };
  assert.equal(a.sendSnapshotPiece(piece), true);
  a.sendApplicationFrame(64, utf8('command'));
  b.sendApplicationFrame(255, utf8('answer'));
  b.sendSnapshotAck({ transfer: 3, next: 2, status: 'progress' });
  await until(
    'frame, messages and acknowledgement arrive',
    () => heardB.frames.length > 0 && heardB.batches.length > 0 && heardA.acks.length > 0,
  );
  assert.equal(heardB.batches[0]![0]!.entries[0]!.data.length, 300_000);
  assert.equal(Buffer.compare(encodeSnapshotPiece(heardB.pieces[0]!), encodeSnapshotPiece(piece)), 0);
  assert.deepEqual(
    heardB.frames.map(({ kind, payload }) => [kind, Buffer.from(payload).toString()]),
    [[64, 'command']],
  );
  assert.deepEqual(
    heardA.frames.map(({ kind }) => kind),
    [255],
  );
  a.close();
  await until('both sides are closed', () => heardA.closed.length === 1 && heardB.closed.length === 1);
  assert.deepEqual([...heardA.closed, ...heardB.closed], [undefined, undefined]);
  server.close();
});

test('frames cut into single bytes are put together again', async () => {
  const { a, b, heardB } = connected({}, pipe(1));
  a.send([heartbeat(1), append(500)]);
  a.sendApplicationFrame(70, utf8('x'.repeat(300)));
  await until('messages and frame arrive', () => heardB.frames.length === 1 && heardB.batches.length === 1);
  assert.equal(heardB.batches[0]!.length, 2);
  a.close();
  b.close();
});

/** A stream whose other end takes nothing. */
function blocked(): Duplex {
  return new Duplex({ read() {}, write() {}, highWaterMark: 1 });
}

test('past the bound messages are dropped and counted, and application frames are refused as busy', async () => {
  const heard = new Heard();
  const connection = new PeerConnection(blocked(), heard, { maxOutboundBytes: 10_000 });
  for (let i = 0; i < 100; i++) {
    connection.send([append(1000)]);
    await new Promise((resolve) => process.nextTick(resolve));
    assert.ok(connection.outboundBytes <= 11_000);
  }
  assert.ok(heard.dropped > 80);
  assert.equal(connection.stats().droppedMessages, heard.dropped);
  const refused = (async () => connection.sendApplicationFrame(64, new Uint8Array(5000)))();
  assert.equal(await codeOf(refused), 'busy');
  assert.equal(
    connection.sendSnapshotPiece({ type: 'data', transfer: 1, sequence: 1, data: new Uint8Array(5000) }),
    false,
  );
  connection.destroy();
});

test('a peer that sends what is no frame is disconnected, with the reason', async () => {
  const hostile: [string, Uint8Array, RegExp][] = [
    ['corrupt', encodeFrame(FrameKind.raft, utf8('nonsense')), /bad batch of messages/],
    ['corrupt', encodeFrame(9, new Uint8Array(0)), /unknown kind 9/],
    ['too-large', Buffer.from('7fffffff01', 'hex'), /2147483647 bytes; at most/],
  ];
  for (const [code, bytes, why] of hostile) {
    const [near, far] = pipe();
    const heard = new Heard();
    const connection = new PeerConnection(near, heard);
    far.write(bytes);
    await until('the connection is closed', () => heard.closed.length === 1);
    const error = heard.closed[0];
    assert.ok(error instanceof RaftError && error.code === code, String(error));
    assert.match(error.message, why);
    assert.equal(connection.isOpen, false);
  }
});

test('a half-open connection is noticed: pings go out, and without any answer it ends (pitfall 36)', async () => {
  const clock = new HandClock();
  const [near] = pipe();
  const heard = new Heard();
  new PeerConnection(near, heard, { clock, pingIntervalMs: 1000, silenceTimeoutMs: 3500 });
  clock.pass(3000);
  assert.equal(heard.closed.length, 0);
  clock.pass(1000);
  await until('the connection is closed', () => heard.closed.length === 1);
  assert.match(String(heard.closed[0]), /said nothing for 4000 ms/);
});

test('a connection whose peer answers pings lives on without any other traffic', async () => {
  const clock = new HandClock();
  const { a, b, heardA, heardB } = connected({ clock, pingIntervalMs: 1000, silenceTimeoutMs: 3500 });
  for (let second = 0; second < 20; second++) {
    clock.pass(1000);
    await turn(5);
  }
  assert.deepEqual([heardA.closed.length, heardB.closed.length], [0, 0]);
  a.destroy();
  b.destroy();
});

test('a process that was stopped reads what came meanwhile before it judges its peer silent', async () => {
  const clock = new HandClock();
  const { a, b, heardA } = connected({ clock, pingIntervalMs: 1000, silenceTimeoutMs: 3500 });
  clock.pause(60_000);
  await turn(5);
  assert.equal(heardA.closed.length, 0);
  a.destroy();
  b.destroy();
});

test('an entry keeps its own frame alive and not the buffer of the socket (pitfall 34)', async () => {
  const [near, far] = pipe();
  const heard = new Heard();
  const connection = new PeerConnection(near, heard);
  const frame = encodeFrame(FrameKind.raft, encodeMessages([append(10)]));
  // One read of a socket brings a frame with an entry and much else.
  far.write(Buffer.concat([frame, encodeFrame(64, new Uint8Array(60_000))]));
  await until('the messages arrive', () => heard.batches.length === 1);
  const { data } = heard.batches[0]![0]!.entries[0]!;
  assert.ok(data.buffer.byteLength < 100, `${data.buffer.byteLength} bytes are kept for 10`);
  connection.destroy();
});
