import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteReader, ByteWriter, SeededRandom } from '@dcache/base';
import { ReplyType } from '@dcache/protocol';
import { maxReplies, maxSessions, maxUnanswered, SessionTable } from './session-table.js';

const ok = (revision: number) => ({ type: ReplyType.ok, revision });
const expired = { type: ReplyType.sessionExpired, revision: 0 };
const stamp = (session: number, sequence: number, lowestUnanswered = 1) => ({ session, sequence, lowestUnanswered });
const never = () => assert.fail('applied twice');

test('a write that comes twice is applied once and answered the same', () => {
  const table = new SessionTable();
  table.open(7, 1000, 0);
  assert.deepEqual(
    table.once(stamp(7, 1), 1, () => ok(10)),
    ok(10),
  );
  assert.deepEqual(
    table.once(stamp(7, 2), 2, () => ok(11)),
    ok(11),
  );
  assert.deepEqual(table.once(stamp(7, 1), 3, never), ok(10));
});

test('a write below the lowest unanswered one is refused, not applied again', () => {
  const table = new SessionTable();
  table.open(7, 1000, 0);
  table.once(stamp(7, 1), 1, () => ok(10));
  table.once(stamp(7, 2, 2), 2, () => ok(11));
  assert.deepEqual(table.once(stamp(7, 1), 3, never), expired);
});

test('a session ends by log time, and an unknown one is an error', () => {
  const table = new SessionTable();
  table.open(7, 1000, 0);
  assert.deepEqual(
    table.once(stamp(7, 1), 1000, () => ok(1)),
    ok(1),
  );
  assert.deepEqual(table.once(stamp(7, 2), 2001, never), expired);
  assert.deepEqual(table.once(stamp(8, 1), 0, never), expired);
  assert.equal(table.size, 0);
});

test('sessions and unanswered writes are bounded', () => {
  const table = new SessionTable();
  for (let id = 1; id <= maxSessions + 1; id++) table.open(id, 1e9, id);
  assert.equal(table.size, maxSessions);
  assert.deepEqual(table.once(stamp(1, 1), 0, never), expired, 'the one unused for longest made room');
  for (let sequence = 1; sequence <= maxUnanswered; sequence++) table.once(stamp(2, sequence), 1, () => ok(1));
  assert.deepEqual(table.once(stamp(2, maxUnanswered + 1), 1, never), expired);
  assert.deepEqual(
    table.once(stamp(2, maxUnanswered + 1, maxUnanswered), 1, () => ok(9)),
    ok(9),
  );
});

test('the table is read back with its order', () => {
  const table = new SessionTable();
  table.open(1, 50, 0);
  table.open(2, 50, 1);
  table.once(stamp(1, 1), 2, () => ok(3));
  const bytes = (written: SessionTable): Uint8Array => {
    const writer = new ByteWriter();
    written.write(writer);
    return writer.copy();
  };
  const copy = SessionTable.read(new ByteReader(bytes(table)));
  assert.deepEqual(bytes(copy), bytes(table));
  assert.deepEqual(copy.once(stamp(1, 1), 3, never), ok(3));
  copy.expire(52);
  assert.equal(copy.size, 1);
});

test('what is below the lowest unanswered write is forgotten, whether it rises by one or by very much', () => {
  const table = new SessionTable();
  table.open(7, 1000, 0);
  const kept = (): number[] => {
    const writer = new ByteWriter();
    table.write(writer);
    const reader = new ByteReader(writer.copy());
    for (let skip = 0; skip < 5; skip++) reader.varint();
    const sequences: number[] = [];
    for (let left = reader.varint(); left > 0; left--) {
      sequences.push(reader.varint());
      reader.u8();
      reader.varint();
    }
    return sequences;
  };
  for (const sequence of [1, 3, 2, 5, 4]) table.once(stamp(7, sequence), 0, () => ok(sequence));
  assert.deepEqual(kept(), [1, 3, 2, 5, 4]);
  table.once(stamp(7, 6, 2), 0, () => ok(6));
  assert.deepEqual(kept(), [3, 2, 5, 4, 6]);
  table.once(stamp(7, 7, 4), 0, () => ok(7));
  assert.deepEqual(kept(), [5, 4, 6, 7]);
  table.once(stamp(7, 2 ** 52, 2 ** 52), 0, () => ok(8));
  assert.deepEqual(kept(), [2 ** 52]);
});

test('the answers of all sessions together are bounded too, and the count of them survives a snapshot', () => {
  let table = new SessionTable();
  const sessions = maxReplies / 4_096;
  for (let id = 1; id <= sessions + 3; id++) table.open(id, 1e9, 0);
  const fill = (id: number): void => {
    for (let sequence = 1; sequence <= 4_096; sequence++) table.once(stamp(id, sequence), 1, () => ok(sequence));
  };
  for (let id = 1; id <= sessions; id++) fill(id);
  assert.equal(table.size, sessions + 3);
  const writer = new ByteWriter();
  table.write(writer);
  table = SessionTable.read(new ByteReader(writer.copy()));
  // Sessions without answers make room first where they are unused for longest; then the oldest with answers.
  table.once(stamp(sessions + 1, 1), 2, () => ok(1));
  assert.ok(table.size < sessions + 3);
  assert.deepEqual(table.once(stamp(sessions + 1, 1), 3, never), ok(1), 'the one in use stays');
  table.close(2);
  table.once(stamp(3, 5_000, 5_000), 4, () => ok(1));
  const { size } = table;
  for (let sequence = 2; sequence <= 4_000; sequence++)
    table.once(stamp(sessions + 1, sequence), 5, () => ok(sequence));
  assert.equal(table.size, size, 'what was closed or forgotten makes room for others');
});

test('a table that was restored now and then stays equal, byte for byte, to one that never was', () => {
  const bytesOf = (table: SessionTable): Uint8Array => {
    const writer = new ByteWriter();
    table.write(writer);
    return writer.copy();
  };
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const whole = new SessionTable();
    let restored = new SessionTable();
    let nowMs = 0;
    let opened = 0;
    for (let step = 1; step <= 500; step++) {
      nowMs += random.below(30);
      const kind = random.below(20);
      // An id is the revision of its entry, and so never opened twice.
      const id = kind < 2 ? ++opened : Math.max(1, opened - random.below(6));
      const sequence = 1 + random.below(40);
      const one = stamp(id, sequence, 1 + random.below(sequence));
      const [a, b] = [whole, restored].map((table) => {
        if (kind < 2) return table.open(id, 300 + 100 * (id % 5), nowMs);
        if (kind === 2) return table.close(id);
        if (kind === 3) return table.expire(nowMs);
        return table.once(one, nowMs, () => ok(step));
      });
      assert.deepEqual(b, a, `seed ${seed}, step ${step}`);
      if (random.below(10) === 0) restored = SessionTable.read(new ByteReader(bytesOf(restored)));
      assert.deepEqual(bytesOf(restored), bytesOf(whole), `seed ${seed}, step ${step}`);
    }
  }
});
