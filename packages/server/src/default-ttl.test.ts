import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandType, type SetCommand } from '@dcache/protocol';
import { withDefaultTtl } from './default-ttl.js';

const set = (ttlMs: number): SetCommand => ({
  type: CommandType.set,
  key: new Uint8Array([1]),
  value: new Uint8Array(),
  ttlMs,
  flags: 0,
});

test('a write without a ttl gets the default, one with a ttl keeps it', () => {
  assert.deepEqual(withDefaultTtl(set(0), 500), set(500));
  assert.deepEqual(withDefaultTtl(set(7), 500), set(7));
  const many = { type: CommandType.setMany, sets: [set(0), set(7)] } as const;
  assert.deepEqual(withDefaultTtl(many, 500), { ...many, sets: [set(500), set(7)] });
});

test('without a default nothing is changed, and other commands never are', () => {
  const command = set(0);
  assert.equal(withDefaultTtl(command, 0), command);
  const remove = { type: CommandType.delete, key: new Uint8Array([1]) } as const;
  assert.equal(withDefaultTtl(remove, 500), remove);
});
