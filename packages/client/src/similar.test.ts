import assert from 'node:assert/strict';
import { test } from 'node:test';
import { similar } from './similar.js';

const names = ['get', 'set', 'delete', 'servers', 'status', 'snapshot-save', 'snapshot-restore', 'leave'];

test('a slip of the hand leads to the command that was meant', () => {
  const meant = {
    gett: 'get',
    gte: 'get',
    sat: 'set',
    del: 'delete',
    stats: 'status',
    server: 'servers',
    'snapshot-sav': 'snapshot-save',
    'snapshot-rstor': 'snapshot-restore',
  };
  for (const [given, name] of Object.entries(meant)) assert.equal(similar(given, names), name, given);
});

test('what is like none of them, or like two, is left alone', () => {
  for (const given of ['', 'x', 'bench', 'put', 'snapshot-']) assert.equal(similar(given, names), undefined, given);
});

test('a very long word costs little', () => {
  assert.equal(similar('x'.repeat(100_000), names), undefined);
});
