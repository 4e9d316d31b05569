import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import { HandClock, until } from '@dcache/testing';
import { TextMap } from '../cluster.test.helper.js';
import { MemoryStorage } from '../storage.js';
import { confStateOf, entriesOf } from '../storage.test.helper.js';
import { Compactor, type CompactorOptions } from './compactor.js';

function compactorOf(
  storage: MemoryStorage,
  options: Partial<CompactorOptions>,
): { compactor: Compactor; apply: (index: number) => void } {
  let applied = 0;
  const compactor = new Compactor({
    storage,
    stateMachine: new TextMap(),
    clock: new HandClock(),
    logger: silentLogger,
    trailingEntries: 100,
    trailingBytes: 1_000_000,
    snapshotLogBytes: 1e9,
    snapshotEntries: 1e9,
    maxChunkBytes: 1000,
    state: () => ({ index: applied, term: 1, confState: confStateOf(1) }),
    canSnapshot: () => true,
    floor: () => undefined,
    ...options,
  });
  return {
    compactor,
    apply: (index) => {
      applied = index;
      compactor.afterApply(0);
    },
  };
}

test('some entries stay behind the applied ones, for followers that lag', async () => {
  const storage = new MemoryStorage();
  const { apply } = compactorOf(storage, {});
  await storage.append(entriesOf(1, 1, 1000), undefined);
  apply(120);
  assert.equal(storage.firstIndex(), 1);
  apply(500);
  assert.equal(storage.firstIndex(), 401);
});

test('what a follower under repair will need is kept, but never more than the bytes allow (pitfall 18)', async () => {
  const storage = new MemoryStorage();
  const { apply } = compactorOf(storage, { floor: () => 50, trailingBytes: 500_000 });
  await storage.append(entriesOf(1, 1, 300, 1000), undefined);
  apply(300);
  assert.equal(storage.firstIndex(), 51);
  await storage.append(entriesOf(1, 301, 900, 1000), undefined);
  apply(900);
  assert.ok(storage.sizeBytes <= 500_000, `${storage.sizeBytes} bytes are kept`);
  assert.ok(storage.firstIndex() > 400);
});

test('what is not applied is never given up, however much it is', async () => {
  const storage = new MemoryStorage();
  const { apply } = compactorOf(storage, { trailingBytes: 1000, trailingEntries: 0 });
  await storage.append(entriesOf(1, 1, 300, 1000), undefined);
  apply(10);
  assert.equal(storage.firstIndex(), 11);
});

test('a snapshot that cannot be written is told with its error, as pino takes errors', async () => {
  const fault = new Error('the disk is gone');
  const storage = Object.defineProperties(new MemoryStorage(), {
    isDurable: { value: true },
    writeSnapshot: { value: () => Promise.reject(fault) },
  });
  const said: object[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void said.push(fields) };
  const { apply } = compactorOf(storage, { snapshotEntries: 1, logger });
  await storage.append(entriesOf(1, 1, 10), undefined);
  apply(10);
  await until('it is told', () => said.length > 0);
  assert.deepEqual(said, [{ err: fault }]);
});
