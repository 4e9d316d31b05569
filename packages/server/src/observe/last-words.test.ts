import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sayLast } from './last-words.js';

/** What is logged and what is written, of an error like those of a disk. */
function said(isTTY: boolean, isEnabled: boolean): { logged: [object, string][]; written: string } {
  const result = { logged: [] as [object, string][], written: '' };
  const logger = {
    isLevelEnabled: () => isEnabled,
    fatal: (fields: object, message: string) => void result.logged.push([fields, message]),
  };
  const write = (text: string): void => {
    result.written += text;
  };
  sayLast(new RangeError('the disk failed'), logger, { isTTY, write });
  return result;
}

test('a collected log ends with a line that has the message once, and where it came from', () => {
  const { logged, written } = said(false, true);
  assert.equal(written, '');
  assert.equal(logged.length, 1);
  const [fields, message] = logged[0]!;
  assert.equal(message, 'the disk failed');
  assert.match(JSON.stringify(fields), /^\{"err":\{"type":"RangeError","stack":" +at /);
  assert.doesNotMatch(JSON.stringify(fields), /the disk failed/);
});

test('a terminal, and whoever has turned the log off, get text', () => {
  for (const [isTTY, isEnabled] of [
    [true, true],
    [true, false],
    [false, false],
  ] as const)
    assert.deepEqual(said(isTTY, isEnabled), { logged: [], written: 'dcache: the disk failed\n' });
});
