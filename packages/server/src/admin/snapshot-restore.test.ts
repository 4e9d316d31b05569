import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock, utf8 } from '@dcache/base';
import { type Command, CommandType, DcacheError, encodeLogEntry } from '@dcache/protocol';
import { Store } from '@dcache/store';
import { CacheStateMachine } from '../state/state-machine.js';
import { SnapshotFileReader, writeSnapshotFile } from './snapshot-file.js';
import { SnapshotRestore } from './snapshot-restore.js';

const mebibyte = 1_048_576;

/** Bytes of a file with these entries, saved at log time 1,000. */
function file(entries: Record<string, { value: Uint8Array; expiresAtMs?: number; flags?: number }>): Buffer {
  const store = new Store();
  store.advance(1_000);
  let revision = 0;
  for (const [key, { value, ...meta }] of Object.entries(entries))
    store.set(utf8(key), value, { revision: ++revision, ...meta });
  return Buffer.concat([...writeSnapshotFile(store.snapshot().chunks())]);
}

function read(bytes: Uint8Array, pieceBytes: number = bytes.length): Store {
  const reader = new SnapshotFileReader(16 * mebibyte);
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.write(bytes.subarray(at, at + pieceBytes));
  return reader.finish();
}

/** A cluster of one, and what was sent to it. */
function target(nowMs: number, fail: (command: Command, at: number) => string | undefined = () => undefined) {
  const machine = new CacheStateMachine({});
  const sent: Command[] = [];
  const write = async (command: Command) => {
    sent.push(command);
    const fault = fail(command, sent.length);
    // A lost answer: the command is applied, and its sender does not hear of it.
    const reply = machine.apply({ data: encodeLogEntry({ stampMs: nowMs, commands: [command] }) })[0]!;
    if (fault) throw new DcacheError(fault as 'unknown-outcome', fault);
    return reply;
  };
  const after = (_: number, run: () => void) => {
    setImmediate(run);
    return () => {};
  };
  const clock = { ...systemClock, after };
  const restore = new SnapshotRestore({ write, clock, nowMs: () => nowMs, maxValueBytes: mebibyte });
  return { machine, sent, restore };
}

test('a file is read back however it was cut, with times, flags and large values', async () => {
  const bytes = file({
    a: { value: utf8('1') },
    brief: { value: utf8('2'), expiresAtMs: 5_000, flags: 7 },
    large: { value: new Uint8Array(300_000).fill(9) },
  });
  for (const pieceBytes of [1, 7, 4_096, bytes.length]) {
    const { machine, restore } = target(2_000);
    assert.deepEqual(await restore.run(read(bytes, pieceBytes), false), { restored: 3, expired: 0, skipped: 0 });
    const brief = machine.read(utf8('brief'));
    assert.equal(brief?.expiresAtMs, 5_000, 'it expires when it would have');
    assert.equal(brief?.flags, 7);
    assert.equal(machine.read(utf8('large'))?.value.length, 300_000);
  }
});

test('what has expired since it was saved stays out', async () => {
  const bytes = file({ brief: { value: utf8('2'), expiresAtMs: 5_000 }, a: { value: utf8('1') } });
  const { machine, restore } = target(5_000);
  assert.deepEqual(await restore.run(read(bytes), false), { restored: 1, expired: 1, skipped: 0 });
  assert.equal(machine.read(utf8('brief')), undefined);
});

test('a file that is cut short, changed or none at all is refused, and nothing of it is used', () => {
  const bytes = file({ a: { value: new Uint8Array(5_000).fill(1) }, b: { value: utf8('2') } });
  for (let length = 0; length < bytes.length; length += 97)
    assert.throws(() => read(bytes.subarray(0, length)), { code: 'bad-argument' }, `cut at ${length}`);
  for (let at = 0; at < bytes.length; at += 41) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 0x20;
    assert.throws(() => read(changed), { code: 'bad-argument' }, `changed at ${at}`);
  }
  assert.throws(() => read(Buffer.from('a text file, say')), { message: /not a dcache snapshot/ });
});

test('a file beyond what the cluster may hold is refused before it takes memory', () => {
  const reader = new SnapshotFileReader(1_000);
  reader.write(new Uint8Array(utf8('DCACHE1\n')));
  assert.throws(() => reader.write(new Uint8Array(1_000)), { code: 'too-large' });
});

test('batches stay within their bound and lost answers lead to no second application', async () => {
  const entries: Record<string, { value: Uint8Array }> = {};
  for (let i = 0; i < 3_000; i++) entries[`key-${i}`] = { value: new Uint8Array(500).fill(i) };
  const { machine, sent, restore } = target(2_000, (_, at) => (at % 3 === 0 ? 'unknown-outcome' : undefined));
  assert.deepEqual(await restore.run(read(file(entries)), true), { restored: 3_000, expired: 0, skipped: 0 });
  assert.equal(machine.store.stats().entries, 3_000);
  assert.equal(sent.filter((command) => command.type === CommandType.clear).length, 1);
  const loads = sent.filter((command) => command.type === CommandType.load);
  assert.ok(loads.length > 4, `${loads.length} loads, with those sent again`);
  for (const load of loads) assert.ok(load.entries.reduce((sum, entry) => sum + entry.value.length, 0) <= 512 * 1024);
  assert.equal(machine.sessionCount, 0, 'the session is closed');
});

test('an error that waiting does not help ends the restore', async () => {
  const { restore } = target(2_000, (_, at) => (at === 2 ? 'too-large' : undefined));
  await assert.rejects(restore.run(read(file({ a: { value: utf8('1') } })), false), { code: 'too-large' });
});
