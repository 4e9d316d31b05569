import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger, utf8 } from '@dcache/base';
import { HandClock } from '@dcache/testing';
import { SlowLog } from './slow-log.js';

const get = { protocol: 'http', verb: 'get' };

function slowLog(thresholdMs: number): { log: SlowLog; clock: HandClock; lines: Record<string, unknown>[] } {
  const clock = new HandClock();
  const lines: Record<string, unknown>[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void lines.push({ ...fields }) };
  return { log: new SlowLog(thresholdMs, clock, logger), clock, lines };
}

test('a request at the threshold gets a line with its key, and one below it none', () => {
  const { log, lines } = slowLog(100);
  log.note(get, 99.9, utf8('a'));
  log.note(get, 100, utf8('b'), 'busy');
  assert.deepEqual(lines, [{ protocol: 'http', verb: 'get', key: 'b', ms: 100, error: 'busy' }]);
});

test('a second has ten lines; the rest are counted and told with the next line', () => {
  const { log, lines, clock } = slowLog(100);
  for (let i = 0; i < 25; i++) log.note(get, 200, utf8('k'));
  assert.equal(lines.length, 10);
  clock.pass(1_000);
  log.note(get, 200, utf8('k'));
  assert.equal(lines.length, 11);
  assert.equal(lines[10]?.['unsaid'], 15);
  clock.pass(1_000);
  log.note(get, 200, utf8('k'));
  assert.equal(lines[11]?.['unsaid'], undefined);
});

test('the twenty slowest of the last ten minutes are remembered, and the rest need not be told', () => {
  const { log, clock } = slowLog(0);
  assert.equal(log.floorMs, 0);
  for (let ms = 1; ms <= 100; ms++) log.note(get, ms, utf8(`k${ms}`));
  assert.deepEqual(
    log.slowest().map(({ ms }) => ms),
    Array.from({ length: 20 }, (_, i) => 100 - i),
  );
  assert.equal(log.floorMs, 81);
  clock.pass(10 * 60_000 + 1);
  assert.deepEqual(log.slowest(), []);
  assert.equal(log.floorMs, 0);
});

test('a long or binary key is shown short and printable', () => {
  const { log } = slowLog(0);
  log.note(get, 3, utf8('x'.repeat(1_000)));
  log.note(get, 2, new Uint8Array([0x61, 0x0a, 0x1b, 0xff]));
  assert.deepEqual(
    log.slowest().map(({ key }) => key),
    [`${'x'.repeat(64)}…`, 'a\\u{a}\\u{1b}\\u{fffd}'],
  );
});
