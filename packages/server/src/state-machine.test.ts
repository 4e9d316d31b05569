import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { ByteWriter, concatBytes, fromUtf8, SeededRandom, utf8 } from '@dcache/base';
import {
  type Command,
  CommandType,
  type Condition,
  ConditionType,
  encodeLogEntry,
  type Reply,
  ReplyType,
  type SessionStamp,
  type SetCommand,
  typedValue,
} from '@dcache/protocol';
import { ConfChangeType, type ConfState } from '@dcache/raft';
import fc from 'fast-check';
import { writeIdentity } from './directory.js';
import { CacheStateMachine, workBudget } from './state-machine.js';

const start = 1_000_000;

/** A machine with the calls of a test. */
class Machine {
  readonly inner: CacheStateMachine;
  readonly stamps: number[] = [];
  nowMs = start;

  constructor(maxBytes = 1_048_576, eviction: 'sieve' | 's3fifo' | 'fifo' | 'none' = 'sieve') {
    this.inner = new CacheStateMachine({ maxBytes, eviction }, (stampMs) => void this.stamps.push(stampMs));
  }

  apply(...commands: Command[]): readonly Reply[] {
    return this.inner.apply({ data: encodeLogEntry({ stampMs: this.nowMs, commands }) });
  }

  one(command: Command): Reply {
    return this.apply(command)[0]!;
  }

  get(key: string): string | undefined {
    const found = this.inner.read(utf8(key));
    return found && fromUtf8(found.value);
  }

  bytes(): Uint8Array {
    const snapshot = this.inner.snapshot();
    const bytes = concatBytes([...snapshot.chunks()]);
    snapshot.close();
    return bytes;
  }
}

interface SetExtra {
  readonly ttlMs?: number;
  readonly condition?: Condition;
  readonly session?: SessionStamp;
}

const set = (key: string, value: string, extra: SetExtra = {}): Command => ({
  type: CommandType.set,
  key: utf8(key),
  value: utf8(value),
  ttlMs: 0,
  flags: 0,
  ...extra,
});
const del = (key: string, condition?: Condition): Command => ({ type: CommandType.delete, key: utf8(key), condition });
const ok = (revision: number): Reply => ({ type: ReplyType.ok, revision });
const failed = (revision: number): Reply => ({ type: ReplyType.preconditionFailed, revision });

async function* cut(bytes: Uint8Array, size = 1_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

function confState(voters: number[], learners: number[] = []): ConfState {
  return { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
}

function identity(name: string, rpcAddr = `${name}:9200`): Uint8Array {
  const writer = new ByteWriter();
  writeIdentity(writer, { name, rpcAddr });
  return writer.copy();
}

test('each write that changes something takes the next revision, and a read tells it', () => {
  const machine = new Machine();
  assert.deepEqual(machine.apply(set('a', '1'), set('b', '2')), [ok(1), ok(2)]);
  assert.deepEqual(machine.one(set('a', '3')), ok(3));
  assert.equal(machine.get('a'), '3');
  assert.equal(machine.inner.read(utf8('a'))?.revision, 3);
  assert.equal(machine.inner.read(utf8('b'))?.revision, 2);
  assert.deepEqual(machine.one(del('a')), ok(4));
  assert.equal(machine.get('a'), undefined);
  assert.deepEqual(machine.one(del('a')), { type: ReplyType.notFound, revision: 0 });
  assert.equal(machine.inner.revision, 4, 'a delete of nothing changes nothing');
});

test('a condition that does not hold changes nothing and tells the revision that the key has', () => {
  const machine = new Machine();
  const absent = { type: ConditionType.absent, revision: 0 };
  const present = { type: ConditionType.present, revision: 0 };
  const at = (revision: number) => ({ type: ConditionType.revision, revision });
  assert.deepEqual(machine.one(set('a', '0', { condition: present })), failed(0));
  assert.deepEqual(machine.one(set('a', '0', { condition: at(1) })), failed(0));
  assert.deepEqual(machine.one(set('a', '1', { condition: absent })), ok(1));
  assert.deepEqual(machine.one(set('a', '2', { condition: absent })), failed(1));
  assert.deepEqual(machine.one(set('a', '2', { condition: at(9) })), failed(1));
  assert.equal(machine.get('a'), '1');
  assert.deepEqual(machine.one(set('a', '2', { condition: at(1) })), ok(2));
  assert.deepEqual(machine.one(set('a', '3', { condition: present })), ok(3));
  assert.deepEqual(machine.one(del('a', at(2))), failed(3));
  assert.deepEqual(machine.one(del('a', at(3))), ok(4));
  assert.equal(machine.inner.revision, 4);
});

test('of two conditional writes in one entry the second sees what the first did', () => {
  const machine = new Machine();
  const absent = { type: ConditionType.absent, revision: 0 };
  assert.deepEqual(machine.apply(set('lock', 'a', { condition: absent }), set('lock', 'b', { condition: absent })), [
    ok(1),
    failed(1),
  ]);
  assert.equal(machine.get('lock'), 'a');
});

test('a key lives until its ttl has passed in log time, to the millisecond, and a condition then finds it absent', () => {
  const machine = new Machine();
  machine.apply(set('brief', 'x', { ttlMs: 100 }), set('long', 'y', { ttlMs: 1_000 }), set('ever', 'z'));
  assert.equal(machine.inner.read(utf8('brief'))?.expiresAtMs, start + 100);
  machine.nowMs = start + 99;
  machine.apply();
  assert.equal(machine.get('brief'), 'x');
  machine.nowMs = start + 100;
  machine.apply();
  assert.equal(machine.get('brief'), undefined);
  assert.deepEqual(
    machine.one(set('brief', 'new', { condition: { type: ConditionType.absent, revision: 0 } })).type,
    1,
  );
  machine.nowMs = start + 1_000_000;
  machine.apply();
  assert.equal(machine.get('long'), undefined);
  assert.equal(machine.get('ever'), 'z');
});

test('log time never goes back: an entry with a lower stamp is applied at the highest seen', () => {
  const machine = new Machine();
  machine.apply();
  machine.nowMs = start - 500;
  machine.apply(set('a', 'x', { ttlMs: 100 }));
  assert.equal(machine.inner.stampMs, start);
  assert.equal(machine.inner.read(utf8('a'))?.expiresAtMs, start + 100);
  assert.deepEqual(machine.stamps, [start], 'only a new stamp is told');
});

test('a session applies a repeated write once, across entries and after a snapshot', async () => {
  const machine = new Machine();
  const session = machine.one({ type: CommandType.openSession, ttlMs: 10_000 }).revision;
  const write = set('n', '1', { session: { session, sequence: 1, lowestUnanswered: 1 } });
  const first = machine.one(write);
  machine.one(set('n', '2'));
  assert.deepEqual(machine.one(write), first);
  assert.equal(machine.get('n'), '2', 'the repetition did not write over what came later');

  const copy = new Machine();
  await copy.inner.restore(cut(machine.bytes()));
  assert.deepEqual(copy.one(write), first);
  assert.equal(copy.get('n'), '2');
});

test('a failed condition is remembered by the session too, so that a retry gets the same answer', () => {
  const machine = new Machine();
  const session = machine.one({ type: CommandType.openSession, ttlMs: 10_000 }).revision;
  const condition = { type: ConditionType.present, revision: 0 };
  const write = set('n', '1', { condition, session: { session, sequence: 1, lowestUnanswered: 1 } });
  assert.deepEqual(machine.one(write), failed(0));
  machine.one(set('n', '0'));
  assert.deepEqual(machine.one(write), failed(0));
});

test('a session that was closed, or not used for its time, refuses and does not apply', () => {
  const machine = new Machine();
  const expired = { type: ReplyType.sessionExpired, revision: 0 };
  const a = machine.one({ type: CommandType.openSession, ttlMs: 1_000 }).revision;
  const b = machine.one({ type: CommandType.openSession, ttlMs: 1_000 }).revision;
  assert.notEqual(a, b);
  assert.equal(machine.one({ type: CommandType.closeSession, id: a }).type, ReplyType.ok);
  assert.deepEqual(machine.one({ type: CommandType.closeSession, id: a }), { type: ReplyType.notFound, revision: 0 });
  assert.deepEqual(machine.one(set('x', '1', { session: { session: a, sequence: 1, lowestUnanswered: 1 } })), expired);
  machine.nowMs += 1_001;
  assert.deepEqual(machine.one(set('x', '1', { session: { session: b, sequence: 1, lowestUnanswered: 1 } })), expired);
  assert.equal(machine.get('x'), undefined);
});

test('the cache stays within its bytes by evicting, and with policy none says that it is full', () => {
  const evicting = new Machine(10_000);
  for (let i = 0; i < 200; i++) assert.equal(evicting.one(set(`k${i}`, 'v'.repeat(100))).type, ReplyType.ok);
  assert.ok(evicting.inner.store.stats().liveBytes <= 10_000);
  assert.equal(evicting.get('k199'), 'v'.repeat(100));

  const full = new Machine(1_000, 'none');
  let reply: Reply = ok(0);
  for (let i = 0; reply.type === ReplyType.ok; i++) reply = full.one(set(`k${i}`, 'v'.repeat(100)));
  assert.deepEqual(reply, { type: ReplyType.full, revision: 0 });
  const { revision } = full.inner;
  assert.equal(full.one(set('huge', 'v'.repeat(2_000))).type, ReplyType.tooLarge);
  assert.equal(full.inner.revision, revision);
});

test('no command that a log can hold makes apply throw: it would end every node at once', () => {
  const full = new Machine(1_000, 'none');
  full.apply(set('k', 'v'.repeat(420)), set('other', 'v'.repeat(420)));
  const write = (key: string, bytes: number) => ({ key: utf8(key), value: new Uint8Array(bytes), ttlMs: 0, flags: 0 });
  // What the first replaces must not be counted as room for a second time.
  const twice = [write('k', 10), write('k', 10), write('new', 850)];
  assert.equal(full.one({ type: CommandType.setMany, sets: twice }).type, ReplyType.full);

  const machine = new Machine();
  const edge = Number.MAX_SAFE_INTEGER;
  assert.equal(machine.one(set('a', 'x', { ttlMs: edge })).type, ReplyType.ok);
  machine.one({ type: CommandType.configure, maxBytes: 0, eviction: 'sieve' });
  assert.equal(machine.one(set('a', 'x')).type, ReplyType.tooLarge);
  machine.one({ type: CommandType.configure, maxBytes: edge, eviction: 'sieve' });
  machine.apply({ type: CommandType.openSession, ttlMs: edge }, { type: CommandType.closeSession, id: edge });
  machine.apply({ type: CommandType.touch, keys: [new Uint8Array(), utf8('none')] });
  const session = { session: machine.inner.revision, sequence: edge, lowestUnanswered: edge };
  machine.one(set('', '', { session }));
  machine.one(del('', { type: ConditionType.revision, revision: edge }));
  assert.throws(() => machine.one({ ...set('a', 'x'), flags: 2 ** 32 } as Command), /flags are from 0 to 2\^32-1/);
});

test('configure sets the bound at once; the policy can change only while nothing is kept', () => {
  const machine = new Machine();
  assert.deepEqual(machine.one({ type: CommandType.configure, maxBytes: 5_000, eviction: 'fifo' }), ok(1));
  assert.equal(machine.inner.store.stats().maxBytes, 5_000);
  machine.one(set('a', 'x'.repeat(1_000)));
  machine.one(set('b', 'x'.repeat(1_000)));
  assert.equal(machine.one({ type: CommandType.configure, maxBytes: 5_000, eviction: 'sieve' }).type, 3);
  assert.equal(machine.one({ type: CommandType.configure, maxBytes: 1_500, eviction: 'fifo' }).type, ReplyType.ok);
  assert.equal(machine.get('a'), undefined, 'the first in went first');
  assert.equal(machine.get('b'), 'x'.repeat(1_000));
  machine.one(del('b'));
  assert.equal(machine.one({ type: CommandType.configure, maxBytes: 5_000, eviction: 'no such policy' }).type, 3);
});

test('a change of policy on an empty cache keeps log time, so that a ttl given next is counted from it', () => {
  const machine = new Machine();
  machine.apply({ type: CommandType.configure, maxBytes: 1_048_576, eviction: 'fifo' }, set('a', 'x', { ttlMs: 10 }));
  machine.nowMs += 10;
  machine.apply();
  assert.equal(machine.get('a'), undefined);
});

test('who the members are comes with the changes that add them and goes with those that remove them', async () => {
  const machine = new Machine();
  const { inner } = machine;
  inner.applyMembership(
    { changes: [{ type: ConfChangeType.addNode, nodeId: 7 }], context: identity('n1') },
    confState([7]),
  );
  inner.applyMembership(
    { changes: [{ type: ConfChangeType.addLearner, nodeId: 8 }], context: identity('n2') },
    confState([7], [8]),
  );
  // A promotion has no context, and must not forget the name.
  inner.applyMembership({ changes: [{ type: ConfChangeType.addNode, nodeId: 8 }] }, confState([7, 8]));
  assert.deepEqual(inner.directory.get(8), { name: 'n2', rpcAddr: 'n2:9200' });
  const copy = new Machine();
  await copy.inner.restore(cut(machine.bytes()));
  assert.deepEqual([...copy.inner.directory.entries()], [...inner.directory.entries()]);
  inner.applyMembership({ changes: [{ type: ConfChangeType.removeNode, nodeId: 7 }] }, confState([8]));
  assert.equal(inner.directory.get(7), undefined);
  assert.notEqual(inner.stateHash(), copy.inner.stateHash(), 'the members are part of the hash');
});

test('an entry of an unknown format, type or command throws, and nothing of it was applied', () => {
  const machine = new Machine();
  machine.one(set('a', '1'));
  const hash = machine.inner.stateHash();
  const entry = encodeLogEntry({ stampMs: start + 1, commands: [set('a', '2'), set('b', '3')] }).slice();
  for (const [at, value] of [
    [0, 2],
    [1, 9],
    [13, 99],
  ] as const) {
    const broken = entry.slice();
    broken[at] = value;
    assert.throws(() => machine.inner.apply({ data: broken }), { name: 'BytesError' });
  }
  assert.throws(() => machine.inner.apply({ data: entry.subarray(0, entry.length - 1) }), { name: 'BytesError' });
  assert.equal(machine.inner.stateHash(), hash);
});

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

test('many entries that expire together go a bounded number at a time, unseen by reads, also at one stamp', () => {
  const machine = new Machine(10_000_000);
  const count = workBudget * 2 + 10;
  for (let i = 0; i < count; i++) machine.one(set(`k${i}`, 'v', { ttlMs: 50 }));
  machine.nowMs += 50;
  const left: number[] = [];
  for (let i = 0; i < 3; i++) {
    machine.apply();
    left.push(machine.inner.store.stats().entries);
    assert.equal(machine.get('k0'), undefined);
    assert.equal(machine.get(`k${count - 1}`), undefined, 'due and still there, it is not seen');
    if (i < 2) assert.equal(machine.inner.store.nextExpiryMs(), machine.nowMs);
  }
  assert.deepEqual(left, [workBudget + 10, 10, 0]);
  assert.equal(machine.inner.store.nextExpiryMs(), undefined);
});

test('a lowered limit evicts a bounded number of entries with each entry of the log', () => {
  const machine = new Machine(10_000_000);
  for (let i = 0; i < workBudget + 100; i++) machine.one(set(`k${i}`, 'v'));
  machine.one({ type: CommandType.configure, maxBytes: 0, eviction: 'sieve' });
  assert.equal(machine.inner.store.stats().entries, 100);
  machine.apply();
  assert.equal(machine.inner.store.stats().entries, 0);
});

test('a request with an idempotency key is applied once, also by a node that was healed by a snapshot', async () => {
  const machine = new Machine();
  const keyed = (value: string): Command => ({
    ...(set('k', value) as SetCommand),
    idempotency: { key: Buffer.alloc(16, 1), fingerprint: Buffer.alloc(16, value) },
  });
  assert.deepEqual(machine.one(keyed('first')), ok(1));
  assert.deepEqual(machine.one(set('k', 'second')), ok(2));
  const healed = new Machine();
  await healed.inner.restore(cut(machine.bytes()));
  for (const one of [machine, healed]) {
    assert.deepEqual(one.one(keyed('first')), ok(1));
    assert.deepEqual(one.one(keyed('other')), { type: ReplyType.keyReused, revision: 0 });
    assert.equal(one.get('k'), 'second');
  }
  assert.equal(healed.inner.stateHash(), machine.inner.stateHash());
  const without = new Machine();
  without.apply(set('k', 'first'), set('k', 'second'));
  assert.notEqual(without.inner.stateHash(), machine.inner.stateHash(), 'the keys are in the state hash');
});

test('where nothing is evicted, what is due makes room before the cache counts as full', () => {
  const machine = new Machine(2_000_000, 'none');
  const many = workBudget * 3;
  for (let i = 0; i < many; i++) machine.one(set(`brief-${i}`, 'x'.repeat(200), { ttlMs: 1_000 }));
  const rest = 2_000_000 - machine.inner.store.stats().liveBytes;
  const room = 'x'.repeat(rest + 900_000);
  assert.equal(machine.one(set('large', room)).type, ReplyType.full);
  machine.nowMs += 1_000;
  // One entry alone lets fewer expire than the large value needs.
  assert.equal(machine.one(set('large', room)).type, ReplyType.ok);
  const left = machine.inner.store.stats().entries - 1;
  assert.ok(left > 0, 'no more than is needed is removed at once');
  const sets = [{ key: utf8('other'), value: utf8('x'.repeat(left * 200)), ttlMs: 0, flags: 0 }];
  assert.equal(machine.one({ type: CommandType.setMany, sets }).type, ReplyType.ok);
  assert.equal(machine.one(set('too much', room)).type, ReplyType.full, 'full is full where nothing is due');
});

test('a type that stands before its value is taken off by a read, and what is stored keeps it', async () => {
  const machine = new Machine();
  const stored = typedValue('image/x-strange; v=1', utf8('v'));
  machine.one({ ...set('k', ''), ...stored } as SetCommand);
  const healed = new Machine();
  await healed.inner.restore(cut(machine.bytes()));
  for (const one of [machine, healed]) {
    const found = one.inner.read(utf8('k'))!;
    assert.equal(found.contentType, 'image/x-strange; v=1');
    assert.equal(fromUtf8(found.value), 'v');
  }
  assert.equal(healed.inner.stateHash(), machine.inner.stateHash());
});
