import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, silentLogger } from '@dcache/base';
import { HandClock, turn } from '@dcache/testing';
import { codeOf } from '../cluster.test.helper.js';
import type { Entry, HardState } from '../core/message.js';
import { RaftError } from '../errors.js';
import { allOf, entriesOf, metadataOf, writeState } from '../storage.test.helper.js';
import { DiskStorage, type DiskStorageOptions } from './disk-storage.js';
import { segmentName } from './segment-store.js';
import { SimulatedDisk } from './simulated-disk.js';

const directory = '/log';

function open(disk: SimulatedDisk, options: Partial<DiskStorageOptions> = {}): Promise<DiskStorage> {
  return DiskStorage.open({
    directory,
    fileSystem: disk.mount(),
    segmentBytes: 65_536,
    random: new SeededRandom(7),
    ...options,
  });
}

function fileOf(sequence: number): string {
  return `${directory}/${segmentName(sequence)}`;
}

/** Lets everything run that does not wait for the disk. */
async function settle(): Promise<void> {
  await turn(20);
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  promise.then(note, note);
  await settle();
  return settled;
}

test('an append is done only when it is synced, a vote too (pitfalls 2 and 3)', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 1), { term: 2, vote: 0, commit: 0 });
  await settle();
  disk.holdSyncs = true;
  const vote = storage.append([], { term: 2, vote: 3, commit: 0 });
  assert.equal(await isSettled(vote), false);
  const entries = storage.append(entriesOf(1, 2, 2), undefined);
  assert.equal(await isSettled(entries), false);
  const term = storage.append([], { term: 3, vote: 3, commit: 0 });
  assert.equal(await isSettled(term), false);
  disk.holdSyncs = false;
  disk.releaseSyncs();
  await Promise.all([entries, vote, term]);
  disk.crash();
  const after = await open(disk);
  assert.deepEqual(after.initialState().hardState, { term: 3, vote: 3, commit: 0 });
  assert.equal(after.lastIndex(), 2);
});

test('an answer that needs nothing new written waits for what was written before it', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 1), { term: 2, vote: 0, commit: 0 });
  await settle();
  const syncs = disk.syncs;
  await storage.append([], { term: 2, vote: 0, commit: 1 });
  await storage.append([], undefined);
  assert.equal(disk.syncs, syncs, 'with nothing before it, it costs no sync');
  disk.holdSyncs = true;
  const entries = storage.append(entriesOf(1, 2, 2), undefined);
  const commitOnly = storage.append([], { term: 2, vote: 0, commit: 1 });
  const nothing = storage.append([], undefined);
  assert.deepEqual(await Promise.all([entries, commitOnly, nothing].map(isSettled)), [false, false, false]);
  disk.holdSyncs = false;
  disk.releaseSyncs();
  await Promise.all([entries, commitOnly, nothing]);
});

test('a commit index alone costs no sync, and is at most late', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 3), { term: 1, vote: 0, commit: 0 });
  await settle();
  const syncs = disk.syncs;
  await storage.append([], { term: 1, vote: 0, commit: 3 });
  assert.equal(disk.syncs, syncs);
  await storage.append(entriesOf(1, 4, 4), undefined);
  disk.crash();
  assert.equal((await open(disk)).initialState().hardState.commit, 3);
});

test('no entry is on disk without the commit indexes that came before it, however frames are cut', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 5, 1000), { term: 1, vote: 0, commit: 0 });
  await settle();
  disk.holdSyncs = true;
  // While a frame is on its way: a commit index, and then more than a segment holds, so that it takes several frames.
  const writes = [storage.append(entriesOf(1, 6, 6), undefined)];
  await settle();
  writes.push(storage.append([], { term: 1, vote: 0, commit: 5 }));
  for (let index = 7; index <= 150; index++) writes.push(storage.append(entriesOf(1, index, index, 1000), undefined));
  for (const write of writes) write.catch(() => undefined);
  for (let frame = 0; frame < 2; frame++) {
    disk.releaseSyncs();
    await settle();
  }
  disk.crash();
  const after = await open(disk);
  assert.ok(after.lastIndex() > 6 && after.lastIndex() < 150, `${after.lastIndex()} entries are there`);
  assert.equal(after.initialState().hardState.commit, 5);
});

test('what is appended during a sync shares the next one (group commit)', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 1), undefined);
  await settle();
  const syncs = disk.syncs;
  disk.holdSyncs = true;
  const appends = [storage.append(entriesOf(1, 2, 2), undefined)];
  await settle();
  for (let index = 3; index <= 50; index++) appends.push(storage.append(entriesOf(1, index, index), undefined));
  disk.holdSyncs = false;
  disk.releaseSyncs();
  await Promise.all(appends);
  assert.equal(disk.syncs, syncs + 2);
});

test('the first failed sync is the end: it is not tried again though it would succeed (pitfall 4)', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 1), undefined);
  await settle();
  disk.failNextSync();
  const failed = storage.append(entriesOf(1, 2, 2), undefined);
  await assert.rejects(
    failed,
    (error) => error instanceof RaftError && error.code === 'io' && /log-0+1\.wal/.test(error.message),
  );
  assert.equal(await codeOf(storage.append(entriesOf(1, 2, 2), undefined)), 'io');
  assert.equal(await codeOf(storage.append([], { term: 9, vote: 0, commit: 0 })), 'io');
  disk.crash();
  assert.deepEqual(allOf(await open(disk)), entriesOf(1, 1, 1));
});

test('a full disk shows before the write that matters; it recovers when space returns (pitfall 5)', async () => {
  const disk = new SimulatedDisk();
  const clock = new HandClock();
  const said: string[] = [];
  const say = (_: object, message: string): void => void said.push(message);
  const storage = await open(disk, { clock, logger: { ...silentLogger, info: say, error: say } });
  await storage.append(entriesOf(1, 1, 1, 1000), undefined);
  await settle();
  assert.equal(storage.isFull, false);
  said.length = 0;
  disk.capacityBytes = disk.usedBytes;
  let last = 1;
  // The first segment and its spare are there, so it shows when the spare is taken, with a whole segment of room left.
  while (!storage.isFull) {
    last++;
    await storage.append(entriesOf(1, last, last, 1000), undefined);
    await settle();
  }
  assert.ok(last > 50 && last < 80);
  for (let i = 0; i < 40; i++) {
    last++;
    await storage.append(entriesOf(1, last, last, 1000), undefined);
  }
  const waiting = storage.append(entriesOf(1, last + 1, last + 100, 1000), { term: 2, vote: 1, commit: 0 });
  assert.equal(await isSettled(waiting), false);
  assert.equal(storage.lastIndex(), last + 100);
  assert.equal(allOf(storage).length, last + 100);
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  clock.pass(1000);
  await waiting;
  await storage.append(entriesOf(1, last + 101, last + 101), undefined);
  assert.equal(storage.isFull, false);
  assert.deepEqual(said, ['the disk is full', 'the disk takes the log again']);
  disk.crash();
  assert.equal((await open(disk)).lastIndex(), last + 101);
});

test('a new log on a full disk is an error at once, and leaves nothing locked', async () => {
  const disk = new SimulatedDisk({ capacityBytes: 10_000 });
  assert.equal(await codeOf(open(disk)), 'disk-full');
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 1), undefined);
});

test('a log that waits for space can be closed', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 1), undefined);
  await settle();
  disk.capacityBytes = disk.usedBytes;
  const waiting = storage.append(entriesOf(1, 2, 500, 1000), undefined);
  const code = codeOf(waiting);
  await settle();
  await storage.close();
  assert.equal(await code, 'io');
});

test('a power cut at any moment loses nothing acknowledged, and only whole appends (pitfalls 6 and 7)', async () => {
  for (let seed = 1; seed <= 60; seed++) await powerCut(seed);
});

/** Appends at random, cuts the power in the midst of it, and compares what is there with what was said to be. */
async function powerCut(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const disk = new SimulatedDisk({ random });
  /** The log after each append, in order. */
  const states: { entries: readonly Entry[]; hardState: HardState; first: number }[] = [
    { entries: [], hardState: { term: 0, vote: 0, commit: 0 }, first: 1 },
  ];
  let durable = 0;
  for (let life = 0; life < 4; life++) {
    const storage = await open(disk, { random, cacheBytes: random.below(3) * 4000 });
    const now = { entries: allOf(storage), hardState: storage.initialState().hardState, first: storage.firstIndex() };
    const found = states.findLastIndex((state) => isSame(state, now));
    assert.ok(found >= durable, `seed ${seed}, life ${life}: state ${found} was found, ${durable} was acknowledged`);
    states.length = found + 1;
    durable = found;
    const appends = random.below(40);
    for (let i = 0; i < appends; i++) {
      const { term, commit } = storage.initialState().hardState;
      const last = storage.lastIndex();
      const from = Math.max(commit + 1, last + 1 - random.below(3));
      const newTerm = term + (from <= last || random.below(8) === 0 ? 1 : 0);
      const entries = entriesOf(newTerm, from, from + random.below(4) - 1, random.below(3000));
      const isCut = entries.length > 0 ? entries.at(-1)!.index : Math.max(last, 0);
      const hardState = {
        term: newTerm,
        vote: random.below(4),
        commit: Math.max(commit, Math.min(isCut, last) - random.below(5)),
      };
      const written = storage.append(entries, hardState);
      const at = states.length;
      states.push({ entries: allOf(storage), hardState, first: storage.firstIndex() });
      written.then(
        () => {
          if (hardState.term !== term || entries.length > 0) durable = Math.max(durable, at);
        },
        () => {},
      );
      if (random.below(3) === 0) await written;
      else if (random.below(2) === 0) await Promise.resolve();
      if (random.below(20) === 0) await settle();
    }
    disk.crash();
  }
}

/** Whether a log holds what another held, but for entries given up and a commit index that is late. */
function isSame(
  expected: { entries: readonly Entry[]; hardState: HardState },
  found: { entries: readonly Entry[]; hardState: HardState },
): boolean {
  const sameState =
    expected.hardState.term === found.hardState.term &&
    expected.hardState.vote === found.hardState.vote &&
    expected.hardState.commit >= found.hardState.commit;
  const key = (entries: readonly Entry[]): string =>
    entries.map(({ index, term, data }) => `${index}:${term}:${data.length}`).join();
  return sameState && key(expected.entries) === key(found.entries);
}

test('a bit that rots in what was acknowledged is an error that names file and offset (pitfall 6)', async () => {
  const make = async (): Promise<SimulatedDisk> => {
    const disk = new SimulatedDisk();
    const storage = await open(disk);
    for (let index = 1; index <= 30; index++) await storage.append(entriesOf(1, index, index, 700), undefined);
    await storage.close();
    return disk;
  };
  const contents = (await make()).contents(fileOf(1));
  const end = contents.findLastIndex((byte) => byte !== 0);
  for (let at = 0; at <= end; at += 149) {
    const disk = await make();
    disk.flipBit(fileOf(1), at);
    // Only padding between frames and in the header may rot unseen: nothing is in it.
    try {
      const storage = await open(disk);
      assert.equal(storage.lastIndex(), 30, `byte ${at}: entries were cut silently`);
      assert.equal(contents[at], 0, `byte ${at}: the damage was not seen`);
    } catch (error) {
      assert.ok(error instanceof RaftError && error.code === 'corrupt', String(error));
      assert.match(error.message, /log-0+1\.wal at offset \d+/);
    }
  }
});

test('a file of the log that is missing or shortened is an error', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  for (let index = 1; index <= 200; index++) await storage.append(entriesOf(1, index, index, 1000), undefined);
  await storage.close();
  disk.truncate(fileOf(2), 30_000);
  await assert.rejects(open(disk), /log-0+2\.wal at offset \d+/);
  disk.remove(fileOf(2));
  await assert.rejects(open(disk), /log-0+2\.wal is missing/);
});

test('entries read from the disk later are checked again', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk, { cacheBytes: 0 });
  await storage.append(entriesOf(1, 1, 10, 700), undefined);
  disk.flipBit(fileOf(1), 3000);
  assert.throws(() => allOf(storage), /log-0+1\.wal at offset \d+.*checksum of entry/);
});

test('a snapshot is there whole or not at all, whenever the power goes (pitfall 7)', async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new SeededRandom(seed);
    const disk = new SimulatedDisk({ random });
    const storage = await open(disk);
    await storage.append(entriesOf(1, 1, 20), { term: 1, vote: 0, commit: 20 });
    await writeState(storage, metadataOf(5, 1), 'five');
    let finished = false;
    const writing = writeState(storage, metadataOf(10, 1), 'ten'.padEnd(5000, '.')).then(
      () => {
        finished = true;
      },
      () => {},
    );
    for (let i = random.below(30); i > 0; i--) await Promise.resolve();
    const wasFinished = finished;
    disk.crash();
    await writing;
    const after = await open(disk);
    const stored = await after.openSnapshot();
    const { index } = stored!.metadata;
    assert.ok(index === 10 || (index === 5 && !wasFinished), `seed ${seed}: the snapshot of ${index} is there`);
    let text = '';
    for await (const chunk of stored!.chunks()) text += Buffer.from(chunk).toString();
    assert.equal(text, index === 5 ? 'five' : 'ten'.padEnd(5000, '.'));
    assert.equal(disk.list(directory).filter((name) => name.startsWith('snapshot')).length, 1);
    await after.close();
  }
});

test('a snapshot of a leader that became durable before the log said so is what the log begins with', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 5), { term: 1, vote: 1, commit: 3 });
  await writeState(storage, metadataOf(50, 4), 'fifty');
  disk.crash();
  const after = await open(disk);
  assert.deepEqual([after.firstIndex(), after.lastIndex(), after.term(50)], [51, 50, 4]);
  assert.deepEqual(after.initialState().hardState, { term: 4, vote: 0, commit: 50 });
  await after.append(entriesOf(4, 51, 52), undefined);
  disk.crash();
  assert.deepEqual(allOf(await open(disk)), entriesOf(4, 51, 52));
});

test('a snapshot whose bytes rotted is an error that names file and offset', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  await storage.append(entriesOf(1, 1, 5), { term: 1, vote: 0, commit: 5 });
  await writeState(storage, metadataOf(5, 1), 'the state');
  const name = disk.list(directory).find((file) => file.startsWith('snapshot'))!;
  disk.flipBit(`${directory}/${name}`, disk.contents(`${directory}/${name}`).length - 20);
  const stored = await storage.openSnapshot();
  await assert.rejects(async () => {
    for await (const _ of stored!.chunks());
  }, /snapshot-.*\.snap at offset \d+/);
});

test('segments that a snapshot covers are removed, and what remains stands alone', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  for (let index = 1; index <= 400; index++)
    await storage.append(entriesOf(3, index, index, 1000), { term: 3, vote: 2, commit: index - 1 });
  await writeState(storage, metadataOf(390, 3), 'state');
  storage.compact(380);
  await settle();
  const segments = disk.list(directory).filter((name) => name.endsWith('.wal'));
  assert.equal(segments.length, 1);
  disk.crash();
  const after = await open(disk);
  assert.equal(after.initialState().hardState.vote, 2);
  assert.equal(after.lastIndex(), 400);
  assert.ok(after.firstIndex() <= 381);
  assert.deepEqual(allOf(after), entriesOf(3, after.firstIndex(), 400, 1000));
});

test('a folder of another node, another cluster or another process is refused', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk, { nodeId: 5, clusterId: 'mine' });
  assert.equal(await codeOf(open(disk)), 'foreign');
  await storage.close();
  assert.equal(await codeOf(open(disk, { nodeId: 6 })), 'foreign');
  assert.equal(await codeOf(open(disk, { clusterId: 'theirs' })), 'foreign');
  const again = await open(disk);
  assert.deepEqual([again.nodeId, again.clusterId], [5, 'mine']);
  assert.equal(await codeOf(again.adoptCluster('theirs')), 'foreign');
});

test('an entry larger than a segment gets a segment of its own size', async () => {
  const disk = new SimulatedDisk();
  const storage = await open(disk);
  const entries = [...entriesOf(1, 1, 3, 1000), ...entriesOf(1, 4, 4, 300_000), ...entriesOf(1, 5, 5)];
  await storage.append(entries, { term: 1, vote: 0, commit: 0 });
  disk.crash();
  assert.deepEqual(allOf(await open(disk)), entries);
});
