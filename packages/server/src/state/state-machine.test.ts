import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8, utf8 } from '@dcache/base';
import {
  type Command,
  CommandType,
  ConditionType,
  encodeLogEntry,
  type Reply,
  ReplyType,
  type SetCommand,
  typedValue,
} from '@dcache/protocol';
import { ConfChangeType } from '@dcache/raft';
import { workBudget } from './state-machine.js';
import { confState, cut, del, failed, identity, Machine, ok, set, start } from './state-machine.test.helper.js';

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
