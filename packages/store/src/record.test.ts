import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { equalAt, markDead, RecordView, recordBytes, writeRecord } from './record.js';

test('a record is read as it was written, takes what was said, and dies without changing', () => {
  const flags = fc.oneof(fc.constant(0), fc.nat({ max: 2 ** 32 - 1 }));
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 70 }), fc.uint8Array({ minLength: 4000, maxLength: 70_000 }));
  fc.assert(
    fc.property(bytes, bytes, flags, fc.nat({ max: 9 }), (key, value, flag, at) => {
      const length = recordBytes(key.length, value.length, flag);
      const segment = new Uint8Array(at + length + 5).fill(0xee);
      writeRecord(segment, at, key, value, flag);
      const record = new RecordView();
      for (const isDead of [false, true]) {
        record.read(segment, at);
        assert.equal(record.isDead, isDead);
        assert.equal(record.end, at + length);
        assert.equal(record.flags, flag);
        assert.ok(record.keyBytes === key.length && equalAt(segment, record.keyAt, key));
        assert.deepEqual(segment.slice(record.valueAt, record.end), value);
        assert.ok(segment.subarray(record.end).every((byte) => byte === 0xee));
        markDead(segment, at);
      }
    }),
    { numRuns: 200 },
  );
});
