import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { type ConfState, type Entry, EntryType, type SnapshotMetadata } from './core/message.js';
import type { LogStorage } from './storage.js';

/** Entries `from` to `to` of one term; the data says which they are. */
export function entriesOf(term: number, from: number, to: number, bytes = 0): Entry[] {
  const entries: Entry[] = [];
  for (let index = from; index <= to; index++) {
    const text = `${index}/${term}`;
    entries.push({ index, term, type: EntryType.normal, data: utf8(text.padEnd(bytes, '.')) });
  }
  return entries;
}

/** Members with these voters. */
export function confStateOf(...voters: number[]): ConfState {
  return { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
}

export function metadataOf(index: number, term: number): SnapshotMetadata {
  return { index, term, confState: confStateOf(1, 2, 3) };
}

/** All entries that a log has, as plain values. */
export function allOf(storage: LogStorage): Entry[] {
  const entries = storage.entries(storage.firstIndex(), storage.lastIndex() + 1, Number.POSITIVE_INFINITY);
  return (entries ?? []).map((entry) => ({ ...entry, data: new Uint8Array(entry.data) }));
}

/** Writes a snapshot if the storage keeps any. */
export async function writeState(storage: LogStorage, metadata: SnapshotMetadata, state: string): Promise<void> {
  const file = await storage.writeSnapshot(metadata);
  await file?.write(utf8(state));
  await file?.finish();
}

/** What every `LogStorage` must do. `make` gives a new, empty one. */
export function testLogStorage(name: string, make: () => Promise<LogStorage>): void {
  const run = (what: string, body: (storage: LogStorage) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      const storage = await make();
      try {
        await body(storage);
      } finally {
        await storage.close();
      }
    });
  };

  run('a new log is empty and begins at 1', async (storage) => {
    assert.deepEqual([storage.firstIndex(), storage.lastIndex()], [1, 0]);
    assert.equal(storage.term(0), 0);
    assert.equal(storage.term(1), undefined);
    const { hardState, confState } = storage.initialState();
    assert.deepEqual(hardState, { term: 0, vote: 0, commit: 0 });
    assert.deepEqual(confState.voters, []);
    assert.equal(await storage.openSnapshot(), undefined);
    assert.deepEqual(allOf(storage), []);
  });

  run('what is appended is read back at once, before it is durable', async (storage) => {
    const durable = storage.append(entriesOf(1, 1, 3), { term: 1, vote: 2, commit: 0 });
    assert.equal(storage.lastIndex(), 3);
    assert.deepEqual(allOf(storage), entriesOf(1, 1, 3));
    assert.deepEqual(storage.initialState().hardState, { term: 1, vote: 2, commit: 0 });
    await durable;
  });

  run('entries replace what has their indexes or higher (Raft §5.3)', async (storage) => {
    await storage.append(entriesOf(1, 1, 5), undefined);
    await storage.append(entriesOf(2, 3, 3), undefined);
    assert.deepEqual(allOf(storage), [...entriesOf(1, 1, 2), ...entriesOf(2, 3, 3)]);
    assert.equal(storage.term(3), 2);
    assert.equal(storage.term(4), undefined);
  });

  run('entries are cut at the bytes asked for, but never to none', async (storage) => {
    await storage.append(entriesOf(1, 1, 10, 100), undefined);
    assert.equal(storage.entries(2, 9, 0)?.length, 1);
    assert.equal(storage.entries(2, 9, 250)?.length, 2);
    assert.equal(storage.entries(2, 9, 1e9)?.length, 7);
    assert.deepEqual(storage.entries(2, 2, 100), []);
  });

  run('compaction gives up a prefix and keeps the term of its end', async (storage) => {
    await storage.append([...entriesOf(1, 1, 5), ...entriesOf(2, 6, 10)], undefined);
    await writeState(storage, metadataOf(7, 2), 'seven');
    storage.compact(6);
    assert.deepEqual([storage.firstIndex(), storage.lastIndex()], [7, 10]);
    assert.deepEqual([storage.term(5), storage.term(6), storage.term(7)], [undefined, 2, 2]);
    assert.equal(storage.entries(6, 8, 1e9), undefined);
    assert.deepEqual(allOf(storage), entriesOf(2, 7, 10));
    storage.compact(3);
    assert.equal(storage.firstIndex(), 7);
    await storage.append(entriesOf(3, 11, 11), undefined);
    assert.equal(storage.lastIndex(), 11);
  });

  run('a snapshot of a leader replaces the whole log', async (storage) => {
    await storage.append(entriesOf(1, 1, 5), { term: 1, vote: 0, commit: 2 });
    await writeState(storage, metadataOf(9, 4), 'nine');
    await storage.applySnapshot(metadataOf(9, 4), { term: 4, vote: 0, commit: 9 });
    assert.deepEqual([storage.firstIndex(), storage.lastIndex(), storage.term(9)], [10, 9, 4]);
    assert.deepEqual(storage.initialState().confState, confStateOf(1, 2, 3));
    assert.deepEqual(storage.initialState().hardState, { term: 4, vote: 0, commit: 9 });
    await storage.append(entriesOf(4, 10, 11), undefined);
    assert.deepEqual(allOf(storage), entriesOf(4, 10, 11));
  });

  run('its size rises and falls with its entries, and says what to give up', async (storage) => {
    assert.equal(storage.sizeBytes, 0);
    await storage.append(entriesOf(1, 1, 10, 1000), undefined);
    const each = storage.sizeBytes / 10;
    assert.ok(each >= 1000);
    assert.equal(storage.firstIndexWithin(3 * each), 8);
    assert.equal(storage.firstIndexWithin(100 * each), 1);
    assert.equal(storage.firstIndexWithin(0), 11);
    await storage.append(entriesOf(2, 9, 9, 1000), undefined);
    assert.equal(storage.sizeBytes, 9 * each);
    await writeState(storage, metadataOf(9, 2), 'nine');
    storage.compact(4);
    assert.equal(storage.sizeBytes, 5 * each);
    await storage.applySnapshot(metadataOf(9, 2), undefined);
    assert.equal(storage.sizeBytes, 0);
  });

  run('an entry that would leave a gap is a mistake of the caller', async (storage) => {
    await storage.append(entriesOf(1, 1, 2), undefined);
    assert.throws(() => {
      void storage.append(entriesOf(1, 4, 4), undefined);
    }, /does not fit a log from 1 to 2/);
  });
}
