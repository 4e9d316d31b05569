import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTimeout } from './core/timeout.js';

test('a timeout is up to eight digits and one of six units (gRPC over HTTP/2, "Timeout")', () => {
  const good: [value: string, ms: number][] = [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3_000],
    ['500m', 500],
    ['250000u', 250],
    ['5000000n', 5],
    ['99999999H', 99_999_999 * 3_600_000],
    ['00000001S', 1_000],
    ['0S', 0],
  ];
  for (const [value, ms] of good) assert.equal(parseTimeout(value), ms, value);
  assert.ok(parseTimeout('1n')! > 0, 'the shortest is not none');
});

test('what is no timeout is undefined', () => {
  for (const value of [
    '',
    '5',
    'S',
    '-1S',
    '+1S',
    '1.5S',
    '1 S',
    ' 1S',
    '1S ',
    '5s',
    '5h',
    '5ms',
    '123456789S',
    '1S, 2S',
    '0x1S',
  ])
    assert.equal(parseTimeout(value), undefined, value);
});
