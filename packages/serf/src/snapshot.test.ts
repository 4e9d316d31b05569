import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replay } from './snapshot.js';

const lines = (...list: string[]): string => list.map((line) => `${line}\n`).join('');

test('the lines of an agent are read', () => {
  const { alive, clocks } = replay(
    lines(
      '# a comment',
      'alive: alpha 127.0.0.1:7946',
      'alive: name with blanks [::1]:7946',
      'alive: gone 10.0.0.1:7946',
      'not-alive: gone',
      'clock: 12',
      'event-clock: 3',
      'query-clock: 4',
      'coordinate: {}',
      'something new: 1',
    ),
    false,
  );
  assert.deepEqual(
    [...alive],
    [
      ['alpha', '127.0.0.1:7946'],
      ['name with blanks', '[::1]:7946'],
    ],
  );
  assert.deepEqual(clocks, { member: 12, event: 3, query: 4 });
});

test('a leave forgets what was before it, unless that is not wanted', () => {
  const text = lines('alive: a 10.0.0.1:1', 'clock: 9', 'leave', 'clock: 2');
  assert.deepEqual(replay(text, false).alive.size, 0);
  assert.equal(replay(text, false).clocks.member, 2);
  assert.equal(replay(text, true).alive.size, 1);
  assert.equal(replay(text, true).clocks.member, 9);
});

test('a last line that was cut by a crash is not believed', () => {
  const { alive, clocks } = replay(`${lines('alive: a 10.0.0.1:1', 'clock: 5')}clock: 99`, false);
  assert.equal(alive.size, 1);
  assert.equal(clocks.member, 5);
});

test('numbers that are none, or too large to count with, are passed over', () => {
  assert.equal(replay(lines('clock: -3', 'clock: x', 'clock: 99999999999999999999'), false).clocks.member, 0);
});
