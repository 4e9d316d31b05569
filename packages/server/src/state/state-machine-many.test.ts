import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8, utf8 } from '@dcache/base';
import {
  type Command,
  CommandType,
  type Condition,
  ConditionType,
  type EntryWrite,
  encodeLogEntry,
  type Reply,
  ReplyType,
} from '@dcache/protocol';
import { CacheStateMachine } from './state-machine.js';

const absent: Condition = { type: ConditionType.absent, revision: 0 };

function write(key: string, value: string | Uint8Array, condition?: Condition): EntryWrite {
  return { key: utf8(key), value: typeof value === 'string' ? utf8(value) : value, ttlMs: 0, flags: 0, condition };
}

function make(eviction: 'sieve' | 'none' = 'sieve', maxBytes = 1_048_576) {
  const machine = new CacheStateMachine({ eviction, maxBytes });
  let stampMs = 1_000;
  const apply = (command: Command): Reply =>
    machine.apply({ data: encodeLogEntry({ stampMs: ++stampMs, commands: [command] }) })[0]!;
  const set = (key: string, value: string | Uint8Array): Reply =>
    apply({ type: CommandType.set, ...write(key, value) });
  const read = (key: string): string | undefined => {
    const found = machine.read(utf8(key));
    return found && fromUtf8(found.value);
  };
  return { machine, apply, set, read };
}

test('a multi-set gives its keys consecutive revisions and answers with the last', () => {
  const { machine, apply, set, read } = make();
  set('before', 'x');
  const reply = apply({ type: CommandType.setMany, sets: [write('a', '1'), write('b', '2'), write('c', '3')] });
  assert.deepEqual(reply, { type: ReplyType.ok, revision: 4 });
  assert.deepEqual(['a', 'b', 'c'].map(read), ['1', '2', '3']);
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => machine.read(utf8(key))?.revision),
    [2, 3, 4],
  );
});

test('a multi-set whose last condition fails writes nothing and says which it was', () => {
  const { machine, apply, set, read } = make();
  const old = set('taken', 'old').revision;
  const reply = apply({
    type: CommandType.setMany,
    sets: [write('a', '1'), write('b', '2', absent), write('taken', 'new', absent)],
  });
  assert.deepEqual(reply, { type: ReplyType.preconditionFailed, revision: old, count: 2 });
  assert.equal(machine.revision, old);
  assert.equal(machine.store.stats().entries, 1);
  assert.equal(read('taken'), 'old');
  assert.equal(read('a'), undefined);
});

test('a multi-set that does not fit writes nothing, whatever evicts', () => {
  const sets = [write('a', new Uint8Array(600)), write('b', new Uint8Array(600))];
  for (const eviction of ['sieve', 'none'] as const) {
    const { machine, apply, set } = make(eviction, 1_000);
    set('kept', 'x');
    const reply = apply({ type: CommandType.setMany, sets });
    assert.equal(reply.type, ReplyType.tooLarge, eviction);
    assert.equal(machine.store.stats().entries, 1, eviction);
  }
});

test('without eviction, a multi-set counts what it replaces, in whatever order it comes', () => {
  const { machine, apply, set, read } = make('none', 1_000);
  set('small', new Uint8Array(100));
  set('large', new Uint8Array(700));
  // 100 + 700 bytes become 700 + 100: it fits only because the second gives back what the first takes.
  const swap = [write('small', new Uint8Array(700)), write('large', new Uint8Array(100))];
  assert.equal(apply({ type: CommandType.setMany, sets: swap }).type, ReplyType.ok);
  assert.equal(machine.read(utf8('small'))?.value.length, 700);
  const more = apply({ type: CommandType.setMany, sets: [write('tiny', 'x'), write('other', new Uint8Array(300))] });
  assert.deepEqual(more, { type: ReplyType.full, revision: 0, count: 0 });
  assert.equal(read('tiny'), undefined);
  assert.equal(machine.store.stats().entries, 2);
});

test('a multi-set that is sent again under its session is applied once', () => {
  const { machine, apply, read } = make();
  const session = apply({ type: CommandType.openSession, ttlMs: 60_000 }).revision;
  const command: Command = {
    type: CommandType.setMany,
    sets: [write('a', '1', absent), write('b', '2')],
    session: { session, sequence: 1, lowestUnanswered: 1 },
  };
  const first = apply(command);
  assert.deepEqual(apply(command), first);
  assert.equal(machine.revision, first.revision);
  assert.equal(read('a'), '1');
});

test('a load fills in what is missing and leaves what was written meanwhile', () => {
  const { apply, set, read } = make('none', 1_000);
  set('mine', 'newer');
  const reply = apply({
    type: CommandType.load,
    entries: [write('mine', 'older'), write('theirs', 'saved'), write('huge', new Uint8Array(900))],
  });
  assert.equal(reply.type, ReplyType.ok);
  assert.equal(reply.count, 1);
  assert.equal(read('mine'), 'newer');
  assert.equal(read('theirs'), 'saved');
  assert.equal(read('huge'), undefined);
});

test('a clear deletes every entry; sessions and revisions go on', () => {
  const { machine, apply, set, read } = make();
  const session = apply({ type: CommandType.openSession, ttlMs: 60_000 }).revision;
  set('a', '1');
  const { revision } = machine;
  assert.deepEqual(apply({ type: CommandType.clear }), { type: ReplyType.ok, revision: revision + 1 });
  assert.equal(machine.store.stats().entries, 0);
  assert.equal(read('a'), undefined);
  const stamped = { type: CommandType.set, ...write('b', '2'), session: { session, sequence: 1, lowestUnanswered: 1 } };
  assert.equal(apply(stamped as Command).revision, revision + 2);
});
