import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock, turn } from '@dcache/testing';
import { pino } from 'pino';
import { LogOutput } from './log-output.js';
import type { LogTarget } from './log-target.js';

/** A reader that takes as many bytes as a test gives it room for. */
class Reader implements LogTarget {
  room = Number.POSITIVE_INFINITY;
  text = '';
  writes = 0;

  writeSync(bytes: Uint8Array): number {
    this.writes++;
    const taken = bytes.subarray(0, Math.min(bytes.length, this.room));
    this.room -= taken.length;
    this.text += Buffer.from(taken).toString('latin1');
    return taken.length;
  }
}

function start(maxBytes = 1_000) {
  const clock = new HandClock();
  const reader = new Reader();
  const slept: number[] = [];
  const sleep = (ms: number): void => {
    slept.push(ms);
    clock.pass(ms);
  };
  return { clock, reader, slept, output: new LogOutput({ target: reader, clock, sleep, maxBytes }) };
}

const line = (i: number): string => `{"line":"${String(i).padStart(3, '0')}"}\n`;

test('the lines of a turn go out as one, in order and whole, however few bytes are taken at a time', async () => {
  const { clock, reader, output } = start();
  for (let i = 0; i < 10; i++) output.write(line(i));
  assert.equal(reader.writes, 0);
  await turn();
  assert.equal(reader.writes, 1);
  reader.room = 0;
  for (let i = 10; i < 20; i++) output.write(line(i));
  for (let i = 0; i < 200; i++) {
    reader.room += 1;
    await turn();
    clock.pass(50);
  }
  await turn();
  assert.equal(reader.text, Array.from({ length: 20 }, (_, i) => line(i)).join(''));
  assert.equal(output.dropped, 0);
  assert.equal(clock.pendingTimers, 0, 'nothing is tried where nothing waits');
});

test('what comes while a reader stands still is dropped past the bound, counted, and told where it is missing', async () => {
  const { clock, reader, output } = start(150);
  reader.room = 0;
  for (let i = 0; i < 50; i++) {
    output.write(line(i));
    await turn();
  }
  assert.equal(output.dropped, 40, 'ten of 15 bytes fill it');
  assert.equal(reader.text, '');
  reader.room = Number.POSITIVE_INFINITY;
  clock.pass(50);
  await turn();
  await turn();
  assert.match(reader.text, /"dropped":40,[^\n]*\n$/, 'it does not wait for the next line');
  output.write(line(50));
  await turn();
  const said = reader.text
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as { line?: string; dropped?: number });
  assert.deepEqual(
    said.map((one) => one.line ?? `${one.dropped} dropped`),
    [...Array.from({ length: 10 }, (_, i) => `00${i}`), '40 dropped', '050'],
  );
});

test('a reader that stands still holds the end up for a second at most, and only once', () => {
  const { reader, slept, output } = start();
  reader.room = 0;
  output.write(line(1));
  const total = (): number => slept.reduce((sum, ms) => sum + ms, 0);
  output.flushSync();
  assert.ok(total() >= 1_000 && total() < 1_100, `${total()}`);
  output.flushSync();
  assert.ok(total() < 1_100, `${total()}`);
});

test('a slow reader gets the last words, of a full log too, behind all that waits', () => {
  const { reader, output } = start(130);
  reader.room = 5;
  const logger = pino({ base: null, timestamp: false }, output);
  for (let i = 0; i < 50; i++) logger.info(`${i}`);
  const { writeSync } = reader;
  reader.writeSync = (bytes) => {
    // It takes a little each time that it is asked again.
    const written = writeSync.call(reader, bytes);
    reader.room = written === 0 ? 20 : 0;
    return written;
  };
  logger.fatal('the disk failed');
  const said = reader.text
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as { level: number; msg: string });
  assert.deepEqual(
    said.slice(-2).map(({ level }) => level),
    [40, 60],
    reader.text,
  );
  assert.equal(said.at(-1)!.msg, 'the disk failed');
  assert.equal(said[0]!.msg, '0');
});

test('what another thread has begun is not written twice at the end', async () => {
  const { reader, slept, clock } = start();
  let done: ((written: number) => void) | undefined;
  const target: LogTarget = {
    writeSync: (bytes) => reader.writeSync(bytes),
    writeInThread: (bytes, tell) => {
      reader.writeSync(bytes);
      done = tell;
    },
  };
  const output = new LogOutput({ target, clock, sleep: (ms) => void slept.push(ms) });
  output.write(line(1));
  await turn();
  output.write(line(2));
  output.flushSync();
  assert.equal(slept.length, 1, 'it is given time');
  done!(line(1).length);
  output.write(line(3));
  output.flushSync();
  assert.equal(reader.text, line(1) + line(2) + line(3));
});
