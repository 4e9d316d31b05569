import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Command,
  CommandType,
  DcacheError,
  decodeLogEntry,
  type LogEntry,
  maxBatchBytes,
  type Reply,
  ReplyType,
  type SetCommand,
} from '@dcache/protocol';
import { HandClock, turn } from '@dcache/testing';
import fc from 'fast-check';
import { GroupCommit } from './group-commit.js';
import { LogTime } from './log-time.js';

const set = (key: string, valueBytes = 1): SetCommand => ({
  type: CommandType.set,
  key: Buffer.from(key),
  value: new Uint8Array(valueBytes),
  ttlMs: 0,
  flags: 0,
});

/** A log that keeps its entries and lets the test settle them. */
class FakeLog {
  readonly entries: LogEntry[] = [];
  readonly settle: ((replies: readonly Reply[] | Error) => void)[] = [];
  isImmediate = true;

  propose = (data: Uint8Array): Promise<readonly Reply[]> => {
    const entry = decodeLogEntry(data.slice());
    this.entries.push(entry);
    const replies = entry.commands.map((_, i) => ({ type: ReplyType.ok, revision: this.entries.length * 1000 + i }));
    if (this.isImmediate) return Promise.resolve(replies);
    return new Promise((resolve, reject) =>
      this.settle.push((result) => (result instanceof Error ? reject(result) : resolve(result))),
    );
  };
}

function make(maxWaitingBytes = 64 * 1_048_576) {
  const log = new FakeLog();
  const clock = new HandClock();
  return { log, clock, commit: new GroupCommit(log.propose, new LogTime(clock), maxWaitingBytes) };
}

const keysOf = (entry: LogEntry): string[] =>
  entry.commands.map((command) => ('key' in command ? Buffer.from(command.key).toString() : ''));

test('commands that came together are one entry with those of others, and told together what became of each', async () => {
  const { log, commit } = make();
  const [first, settled] = await Promise.all([commit.append(set('a')), commit.appendAll([set('b'), set('c')])]);
  assert.deepEqual(log.entries.map(keysOf), [['a', 'b', 'c']]);
  assert.equal(first.revision, 1000);
  assert.deepEqual(
    settled.map((one) => one.reply?.revision),
    [1001, 1002],
  );
  assert.deepEqual(await commit.appendAll([]), []);
});

test('of commands that came together each has its own end: refused, failed with its entry, or applied', async () => {
  const { log, commit } = make(3_000);
  log.isImmediate = false;
  const together = commit.appendAll([set('a', 1_000), set('b', 1_000), set('c', 1_000), set('d', 10)]);
  await turn();
  log.settle[0]!([
    { type: ReplyType.ok, revision: 1 },
    { type: ReplyType.ok, revision: 2 },
    { type: ReplyType.ok, revision: 3 },
  ]);
  const ends = (await together).map(({ reply, error }) => reply?.revision ?? (error as DcacheError).code);
  assert.deepEqual(ends, [1, 2, 'busy', 3]);

  const lost = commit.appendAll([set('e'), set('f')]);
  await turn();
  log.settle[1]!(new DcacheError('unknown-outcome', 'lost'));
  assert.deepEqual(
    (await lost).map(({ error }) => (error as DcacheError).code),
    ['unknown-outcome', 'unknown-outcome'],
  );
});

test('all commands of one turn become one entry in order, and each gets its own reply', async () => {
  const { log, commit } = make();
  const replies = await Promise.all(['a', 'b', 'c'].map((key) => commit.append(set(key))));
  assert.deepEqual(log.entries.map(keysOf), [['a', 'b', 'c']]);
  assert.deepEqual(
    replies.map((reply) => reply.revision),
    [1000, 1001, 1002],
  );
  await commit.append(set('d'));
  assert.deepEqual(log.entries.map(keysOf), [['a', 'b', 'c'], ['d']]);
});

test('an entry is stamped once, and never lower than the one before', async () => {
  const { log, clock, commit } = make();
  await commit.append(set('a'));
  clock.wallAheadMs -= 3_600_000;
  await commit.append(set('b'));
  clock.pass(10);
  await commit.appendTime();
  const [first, second, third] = log.entries as [LogEntry, LogEntry, LogEntry];
  assert.equal(first.stampMs, 1_700_000_000_000);
  assert.ok(second.stampMs >= first.stampMs);
  assert.ok(third.stampMs > second.stampMs);
  assert.deepEqual(third.commands, [], 'an entry that carries only time has no commands');
});

test('a batch is cut at 1 MiB, and a larger command travels alone; order and replies stay', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(1_500_000), { minLength: 1, maxLength: 8 }), async (sizes) => {
      const { log, commit } = make();
      const replies = await Promise.all(sizes.map((size, i) => commit.append(set(`k${i}`, size))));
      assert.deepEqual(
        log.entries.flatMap(keysOf),
        sizes.map((_, i) => `k${i}`),
      );
      for (const entry of log.entries) {
        const bytes = entry.commands.reduce((sum, command) => sum + (command as SetCommand).value.length, 0);
        assert.ok(entry.commands.length === 1 || bytes <= maxBatchBytes, `${bytes} bytes in one entry`);
      }
      // Two neighbours that would fit together are together: no needless entries.
      for (let i = 1; i < log.entries.length; i++) {
        const [before, after] = [log.entries[i - 1]!, log.entries[i]!];
        const bytes = [...before.commands, after.commands[0]!].reduce(
          (sum, command) => sum + (command as SetCommand).value.length + 64,
          0,
        );
        assert.ok(bytes > maxBatchBytes, 'cut before it was full');
      }
      let at = 0;
      log.entries.forEach((entry, number) => {
        entry.commands.forEach((_, i) => {
          assert.equal(replies[at++]!.revision, (number + 1) * 1000 + i);
        });
      });
    }),
    { numRuns: 40 },
  );
});

test('past the bound a write is busy at once, one that is larger than the bound goes when nothing waits', async () => {
  const { log, commit } = make(1_000);
  const large = commit.append(set('large', 5_000));
  await assert.rejects(commit.append(set('more')), (error: unknown) => {
    assert.ok(error instanceof DcacheError);
    assert.equal(error.code, 'busy');
    return true;
  });
  await large;
  await commit.append(set('later'));
  assert.deepEqual(log.entries.map(keysOf), [['large'], ['later']]);
});

test('an entry that fails rejects its commands with that error, and no others', async () => {
  const { log, commit } = make();
  log.isImmediate = false;
  const first = commit.append(set('a', 900_000));
  const second = commit.append(set('b', 900_000));
  await turn();
  assert.equal(log.settle.length, 2);
  log.settle[0]!(new DcacheError('unknown-outcome', 'lost'));
  log.settle[1]!([{ type: ReplyType.ok, revision: 5 }]);
  await assert.rejects(first, { code: 'unknown-outcome' });
  assert.deepEqual(await second, { type: ReplyType.ok, revision: 5 });
});

test('a log or a codec that throws rejects the commands of that entry; the rest of the turn goes on', async () => {
  const time = new LogTime(new HandClock());
  const throwing = new GroupCommit(
    () => {
      throw new Error('out of order');
    },
    time,
    1_000_000,
  );
  await assert.rejects(throwing.append(set('a')), /out of order/);

  const { log, commit } = make();
  const wrong: Command = { ...set('a', 1_048_500), ttlMs: -1 };
  const results = await Promise.allSettled([commit.append(wrong), commit.append(set('b', 1_000))]);
  assert.equal(results[0]!.status, 'rejected', 'a ttl below zero cannot be written');
  assert.equal(results[1]!.status, 'fulfilled');
  assert.deepEqual(log.entries.map(keysOf), [['b']]);
});

test('a log that answers with fewer replies than commands is an internal error, not a silent nothing', async () => {
  const { log, commit } = make();
  log.isImmediate = false;
  const both = Promise.allSettled([commit.append(set('a')), commit.append(set('b'))]);
  await turn();
  log.settle[0]!([{ type: ReplyType.ok, revision: 1 }]);
  for (const result of await both) {
    assert.ok(result.status === 'rejected' && result.reason instanceof DcacheError);
    assert.equal(result.reason.code, 'internal');
  }
});
