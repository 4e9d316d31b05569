import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http2';
import { test } from 'node:test';
import { HandClock, until } from '@dcache/testing';
import { both, echo, gather, http2, message, raw, start } from './server.test.helper.js';

test('a call whose time is over is answered DEADLINE_EXCEEDED, and counts until its handler is done', async () => {
  const clock = new HandClock();
  const { port, held } = await start({ clock, maxCalls: 1 });
  const session = http2(port);
  const answered = raw(session, { ':path': '/test.Echo/Hold', 'grpc-timeout': '500m' }, message(Buffer.from('x')));
  await until('the call is there', () => held.length === 1);
  const { call, answer } = held[0]!;
  assert.equal(call.deadlineMs, clock.monotonicMs() + 500);
  clock.pass(499);
  assert.equal(call.cancelled, false);
  clock.pass(1);
  const { response, body } = await answered;
  assert.deepEqual([response['grpc-status'], body.length], ['4', 0]);
  assert.match(String(response['grpc-message']), /time that the client gave the call .* may still be done/);
  assert.equal(call.cancelled, true);
  await assert.rejects(raw(session, { ':path': echo.path }, message(Buffer.from('y'))), /REFUSED_STREAM/);
  answer(null, Buffer.from('too late'));
  const next = await raw(session, { ':path': echo.path }, message(Buffer.from('y')));
  assert.deepEqual([next.trailers['grpc-status'], next.body.subarray(5).toString()], ['0', 'y']);
});

test('a handler that gives up at the same moment as the server is heard', async () => {
  const clock = new HandClock();
  const { port, held } = await start({ clock });
  const session = http2(port);
  const answered = raw(session, { ':path': '/test.Echo/Hold', 'grpc-timeout': '500m' }, message(Buffer.from('x')));
  await until('the call is there', () => held.length === 1);
  // Its timer is the later of the two, and its answer comes a promise after it.
  clock.after(500, () => void Promise.resolve().then(() => held[0]!.answer({ code: 4, details: 'no leader' })));
  clock.pass(500);
  const { response } = await answered;
  assert.deepEqual([response['grpc-status'], response['grpc-message']], ['4', 'no leader']);
});

test('a call that is answered in its time, or has none, is left alone, and leaves no timer', async () => {
  const clock = new HandClock();
  const { port, held, server } = await start({ clock });
  const session = http2(port);
  const idle = clock.pendingTimers;
  for (const timeout of ['1S', '2S']) {
    const quick = await raw(session, { ':path': echo.path, 'grpc-timeout': timeout }, message(Buffer.from('x')));
    assert.equal(quick.trailers['grpc-status'], '0');
  }
  clock.pass(1_000);
  assert.equal(clock.pendingTimers, idle, 'nothing is left that a timer would wait for');
  const endless = raw(session, { ':path': '/test.Echo/Hold' }, message(Buffer.from('x')));
  await until('the call is there', () => held.length === 1);
  assert.equal(held[0]!.call.deadlineMs, Number.POSITIVE_INFINITY);
  clock.pass(5_000);
  assert.equal(held[0]!.call.cancelled, false);
  held[0]!.answer(null, Buffer.from('done'));
  assert.equal((await endless).body.subarray(5).toString(), 'done');
  const gone = raw(session, { ':path': '/test.Echo/Hold', 'grpc-timeout': '1H' }, message(Buffer.from('x')));
  await until('the second call is there', () => held.length === 2);
  const timers = clock.pendingTimers;
  session.destroy();
  // A client that is gone hears nothing, however it ends.
  await gone.catch(() => undefined);
  await until('the server let it go', () => server.connections === 0);
  assert.equal(clock.pendingTimers, timers - 1);
});

test('a call whose message has not come in its time, and one that streams, end with their time', async () => {
  const clock = new HandClock();
  const { port, streams } = await start({ clock });
  const session = http2(port);
  const begin = (path: string, bytes: Buffer) => {
    const request = session.request({
      ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', 'grpc-timeout': '2S' },
    });
    request.on('error', () => undefined);
    request.write(bytes);
    request.resume();
    return new Promise<string>((resolve) => {
      for (const event of ['response', 'trailers'] as const)
        request.on(event, (got: IncomingHttpHeaders) => {
          if (got['grpc-status'] === undefined) return;
          const outcome = /nothing was done|may still be done/.exec(String(got['grpc-message']))?.[0];
          resolve(`${got['grpc-status']} ${outcome}`);
        });
    });
  };
  const part = message(Buffer.alloc(10)).subarray(0, 12);
  const statuses = [begin(echo.path, part), begin(gather.path, part), begin(both.path, message(Buffer.from('x')))];
  await until('both streams are there', () => streams.length === 2);
  await new Promise((resolve) => session.ping(resolve));
  clock.pass(2_000);
  const undone = '4 nothing was done';
  const unknown = '4 may still be done';
  assert.deepEqual(await Promise.all(statuses), [undone, unknown, unknown]);
  assert.ok(streams.every((call) => call.cancelled));
});

test('a time that is over already starts nothing, and one that is none is an error that says what is', async () => {
  const { port, held } = await start({ clock: new HandClock() });
  const session = http2(port);
  const status = async (timeout: string): Promise<IncomingHttpHeaders> => {
    let answered: IncomingHttpHeaders | undefined;
    raw(session, { ':path': '/test.Echo/Hold', 'grpc-timeout': timeout }, message(Buffer.from('x'))).then(
      ({ response }) => {
        answered = response;
      },
      () => undefined,
    );
    await until('it is held or answered', () => answered !== undefined || held.length > 0);
    return answered ?? assert.fail(`with ${timeout} the handler began`);
  };
  const over = await status('0m');
  assert.equal(over['grpc-status'], '4');
  assert.match(String(over['grpc-message']), /nothing was done/);
  for (const timeout of ['5', '5s', '-1S', '123456789S', '1.5S', 'S']) {
    const got = await status(timeout);
    assert.equal(got['grpc-status'], '13', timeout);
    assert.match(
      decodeURIComponent(String(got['grpc-message'])),
      /grpc-timeout is ".*"; it takes 1 to 8 digits and H, M/,
    );
  }
  assert.equal(held.length, 0);
});
