import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { concatBytes, fromUtf8, SeededRandom, utf8 } from '@dcache/base';
import {
  type Command,
  CommandType,
  type Condition,
  type ConditionType,
  encodeLogEntry,
  type SessionStamp,
} from '@dcache/protocol';
import { ConfChangeType } from '@dcache/raft';
import fc from 'fast-check';
import { confState, cut, del, identity, Machine, ok, set, start } from './state-machine.test.helper.js';

/** What a node of the version before `Idempotency-Key`s wrote for the history that the test below names. */
const format1 =
  'AAAARjk2FhMBAAAAAAAAAAcAAAGLz+VoAwVzaWV2ZQEAAAAAAAAABwEFbm9kZTcOMTI3LjAuMC4xOjkyMDcBBMDPJILQlf+8MQEBAQEFAAAAGQFkY3N0AQKAgECAgASAgICAAoPQlf+8MQQAUPzwDQAAADsCAAEFcGxhaW4FdmFsdWUQA+Ckmf+8MQVicmllZgF4AAUEb25jZQVmaXJzdCAHAwRqc29uB3siYSI6MX1DkR9MAAAAEQUQNzI4ZmE0Mjc0MmM5ZmJlY0L+dIk=';

test('a snapshot of format 1, as it was written then, is read whole, and goes on as if nothing had been', async () => {
  const { inner } = new Machine();
  await inner.restore(cut(Buffer.from(format1, 'base64'), 7));
  const stampMs = 1_700_000_000_003;
  assert.deepEqual([inner.revision, inner.stampMs, inner.sessionCount], [7, stampMs, 1]);
  assert.equal(inner.store.stateHash(), '728fa42742c9fbec', 'that of then');
  assert.deepEqual([...inner.directory.entries()], [[7, { name: 'node7', rpcAddr: '127.0.0.1:9207' }]]);
  const read = (key: string) => {
    const found = inner.read(utf8(key));
    return found && [fromUtf8(found.value), found.revision, found.flags, found.expiresAtMs];
  };
  assert.deepEqual(read('plain'), ['value', 1, 0, 0]);
  assert.deepEqual(read('json'), ['{"a":1}', 7, 3, 0]);
  assert.deepEqual(read('brief'), ['x', 3, 0, 1_700_000_060_000]);
  assert.deepEqual(read('once'), ['first', 5, 0, 0]);
  // The session's write is remembered, and so are keys from now on.
  const once = { session: 4, sequence: 1, lowestUnanswered: 1 };
  const idempotency = { key: new Uint8Array(16).fill(1), fingerprint: new Uint8Array(16).fill(2) };
  const keyed = { ...set('keyed', 'v'), idempotency } as Command;
  const commands = [set('once', 'again', { session: once }), keyed, keyed];
  const replies = inner.apply({ data: encodeLogEntry({ stampMs: stampMs + 1, commands }).slice() });
  assert.deepEqual(replies, [ok(5), ok(8), ok(8)]);
  const copy = new Machine();
  const written = inner.snapshot();
  await copy.inner.restore(cut(concatBytes([...written.chunks()])));
  written.close();
  assert.equal(copy.inner.stateHash(), inner.stateHash());
});

test('a snapshot of a newer format is refused with both numbers, and nothing of it is taken', async () => {
  const machine = new Machine();
  machine.one(set('a', '1'));
  const hash = machine.inner.stateHash();
  const bytes = machine.bytes().slice();
  bytes[8] = 3;
  const view = new DataView(bytes.buffer);
  view.setUint32(4, crc32(bytes.subarray(8, 8 + view.getUint32(0))));
  await assert.rejects(machine.inner.restore(cut(bytes)), {
    name: 'BytesError',
    message: 'snapshot of format 3; this version reads formats 1 to 2, so a newer one wrote it: start that',
  });
  assert.equal(machine.inner.stateHash(), hash);
});

/** Commands of a small key space, so that they meet; a pure function of the seed. */
function history(seed: number, count: number): { ms: number; commands: Command[] }[] {
  const random = new SeededRandom(seed);
  const entries: { ms: number; commands: Command[] }[] = [];
  const key = (): string => `k${random.below(30)}`;
  const condition = (): Condition | undefined => {
    const type = random.below(8);
    return type >= 1 && type <= 3 ? { type: type as ConditionType, revision: random.below(count) } : undefined;
  };
  const session = (): SessionStamp | undefined =>
    random.below(3) === 0
      ? { session: 1 + random.below(4), sequence: 1 + random.below(20), lowestUnanswered: 1 + random.below(3) }
      : undefined;
  for (let i = 0; i < count; i++) {
    const commands: Command[] = [];
    for (let j = random.below(4); j > 0; j--) {
      const value = new Uint8Array(random.below(400)).fill(j);
      const ttlMs = random.below(3) === 0 ? 1 + random.below(300) : 0;
      switch (random.below(10)) {
        case 0:
          commands.push({ type: CommandType.delete, key: utf8(key()), condition: condition(), session: session() });
          break;
        case 1:
          commands.push({ type: CommandType.touch, keys: [utf8(key()), utf8(key())] });
          break;
        case 2:
          commands.push({ type: CommandType.openSession, ttlMs: 50 + random.below(500) });
          break;
        case 3:
          commands.push({ type: CommandType.configure, maxBytes: 3_000 + random.below(3_000), eviction: 'sieve' });
          break;
        case 4:
          commands.push({ type: CommandType.closeSession, id: 1 + random.below(20) });
          break;
        default:
          commands.push({
            type: CommandType.set,
            key: utf8(key()),
            value,
            ttlMs,
            flags: random.below(2),
            condition: condition(),
            session: session(),
          });
      }
    }
    entries.push({ ms: random.below(40), commands });
  }
  return entries;
}

test('two machines that apply the same entries are equal, also when one of them came by a snapshot half-way', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(1_000_000), fc.nat(120), fc.integer({ min: 1, max: 5_000 }), async (seed, half, size) => {
      const machine = new Machine(4_000);
      const other = new Machine(9_999_999, 'fifo');
      let hasCopied = false;
      for (const [i, { ms, commands }] of history(seed, 120).entries()) {
        if (i === half) {
          await other.inner.restore(cut(machine.bytes(), size));
          hasCopied = true;
        }
        machine.nowMs += ms;
        const replies = machine.apply(...commands);
        if (!hasCopied) continue;
        other.nowMs = machine.nowMs;
        assert.deepEqual(other.apply(...commands), replies);
        assert.equal(other.inner.stateHash(), machine.inner.stateHash());
      }
    }),
    { numRuns: 60 },
  );
});

test('a snapshot shows the moment it was taken, whatever is applied before its chunks are read', async () => {
  const machine = new Machine();
  machine.apply(set('a', '1'), set('b', '2'));
  const hash = machine.inner.stateHash();
  const snapshot = machine.inner.snapshot();
  machine.apply(set('a', '9'), del('b'), set('c', '3'), { type: CommandType.openSession, ttlMs: 5 });
  const copy = new Machine();
  await copy.inner.restore(cut(concatBytes([...snapshot.chunks()])));
  snapshot.close();
  assert.equal(copy.inner.stateHash(), hash);
  assert.equal(copy.get('a'), '1');
  assert.deepEqual(copy.stamps, [start], 'log time goes on from the snapshot');
});

test('a snapshot that is cut or changed anywhere is an error, and the state stays as it was', async () => {
  const machine = new Machine();
  machine.inner.applyMembership(
    { changes: [{ type: ConfChangeType.addNode, nodeId: 7 }], context: identity('n1') },
    confState([7]),
  );
  machine.one({ type: CommandType.openSession, ttlMs: 1_000 });
  for (let i = 0; i < 20; i++) machine.one(set(`k${i}`, `v${i}`));
  const bytes = machine.bytes();
  const target = new Machine();
  target.one(set('mine', 'kept'));
  const hash = target.inner.stateHash();
  for (let length = 0; length < bytes.length; length += 7) {
    await assert.rejects(target.inner.restore(cut(bytes.subarray(0, length))), `cut at ${length}`);
    assert.equal(target.inner.stateHash(), hash, `cut at ${length}`);
  }
  for (let at = 0; at < bytes.length; at++) {
    const changed = bytes.slice();
    changed[at] = changed[at]! ^ 0x40;
    await assert.rejects(target.inner.restore(cut(changed)), `byte ${at} was changed`);
    assert.equal(target.inner.stateHash(), hash, `byte ${at} was changed`);
  }
  await target.inner.restore(cut(bytes));
  assert.equal(target.inner.stateHash(), machine.inner.stateHash());
});

test('a snapshot whose source breaks off half-way leaves the state as it was', async () => {
  const machine = new Machine();
  machine.one(set('a', 'x'.repeat(50_000)));
  const bytes = machine.bytes();
  const target = new Machine();
  target.one(set('mine', 'kept'));
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes.slice(0, 30_000);
    throw new Error('the connection broke');
  };
  await assert.rejects(target.inner.restore(broken()), /the connection broke/);
  assert.equal(target.get('mine'), 'kept');
  target.one(set('more', 'goes on'));
  assert.equal(target.get('more'), 'goes on');
});
