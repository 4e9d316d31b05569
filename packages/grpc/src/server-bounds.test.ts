import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { turn, until } from '@dcache/testing';
import { frame, hello, literal, postHeaders, u32 } from './connection.test.helper.js';
import { FrameType, Setting } from './core/frame.js';
import { cleanups, client, echo, http2, isStuck, message, spread, start, unary } from './server.test.helper.js';

test('a client that reads slowly holds its stream up, and nothing piles up here', async () => {
  const { port, streams } = await start();
  const request = http2(port, { initialWindowSize: 1_000 }).request({
    ':method': 'POST',
    ':path': spread.path,
    'content-type': 'application/grpc',
  });
  request.pause();
  request.end(message(Buffer.concat([u32(10_000), u32(10_000)])));
  await once(request, 'response');
  const [call] = streams;
  assert.equal(call!.writableNeedDrain, true);
  assert.ok(call!.writableLength <= 16, 'sixteen messages wait, not ten thousand');
  let bytes = 0;
  request.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes > 200_000) request.close(8);
  });
  request.resume();
  await once(call!, 'cancelled');
  assert.ok(call!.cancelled);
});

test('messages that are promised and do not come are bounded on all connections together', async () => {
  const { port } = await start({ maxMessageBytes: 1_000_000, maxHeldBytes: 2_000_000 });
  const parts = Array.from({ length: 5 }, () => {
    const request = http2(port).request({ ':method': 'POST', ':path': echo.path, 'content-type': 'application/grpc' });
    request.write(message(Buffer.alloc(900_000)).subarray(0, 700_000));
    return request;
  });
  const refused = await Promise.race(parts.map(async (request) => (await once(request, 'response'))[0]['grpc-status']));
  assert.equal(refused, '8');
  for (const request of parts) request.close();
  const one = client(port);
  await assert.doesNotReject(unary(one, echo.path, Buffer.alloc(900_000)));
});

test('calls that their client gave up count until their handler is done, so that nobody starts them without end', async () => {
  const { port, held } = await start({ maxCalls: 10 });
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  const hold = Buffer.concat([
    postHeaders.subarray(0, 2),
    Buffer.from([0, 5]),
    Buffer.from(':path'),
    Buffer.from([15]),
    Buffer.from('/test.Echo/Hold'),
    Buffer.from([0, 12]),
    Buffer.from('content-type'),
    Buffer.from([16]),
    Buffer.from('application/grpc'),
  ]);
  socket.write(hello());
  for (let id = 1; id < 1_000; id += 2)
    socket.write(
      Buffer.concat([
        frame(FrameType.headers, 4, id, hold),
        frame(FrameType.data, 1, id, message(Buffer.alloc(0))),
        frame(FrameType.resetStream, 0, id, u32(8)),
      ]),
    );
  socket.write(frame(FrameType.ping, 0, 0, Buffer.from('all-read')));
  let got = Buffer.alloc(0);
  while (!got.includes('all-read')) got = Buffer.concat([got, (await once(socket, 'data'))[0] as Buffer]);
  assert.equal(held.length, 10);
  assert.ok(held.every(({ call }) => call.cancelled));
  for (const { answer } of held.splice(0)) answer(null, Buffer.alloc(0));
  socket.write(
    Buffer.concat([
      frame(FrameType.headers, 4, 1_001, hold),
      frame(FrameType.data, 1, 1_001, message(Buffer.alloc(0))),
    ]),
  );
  await until('the call is there', () => held.length > 0);
});

test('a client that takes no answers gets no more of them, and others do not notice', async () => {
  const { port, server, sockets } = await start({ maxMessageBytes: 5_000_000 });
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  // A window for all of it, and nobody who reads.
  const path = Buffer.concat([
    postHeaders.subarray(0, 2),
    Buffer.from([0, 5]),
    Buffer.from(':path'),
    Buffer.from([16]),
    Buffer.from('/test.Echo/Unary'),
    Buffer.from([0, 12]),
    Buffer.from('content-type'),
    Buffer.from([16]),
    Buffer.from('application/grpc'),
  ]);
  socket.write(
    Buffer.concat([hello([Setting.initialWindowSize, 2 ** 30]), frame(FrameType.windowUpdate, 0, 0, u32(2 ** 30))]),
  );
  await until('it is connected', () => sockets.size === 1);
  socket.pause();
  const body = message(Buffer.alloc(1_000_000));
  const before = process.memoryUsage().arrayBuffers;
  let sent = 0;
  for (let id = 1; id < 400; id += 2) {
    const frames = [frame(FrameType.headers, 4, id, path)];
    for (let at = 0; at < body.length; at += 16_384)
      frames.push(frame(FrameType.data, at + 16_384 >= body.length ? 1 : 0, id, body.subarray(at, at + 16_384)));
    socket.write(Buffer.concat(frames));
    sent++;
    if (await isStuck(socket, [...sockets][0]!)) break;
  }
  assert.ok(sent < 200, 'the server stopped reading');
  assert.ok([...sockets][0]!.isPaused());
  assert.ok(process.memoryUsage().arrayBuffers - before < 200_000_000);
  const one = client(port);
  assert.equal(String(await unary(one, echo.path, Buffer.from('still here'))), 'still here');
  assert.equal(server.connections, 2);
});

test('answers that all come at once wait up to a bound; the calls beyond it are told so', async () => {
  const { port, held } = await start();
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  const hold = Buffer.concat([
    postHeaders.subarray(0, 2),
    literal(':path', '/test.Echo/Hold'),
    literal('content-type', 'application/grpc'),
  ]);
  socket.pause();
  socket.write(
    Buffer.concat([hello([Setting.initialWindowSize, 2 ** 30]), frame(FrameType.windowUpdate, 0, 0, u32(2 ** 30))]),
  );
  for (let id = 1; id < 160; id += 2)
    socket.write(
      Buffer.concat([frame(FrameType.headers, 4, id, hold), frame(FrameType.data, 1, id, message(Buffer.alloc(0)))]),
    );
  await until('all eighty calls are there', () => held.length === 80);
  const large = Buffer.alloc(1_000_000);
  for (const { answer } of held) {
    answer(null, large);
    await turn(1);
  }
  // What comes before the answer to this is all there is.
  socket.write(frame(FrameType.ping, 0, 0, Buffer.from('all-read')));
  const parts: Buffer[] = [];
  socket.on('data', (part: Buffer) => parts.push(part));
  socket.resume();
  await until(
    'the answer to the ping comes',
    () => parts.length > 0 && Buffer.concat(parts.slice(-2)).includes('all-read'),
  );
  const all = Buffer.concat(parts);
  assert.ok(all.length > 20_000_000 && all.length < 45_000_000, `${all.length} bytes were kept for who does not read`);
  assert.ok(all.includes('does not take the answers'));
});
