import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteReader, BytesError, ByteWriter, utf8 } from '@dcache/base';
import fc from 'fast-check';
import { type Command, CommandType, ConditionType, ReplyType } from './command.js';
import { readReply, writeReply } from './command-codec.js';
import { decodeLogEntry, encodeLogEntry } from './log-entry.js';

/** Plain objects, as the codec makes them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const bytes = fc.uint8Array({ maxLength: 40 });
const number = fc.maxSafeNat();
const condition = fc.option(record({ type: fc.constantFrom(...Object.values(ConditionType)), revision: number }), {
  nil: undefined,
});
const session = fc.option(record({ session: number, sequence: number, lowestUnanswered: number }), {
  nil: undefined,
});
const half = fc.uint8Array({ minLength: 16, maxLength: 16 });
const idempotency = fc.option(record({ key: half, fingerprint: half }), { nil: undefined });
const set = record({
  type: fc.constant(CommandType.set),
  key: bytes,
  value: bytes,
  ttlMs: number,
  flags: fc.nat(0xffffffff),
  condition,
  session,
  idempotency,
});
const entries = fc.array(record({ key: bytes, value: bytes, ttlMs: number, flags: fc.nat(0xffffffff), condition }), {
  maxLength: 4,
});
const command: fc.Arbitrary<Command> = fc.oneof(
  set,
  record({ type: fc.constant(CommandType.delete), key: bytes, condition, session, idempotency }),
  record({ type: fc.constant(CommandType.touch), keys: fc.array(bytes, { maxLength: 4 }) }),
  record({ type: fc.constant(CommandType.openSession), ttlMs: number }),
  record({ type: fc.constant(CommandType.closeSession), id: number }),
  record({ type: fc.constant(CommandType.setMany), sets: entries, session }),
  record({ type: fc.constant(CommandType.load), entries, session }),
  record({ type: fc.constant(CommandType.clear), session }),
  record({ type: fc.constant(CommandType.configure), maxBytes: number, eviction: fc.constantFrom('sieve', 'none') }),
);

test('an entry is read back as it was written', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 8 }), number, (commands, stampMs) => {
      assert.deepEqual(decodeLogEntry(encodeLogEntry({ stampMs, commands })), { stampMs, commands });
    }),
  );
});

test('the bytes of a set with a condition and a session are these, for ever', () => {
  const entry = encodeLogEntry({
    stampMs: 0x0102,
    commands: [
      {
        type: CommandType.set,
        key: new Uint8Array([0x6b]),
        value: new Uint8Array([0x76, 0x77]),
        ttlMs: 300,
        flags: 1,
        condition: { type: ConditionType.revision, revision: 7 },
        session: { session: 9, sequence: 2, lowestUnanswered: 1 },
      },
    ],
  });
  assert.equal(
    Buffer.from(entry).toString('hex'),
    ['01', '01', '0000', '0000000000000102', '01', '01', '03', '0307', '090201', '016b', '027677', 'ac02', '01'].join(
      '',
    ),
  );
});

test('the bytes of a delete with an idempotency key are these, for ever', () => {
  const idempotency = { key: new Uint8Array(16).fill(0xaa), fingerprint: new Uint8Array(16).fill(0xbb) };
  const entry = encodeLogEntry({
    stampMs: 1,
    commands: [{ type: CommandType.delete, key: utf8('k'), idempotency }],
  });
  assert.equal(
    Buffer.from(entry.subarray(12)).toString('hex'),
    ['01', '02', '04', 'aa'.repeat(16), 'bb'.repeat(16), '016b'].join(''),
  );
});

test('the bytes of a multi-set, of a clear and of a reply with a count are these, for ever', () => {
  const entry = encodeLogEntry({
    stampMs: 1,
    commands: [
      {
        type: CommandType.setMany,
        sets: [
          { key: utf8('a'), value: utf8('1'), ttlMs: 0, flags: 0 },
          {
            key: utf8('b'),
            value: utf8('2'),
            ttlMs: 300,
            flags: 1,
            condition: { type: ConditionType.absent, revision: 0 },
          },
        ],
        session: { session: 9, sequence: 2, lowestUnanswered: 1 },
      },
      { type: CommandType.clear },
    ],
  });
  assert.equal(
    Buffer.from(entry.subarray(12)).toString('hex'),
    ['02', '07', '02', '090201', '02', '00', '0161', '0131', '00', '00'].join('') +
      ['01', '0100', '0162', '0132', 'ac02', '01', '09', '00'].join(''),
  );
  const writer = new ByteWriter();
  writeReply(writer, { type: ReplyType.preconditionFailed, revision: 7, count: 3 });
  writeReply(writer, { type: ReplyType.ok, revision: 8 });
  const bytes = writer.finish();
  assert.equal(Buffer.from(bytes).toString('hex'), '830703' + '0108');
  const reader = new ByteReader(bytes);
  assert.deepEqual(readReply(reader), { type: ReplyType.preconditionFailed, revision: 7, count: 3 });
  assert.deepEqual(readReply(reader), { type: ReplyType.ok, revision: 8 });
});

test('an unknown format, entry type, command or bit is an error, never skipped', () => {
  const good = encodeLogEntry({ stampMs: 1, commands: [{ type: CommandType.touch, keys: [] }] });
  for (const [at, value] of [
    [0, 2],
    [1, 9],
    [13, 99],
    [14, 4],
    [14, 8],
  ] as const) {
    const bad = good.slice();
    bad[at] = value;
    assert.throws(() => decodeLogEntry(bad), BytesError, `byte ${at}`);
  }
});

test('any bytes at all give an entry or a BytesError, and a lying count takes no memory', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (tail) => {
      const entry = new Uint8Array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, ...tail]);
      try {
        decodeLogEntry(entry);
      } catch (error) {
        assert.ok(error instanceof BytesError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
