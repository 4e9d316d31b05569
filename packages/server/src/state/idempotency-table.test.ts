import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteReader, ByteWriter } from '@dcache/base';
import { type Reply, ReplyType } from '@dcache/protocol';
import { IdempotencyTable, idempotencyLeastMs, idempotencyWindowMs, maxIdempotencyKeys } from './idempotency-table.js';

const ok = (revision: number): Reply => ({ type: ReplyType.ok, revision });
const reused: Reply = { type: ReplyType.keyReused, revision: 0 };
const never = () => assert.fail('applied twice');

/** The stamp of request `request` under key `key`. */
function stamp(key: number, request = 1) {
  const bytes = (number: number) => {
    const hash = Buffer.alloc(16);
    hash.writeUInt32BE(number);
    return hash;
  };
  return { key: bytes(key), fingerprint: bytes(request) };
}

test('a request that comes twice is applied once, and every outcome is told again', () => {
  const table = new IdempotencyTable();
  for (const [key, type] of [ReplyType.ok, ReplyType.notFound, ReplyType.preconditionFailed].entries()) {
    const reply = { type, revision: 10 + key };
    assert.deepEqual(
      table.once(stamp(key), 1, () => reply),
      reply,
    );
    assert.deepEqual(table.once(stamp(key), 2, never), reply);
  }
});

test('another request under the same key is refused and changes nothing', () => {
  const table = new IdempotencyTable();
  table.once(stamp(7, 1), 1, () => ok(10));
  assert.deepEqual(table.once(stamp(7, 2), 2, never), reused);
  assert.deepEqual(table.once(stamp(7, 1), 3, never), ok(10));
});

test('what was refused for want of room may be tried again', () => {
  const table = new IdempotencyTable();
  for (const type of [ReplyType.full, ReplyType.tooLarge]) table.once(stamp(7), 1, () => ({ type, revision: 0 }));
  assert.deepEqual(
    table.once(stamp(7), 2, () => ok(11)),
    ok(11),
  );
});

test('a key is forgotten after its time, counted from its first write', () => {
  const table = new IdempotencyTable();
  table.once(stamp(7), 1_000, () => ok(10));
  assert.deepEqual(table.once(stamp(7), 1_000 + idempotencyWindowMs, never), ok(10));
  assert.deepEqual(
    table.once(stamp(7), 1_001 + idempotencyWindowMs, () => ok(20)),
    ok(20),
  );
  table.expire(1_002 + 2 * idempotencyWindowMs);
  assert.equal(table.size, 0);
});

test('when all places are taken the oldest makes room after its least time, and before it the newcomer is refused', () => {
  const table = new IdempotencyTable();
  for (let key = 0; key < maxIdempotencyKeys; key++) table.once(stamp(key), 1_000, () => ok(key + 1));
  const busy = { type: ReplyType.busy, revision: 0 };
  const newcomer = stamp(maxIdempotencyKeys);
  assert.deepEqual(table.once(newcomer, 999 + idempotencyLeastMs, never), busy);
  assert.deepEqual(table.once(stamp(0), 999 + idempotencyLeastMs, never), ok(1), 'the others are answered as ever');
  assert.deepEqual(
    table.once(newcomer, 1_000 + idempotencyLeastMs, () => ok(5)),
    ok(5),
  );
  assert.equal(table.size, maxIdempotencyKeys);
});

test('what is written is read, and too much is refused', () => {
  const table = new IdempotencyTable();
  table.once(stamp(1), 5, () => ok(10));
  table.once(stamp(2), 6, () => ({ type: ReplyType.notFound, revision: 0 }));
  const writer = new ByteWriter();
  table.write(writer);
  const copy = IdempotencyTable.read(new ByteReader(writer.copy()));
  assert.deepEqual(copy.once(stamp(1), 7, never), ok(10));
  assert.deepEqual(copy.once(stamp(2, 9), 7, never), reused);
  const again = new ByteWriter();
  copy.write(again);
  assert.deepEqual(again.copy(), writer.copy());
  assert.throws(() => IdempotencyTable.read(new ByteReader(new ByteWriter().varint(maxIdempotencyKeys + 1).copy())));
});
