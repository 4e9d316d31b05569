import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommanderError } from 'commander';
import { parseCommandLine } from './command-line.js';

test('both spellings of a flag are understood', () => {
  for (const dashes of ['-', '--']) {
    assert.deepEqual(parseCommandLine([`${dashes}addr`, 'h:1', `${dashes}get-servers`], '0'), {
      kind: 'get-servers',
      address: 'h:1',
    });
    assert.deepEqual(parseCommandLine([`${dashes}addr=h:1`, `${dashes}key`, 'K'], '0'), {
      kind: 'set',
      address: 'h:1',
      key: 'K',
    });
  }
});

test('nothing to do, two things to do and an unknown flag are refused', (context) => {
  context.mock.method(process.stderr, 'write', () => true);
  for (const args of [[], ['--get-servers', '--key', 'K'], ['--nope'], ['stray']])
    assert.throws(() => parseCommandLine(args, '0'), CommanderError, args.join(' '));
});
