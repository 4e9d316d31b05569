import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { frame, framesOf, hello, literal, postHeaders, u32 } from './connection.test.helper.js';
import { Connection, type ConnectionEvents, type ConnectionLimits } from './core/connection.js';
import { clientPreface, Flag, FrameType, Setting } from './core/frame.js';
import type { HeaderList } from './core/header-decoder.js';
import { ErrorCode } from './core/http2-error.js';
import type { Stream } from './core/stream.js';

const { data, headers, continuation, settings, windowUpdate, ping, resetStream, goAway, priority, pushPromise } =
  FrameType;
const endAll = Flag.endHeaders | Flag.endStream;

class Recorder implements ConnectionEvents<undefined> {
  readonly requests: { readonly stream: Stream<undefined>; readonly headers: HeaderList; readonly isEnd: boolean }[] =
    [];
  readonly bodies = new Map<number, Buffer[]>();
  readonly ended: number[] = [];
  readonly resets: [id: number, code: number][] = [];
  readonly drainedStreams: number[] = [];
  outputs = 0;

  headers(stream: Stream<undefined>, list: HeaderList, isEnd: boolean): void {
    this.requests.push({ stream, headers: list, isEnd });
  }

  data(stream: Stream<undefined>, bytes: Uint8Array, isEnd: boolean): void {
    this.bodies.set(stream.id, [...(this.bodies.get(stream.id) ?? []), Buffer.from(bytes)]);
    if (isEnd) this.ended.push(stream.id);
  }

  reset(stream: Stream<undefined>, code: number): void {
    this.resets.push([stream.id, code]);
  }

  drained(stream: Stream<undefined>): void {
    this.drainedStreams.push(stream.id);
  }

  output(): void {
    this.outputs++;
  }
}

function start(limits: Partial<ConnectionLimits> = {}, ...client: (readonly [number, number])[]) {
  const events = new Recorder();
  const connection = new Connection<undefined>(events, limits);
  connection.receive(hello(...client));
  connection.takeOutput();
  return { events, connection };
}

/** The error code of the GOAWAY that ended the connection; undefined where it goes on. */
function verdict(connection: Connection<undefined>): number | undefined {
  const last = framesOf(connection.takeOutput()).find(({ type }) => type === goAway);
  assert.equal(last !== undefined, connection.isClosed);
  return last?.payload.readUInt32BE(4);
}

test("the server greets with settings, acknowledges the client's, and answers a ping with its bytes", () => {
  const connection = new Connection<undefined>(new Recorder());
  connection.receive(Buffer.concat([hello(), frame(ping, 0, 0, Buffer.from('12345678'))]));
  const frames = framesOf(connection.takeOutput());
  assert.deepEqual(
    frames.map(({ type, flags }) => [type, flags]),
    [
      [settings, 0],
      [windowUpdate, 0],
      [settings, Flag.ack],
      [ping, Flag.ack],
    ],
  );
  assert.equal(frames[3]!.payload.toString(), '12345678');
});

test('a request is the same, however its bytes are cut', () => {
  const request = Buffer.concat([
    hello(),
    frame(headers, 0, 1, postHeaders.subarray(0, 5)),
    frame(continuation, 0, 1, postHeaders.subarray(5, 9)),
    frame(continuation, Flag.endHeaders, 1, postHeaders.subarray(9)),
    frame(data, Flag.padded, 1, Buffer.from([3, 104, 105, 0, 0, 0])),
    frame(data, 0, 1, Buffer.alloc(16_384, 120)),
    frame(data, Flag.endStream, 1),
  ]);
  const random = new SeededRandom(7);
  for (let round = 0; round < 200; round++) {
    const events = new Recorder();
    const connection = new Connection<undefined>(events);
    const most = round === 0 ? 1 : 1 + random.below(round * 100);
    for (let at = 0; at < request.length; ) {
      const length = 1 + random.below(most);
      connection.receive(Buffer.from(request.subarray(at, at + length)));
      at += length;
    }
    assert.deepEqual(events.requests[0]!.headers.slice(0, 6), [':method', 'POST', ':scheme', 'http', ':path', '/x']);
    assert.equal(Buffer.concat(events.bodies.get(1)!).toString(), `hi${'x'.repeat(16_384)}`);
    assert.deepEqual(events.ended, [1]);
    assert.ok(!connection.isClosed);
  }
});

test('each way to break the protocol ends the connection with the code of RFC 9113', () => {
  const post = frame(headers, Flag.endHeaders, 1, postHeaders);
  const cases: readonly (readonly [what: string, code: number, bytes: Buffer])[] = [
    ['a frame above the size', ErrorCode.frameSizeError, frame(data, 0, 1, Buffer.alloc(16_385))],
    ['DATA on no stream', ErrorCode.protocolError, frame(data, 0, 0)],
    ['DATA on a stream never opened', ErrorCode.protocolError, frame(data, 0, 1)],
    ['HEADERS on an even stream', ErrorCode.protocolError, frame(headers, Flag.endHeaders, 2, postHeaders)],
    ['HEADERS on no stream', ErrorCode.protocolError, frame(headers, Flag.endHeaders, 0, postHeaders)],
    [
      'padding longer than DATA',
      ErrorCode.protocolError,
      Buffer.concat([post, frame(data, Flag.padded, 1, Buffer.from([9, 1]))]),
    ],
    ['padded DATA without a length', ErrorCode.protocolError, Buffer.concat([post, frame(data, Flag.padded, 1)])],
    [
      'padding longer than HEADERS',
      ErrorCode.protocolError,
      frame(headers, Flag.endHeaders | Flag.padded, 1, Buffer.from([200, 0x82])),
    ],
    ['padded HEADERS without a length', ErrorCode.protocolError, frame(headers, Flag.endHeaders | Flag.padded, 1)],
    [
      'HEADERS too short for its priority',
      ErrorCode.protocolError,
      frame(headers, Flag.endHeaders | Flag.priority, 1, Buffer.alloc(4)),
    ],
    ['CONTINUATION without HEADERS', ErrorCode.protocolError, frame(continuation, Flag.endHeaders, 1)],
    [
      'a header block that another frame interrupts',
      ErrorCode.protocolError,
      Buffer.concat([frame(headers, 0, 1, postHeaders), frame(ping, 0, 0, Buffer.alloc(8))]),
    ],
    ['a broken header block', ErrorCode.compressionError, frame(headers, endAll, 1, Buffer.from([0x80]))],
    ['SETTINGS on a stream', ErrorCode.protocolError, frame(settings, 0, 1)],
    ['SETTINGS of five bytes', ErrorCode.frameSizeError, frame(settings, 0, 0, Buffer.alloc(5))],
    ['an acknowledgement with content', ErrorCode.frameSizeError, frame(settings, Flag.ack, 0, Buffer.alloc(6))],
    ['ENABLE_PUSH 2', ErrorCode.protocolError, hello([Setting.enablePush, 2]).subarray(clientPreface.length)],
    [
      'a window above 2^31 - 1',
      ErrorCode.flowControlError,
      hello([Setting.initialWindowSize, 2 ** 31]).subarray(clientPreface.length),
    ],
    ['MAX_FRAME_SIZE 100', ErrorCode.protocolError, hello([Setting.maxFrameSize, 100]).subarray(clientPreface.length)],
    ['WINDOW_UPDATE of 0', ErrorCode.protocolError, frame(windowUpdate, 0, 0, u32(0))],
    ['WINDOW_UPDATE of three bytes', ErrorCode.frameSizeError, frame(windowUpdate, 0, 0, Buffer.alloc(3))],
    ['WINDOW_UPDATE on a stream never opened', ErrorCode.protocolError, frame(windowUpdate, 0, 5, u32(1))],
    ['too much window', ErrorCode.flowControlError, frame(windowUpdate, 0, 0, u32(2 ** 31 - 1))],
    ['PING on a stream', ErrorCode.protocolError, frame(ping, 0, 1, Buffer.alloc(8))],
    ['PING of seven bytes', ErrorCode.frameSizeError, frame(ping, 0, 0, Buffer.alloc(7))],
    ['RST_STREAM on a stream never opened', ErrorCode.protocolError, frame(resetStream, 0, 1, u32(8))],
    [
      'RST_STREAM of three bytes',
      ErrorCode.frameSizeError,
      Buffer.concat([post, frame(resetStream, 0, 1, Buffer.alloc(3))]),
    ],
    ['PRIORITY of four bytes', ErrorCode.frameSizeError, frame(priority, 0, 1, Buffer.alloc(4))],
    ['PRIORITY on no stream', ErrorCode.protocolError, frame(priority, 0, 0, Buffer.alloc(5))],
    ['GOAWAY on a stream', ErrorCode.protocolError, frame(goAway, 0, 1, Buffer.alloc(8))],
    ['GOAWAY of seven bytes', ErrorCode.frameSizeError, frame(goAway, 0, 0, Buffer.alloc(7))],
    ['PUSH_PROMISE', ErrorCode.protocolError, frame(pushPromise, Flag.endHeaders, 1, u32(2))],
  ];
  for (const [what, code, bytes] of cases) {
    const { connection } = start();
    connection.receive(bytes);
    assert.equal(verdict(connection), code, what);
    connection.receive(post);
    assert.equal(connection.size, 0, 'nothing is read any more');
  }
});

test('what does not begin as HTTP/2, or not with SETTINGS, is refused', () => {
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.concat([clientPreface, frame(ping, 0, 0, Buffer.alloc(8))]),
  ]) {
    const connection = new Connection<undefined>(new Recorder());
    connection.receive(bytes);
    assert.equal(verdict(connection), ErrorCode.protocolError);
  }
});

test('what breaks one stream resets that one and leaves the others', () => {
  const cases: readonly (readonly [what: string, code: number, frames: Buffer[]])[] = [
    ['data after the end', ErrorCode.streamClosed, [frame(headers, endAll, 1, postHeaders), frame(data, 0, 1)]],
    [
      'trailers after the end',
      ErrorCode.streamClosed,
      [frame(headers, endAll, 1, postHeaders), frame(headers, endAll, 1, postHeaders)],
    ],
    [
      'trailers that do not end',
      ErrorCode.protocolError,
      [frame(headers, Flag.endHeaders, 1, postHeaders), frame(headers, Flag.endHeaders, 1, postHeaders)],
    ],
    [
      'a window update of 0',
      ErrorCode.protocolError,
      [frame(headers, endAll, 1, postHeaders), frame(windowUpdate, 0, 1, u32(0))],
    ],
    [
      'too much window',
      ErrorCode.flowControlError,
      [frame(headers, endAll, 1, postHeaders), frame(windowUpdate, 0, 1, u32(2 ** 31 - 1))],
    ],
  ];
  for (const [what, code, frames] of cases) {
    const { connection, events } = start();
    connection.receive(Buffer.concat([...frames, frame(headers, endAll, 3, postHeaders)]));
    assert.deepEqual(events.resets, [[1, code]], what);
    const reset = framesOf(connection.takeOutput()).find(({ type }) => type === resetStream);
    assert.deepEqual([reset?.stream, reset?.payload.readUInt32BE(0)], [1, code], what);
    assert.equal(connection.isClosed, false, what);
    assert.equal(events.requests.length, 2, what);
  }
});

test('frames for streams that are over, unknown frames and unknown settings are let pass', () => {
  const { connection, events } = start();
  connection.receive(frame(headers, endAll, 1, postHeaders));
  connection.respond(events.requests[0]!.stream, 200, [], [], true);
  connection.receive(
    Buffer.concat([
      frame(data, 0, 1, Buffer.alloc(10)),
      frame(headers, endAll, 1, postHeaders),
      frame(windowUpdate, 0, 1, u32(5)),
      frame(resetStream, 0, 1, u32(8)),
      frame(priority, 0, 9, Buffer.alloc(5)),
      frame(99, 255, 77, Buffer.alloc(5)),
      hello([4_242, 7]).subarray(clientPreface.length),
      frame(goAway, 0, 0, Buffer.alloc(8)),
      frame(headers, endAll, 3, postHeaders),
    ]),
  );
  assert.equal(connection.isClosed, false);
  assert.deepEqual(
    events.requests.map(({ stream }) => stream.id),
    [1, 3],
  );
});

test('streams above the limit are refused, and there is room again once one has ended', () => {
  const { connection, events } = start({ maxStreams: 2 });
  for (const id of [1, 3, 5]) connection.receive(frame(headers, endAll, id, postHeaders));
  const refused = framesOf(connection.takeOutput());
  assert.deepEqual(
    refused.map(({ type, stream, payload }) => [type, stream, payload.readUInt32BE(0)]),
    [[resetStream, 5, ErrorCode.refusedStream]],
  );
  connection.receive(frame(resetStream, 0, 1, u32(ErrorCode.cancel)));
  connection.receive(frame(headers, endAll, 7, postHeaders));
  assert.equal(events.requests.length, 3);
});

test('a header block without end is cut off, in bytes and in frames', () => {
  for (const part of [Buffer.alloc(10_000), Buffer.alloc(0)]) {
    const { connection } = start();
    connection.receive(frame(headers, 0, 1, postHeaders));
    for (let i = 0; i < 70 && !connection.isClosed; i++) connection.receive(frame(continuation, 0, 1, part));
    assert.equal(verdict(connection), ErrorCode.enhanceYourCalm);
  }
});

test('who sends more than a window allows is stopped; what was consumed opens it again', () => {
  const limits = { streamWindow: 40_000, connectionWindow: 100_000 };
  const send = (consumed: boolean): Connection<undefined> => {
    const { connection, events } = start(limits);
    connection.receive(frame(headers, Flag.endHeaders, 1, postHeaders));
    for (let i = 0; i < 6; i++) {
      connection.receive(frame(data, 0, 1, Buffer.alloc(16_000)));
      if (consumed) connection.consume(events.requests[0]!.stream, 16_000);
    }
    assert.equal(events.resets.length, consumed ? 0 : 1);
    return connection;
  };
  const updates = framesOf(send(true).takeOutput()).filter(({ type }) => type === windowUpdate);
  const sum = (id: number): number =>
    updates.filter(({ stream }) => stream === id).reduce((total, { payload }) => total + payload.readUInt32BE(0), 0);
  assert.ok(sum(1) >= 60_000 && sum(0) >= 50_000);
  const reset = framesOf(send(false).takeOutput()).find(({ type }) => type === resetStream);
  assert.equal(reset?.payload.readUInt32BE(0), ErrorCode.flowControlError);
});

test("a response waits for the client's windows, in its order, and its trailers come last", () => {
  const { connection, events } = start({}, [Setting.initialWindowSize, 10]);
  connection.receive(frame(headers, endAll, 1, postHeaders));
  const { stream } = events.requests[0]!;
  connection.respond(stream, 200, [], [], false);
  assert.equal(connection.send(stream, Buffer.from('0123456789abc')), false);
  assert.equal(connection.send(stream, Buffer.from('def')), false);
  connection.end(stream, { fixed: [], others: ['grpc-status', '0'] });
  assert.equal(connection.waitingBytes, 6);
  const body = (): string =>
    framesOf(connection.takeOutput())
      .map(({ type, payload }) => (type === data ? payload.toString() : type === headers ? '|' : ''))
      .join('');
  assert.equal(body(), '|0123456789');
  connection.receive(frame(windowUpdate, 0, 1, u32(4)));
  assert.equal(body(), 'abcd');
  // A client may take window back: what is left is negative until it gives more.
  connection.receive(hello([Setting.initialWindowSize, 0]).subarray(clientPreface.length));
  connection.receive(frame(windowUpdate, 0, 1, u32(10)));
  assert.equal(body(), '');
  connection.receive(frame(windowUpdate, 0, 1, u32(2)));
  assert.equal(body(), 'ef|');
  assert.deepEqual([connection.size, connection.waitingBytes], [0, 0]);
});

test("a large response does not keep the others from the connection's window", () => {
  const { connection, events } = start({}, [Setting.initialWindowSize, 2 ** 30]);
  for (const id of [1, 3]) connection.receive(frame(headers, endAll, id, postHeaders));
  for (const { stream } of events.requests) connection.send(stream, Buffer.alloc(100_000));
  connection.takeOutput();
  const seen = new Set<number>();
  for (let i = 0; i < 4; i++) {
    connection.receive(frame(windowUpdate, 0, 0, u32(1_000)));
    for (const { type, stream } of framesOf(connection.takeOutput())) if (type === data) seen.add(stream);
  }
  assert.deepEqual([...seen].sort(), [1, 3]);
  connection.receive(frame(windowUpdate, 0, 0, u32(1_000_000)));
  assert.deepEqual(events.drainedStreams.sort(), [1, 3]);
});

test('an answer that does not wait for the end of its question ends both', () => {
  const { connection, events } = start();
  connection.receive(frame(headers, Flag.endHeaders, 1, postHeaders));
  connection.respond(events.requests[0]!.stream, 200, [], ['grpc-status', '3'], true);
  assert.deepEqual(
    framesOf(connection.takeOutput()).map(({ type, flags }) => [type, flags]),
    [
      [headers, endAll],
      [resetStream, 0],
    ],
  );
  connection.receive(frame(data, Flag.endStream, 1, Buffer.alloc(100)));
  assert.equal(connection.isClosed, false);
  assert.equal(events.bodies.size, 0);
});

test('after leave the streams that are open go on, and new ones are refused', () => {
  const { connection, events } = start();
  connection.receive(frame(headers, Flag.endHeaders, 1, postHeaders));
  connection.leave();
  connection.receive(
    Buffer.concat([frame(headers, endAll, 3, postHeaders), frame(data, Flag.endStream, 1, Buffer.from('x'))]),
  );
  assert.deepEqual(events.ended, [1]);
  assert.equal(events.requests.length, 1);
  connection.respond(events.requests[0]!.stream, 200, [], [], true);
  assert.deepEqual(
    framesOf(connection.takeOutput()).map(({ type, stream }) => [type, stream]),
    [
      [goAway, 0],
      [resetStream, 3],
      [headers, 1],
    ],
  );
});

test('header lists above the frame size go out in parts', () => {
  const { connection, events } = start();
  connection.receive(frame(headers, endAll, 1, postHeaders));
  connection.respond(events.requests[0]!.stream, 200, [], ['long', 'v'.repeat(40_000)], true);
  const frames = framesOf(connection.takeOutput());
  assert.deepEqual(
    frames.map(({ type, flags }) => [type, flags]),
    [
      [headers, Flag.endStream],
      [continuation, 0],
      [continuation, Flag.endHeaders],
    ],
  );
});

test('whatever bytes come, the connection neither throws nor holds more than its limits', () => {
  const limits = { maxStreams: 20 };
  for (let seed = 0; seed < 300; seed++) {
    const random = new SeededRandom(seed);
    const { connection, events } = start(limits);
    for (let i = 0; i < 60 && !connection.isClosed; i++) {
      const type = random.below(11);
      const stream = random.below(3) === 0 ? 0 : random.below(40);
      const payload =
        type === headers && random.below(2) === 0
          ? Buffer.concat([postHeaders, literal('n', String(random.below(10)))])
          : Buffer.from(
              Array.from({ length: [0, 4, 5, 6, 8, random.below(60)][random.below(6)]! }, () => random.below(256)),
            );
      const bytes = frame(type, random.below(2) === 0 ? endAll : random.below(256), stream, payload);
      if (random.below(10) === 0) bytes[random.below(bytes.length)] = random.below(256);
      connection.receive(bytes);
      for (const { stream: one } of events.requests.slice(-3)) {
        if (random.below(3) === 0) connection.send(one, Buffer.alloc(random.below(100)));
        if (random.below(5) === 0) connection.end(one, { fixed: [], others: ['grpc-status', '0'] });
      }
      assert.ok(connection.size <= limits.maxStreams);
      framesOf(connection.takeOutput());
    }
  }
});
