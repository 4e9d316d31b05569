import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemoryLog } from '../conformance/memory-log.js';
import { entriesSize, entrySize } from './entry-size.js';
import { RaftLog } from './log.js';
import { type Entry, EntryType, noBytes, type Snapshot } from './message.js';
import { Unstable } from './unstable.js';

function entry(index: number, term: number, bytes = 0): Entry {
  return { index, term, type: EntryType.normal, data: new Uint8Array(bytes) };
}

function snapshotAt(index: number, term: number): Snapshot {
  const confState = { voters: [1], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  return { metadata: { index, term, confState }, data: noBytes };
}

/** Terms from 10 on, for checks. */
function termsOf(unstable: Unstable): readonly (number | undefined)[] {
  return Array.from({ length: 6 }, (_, i) => unstable.term(10 + i));
}

test('entries that follow are added, entries that overlap replace the end', () => {
  const unstable = new Unstable(10, undefined);
  unstable.replaceFrom([entry(10, 1), entry(11, 1), entry(12, 1)]);
  assert.deepEqual(termsOf(unstable), [1, 1, 1, undefined, undefined, undefined]);
  unstable.replaceFrom([entry(13, 1)]);
  unstable.replaceFrom([entry(12, 2), entry(13, 2)]);
  assert.deepEqual(termsOf(unstable), [1, 1, 2, 2, undefined, undefined]);
  unstable.replaceFrom([entry(9, 3)]);
  assert.deepEqual([unstable.offset, unstable.term(9), unstable.term(10)], [9, 3, undefined]);
});

test('what was replaced while it was being written is handed out to be written again', () => {
  const unstable = new Unstable(10, undefined);
  unstable.replaceFrom([entry(10, 1), entry(11, 1), entry(12, 1)]);
  unstable.accept();
  assert.equal(unstable.hasNext, false);
  unstable.replaceFrom([entry(11, 2)]);
  assert.deepEqual(
    unstable.next().map(({ index, term }) => [index, term]),
    [[11, 2]],
  );
});

test('a write is taken for done only where the log still says what was written', () => {
  const unstable = new Unstable(10, undefined);
  unstable.replaceFrom([entry(10, 1), entry(11, 1)]);
  unstable.accept();
  unstable.replaceFrom([entry(11, 2)]);
  unstable.stableTo(11, 1);
  assert.equal(unstable.length, 2);
  unstable.stableTo(10, 1);
  assert.deepEqual([unstable.offset, unstable.length], [11, 1]);
  unstable.stableTo(11, 2);
  assert.deepEqual([unstable.offset, unstable.length, unstable.hasNext], [12, 0, false]);
  unstable.stableTo(11, 2);
  assert.equal(unstable.offset, 12);
});

test('a snapshot empties the unstable log, knows its own term, and is gone once written', () => {
  const unstable = new Unstable(10, undefined);
  unstable.replaceFrom([entry(10, 1)]);
  unstable.restore(snapshotAt(20, 3));
  assert.deepEqual([unstable.offset, unstable.length, unstable.lastIndex, unstable.term(20)], [21, 0, 20, 3]);
  unstable.stableTo(20, 3);
  assert.equal(unstable.offset, 21, 'the snapshot is no entry');
  unstable.accept();
  assert.equal(unstable.nextSnapshot, undefined);
  unstable.stableSnapshotTo(19);
  assert.notEqual(unstable.snapshot, undefined);
  unstable.stableSnapshotTo(20);
  assert.equal(unstable.snapshot, undefined);
});

/** A log with `stored` entries in storage and `unstable` ones after them, of random sizes. */
const layout = fc.record({
  sizes: fc.array(fc.nat(40), { minLength: 1, maxLength: 20 }),
  split: fc.nat(20),
  lo: fc.nat(19),
  hi: fc.nat(20),
  maxBytes: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constant(Number.POSITIVE_INFINITY)),
});

test('a slice is the longest run from its start that fits, at least one entry, wherever the entries lie', () => {
  fc.assert(
    fc.property(layout, ({ sizes, split, lo, hi, maxBytes }) => {
      const all = sizes.map((size, i) => entry(1 + i, 1, size));
      const storage = new MemoryLog();
      storage.append(all.slice(0, split));
      const log = new RaftLog(storage, Number.POSITIVE_INFINITY, undefined);
      log.append(all.slice(split));
      const from = Math.min(lo, all.length - 1);
      const to = Math.max(from, Math.min(hi, all.length));
      const expected: Entry[] = [];
      for (const next of all.slice(from, to)) {
        if (expected.length > 0 && entriesSize(expected) + entrySize(next) > maxBytes) break;
        expected.push(next);
      }
      assert.deepEqual(log.slice(from + 1, to + 1, maxBytes), expected);
    }),
  );
});

test('a log takes what a leader sends and becomes its prefix, whatever it held before (Raft §5.3, log matching)', () => {
  const terms = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 8 }).map((list) => list.sort((a, b) => a - b));
  fc.assert(
    fc.property(terms, terms, fc.nat(8), fc.nat(8), fc.nat(8), (own, leaders, split, start, length) => {
      // Both logs share what they have in common: an entry's index and term say what it is and what is before it.
      const shared = own.findIndex((term, i) => term !== leaders[i]);
      const common = shared === -1 ? Math.min(own.length, leaders.length) : shared;
      const mine = own.map((term, i) => entry(1 + i, i < common ? term : term + 10));
      const theirs = leaders.map((term, i) => entry(1 + i, i < common ? term : term + 20));
      const storage = new MemoryLog();
      storage.append(mine.slice(0, split));
      const log = new RaftLog(storage, Number.POSITIVE_INFINITY, undefined);
      log.append(mine.slice(split));
      const prev = Math.min(start, theirs.length);
      const sent = theirs.slice(prev, prev + length);
      const end = log.tryAppend(prev, prev === 0 ? 0 : theirs[prev - 1]!.term, sent, 0);
      assert.equal(end !== undefined, prev <= common, 'taken if and only if the place before is here');
      if (end === undefined) return;
      assert.equal(end, prev + sent.length);
      for (let index = 1; index <= end; index++) assert.equal(log.term(index), theirs[index - 1]!.term);
      // Nothing beyond was cut unless it contradicted.
      const isContradicted = end > common && common < mine.length;
      assert.equal(log.lastIndex, isContradicted ? end : Math.max(end, mine.length));
    }),
  );
});

test('an entry counts for as many bytes as it takes in protobuf', () => {
  assert.equal(entrySize(entry(1, 1)), 6);
  assert.equal(entrySize(entry(128, 1)), 7);
  assert.equal(entrySize(entry(1, 1, 1)), 9);
  assert.equal(entrySize(entry(2 ** 52, 300, 200)), 4 + 8 + 2 + 1 + 2 + 200);
});
