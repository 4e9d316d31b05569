import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { concatBytes, fromUtf8, silentLogger, systemClock, utf8 } from '@dcache/base';
import { CommandType, encodeLogEntry, ReadLevel } from '@dcache/protocol';
import { EntryType } from '@dcache/raft';
import { freePort, until } from '@dcache/testing';
import { LogHome } from './log/log-home.js';
import { Server } from './server.js';
import { CacheStateMachine } from './state/state-machine.js';

/** A durable node that holds one key, stopped; `spoil` then does to its disk what a newer version would. */
async function durable(
  run: (parts: {
    readonly start: () => Promise<Server>;
    readonly open: () => Promise<LogHome>;
    readonly files: () => Promise<string>;
    /** Where it lies. */
    readonly folder: string;
  }) => Promise<void>,
): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'dcache-format-'));
  const servers: Server[] = [];
  const fatal: Error[] = [];
  const start = async (): Promise<Server> => {
    const addr = `127.0.0.1:${await freePort()}`;
    const options = { id: 'n1', http: true, rpcPort: 0, addr, inMemory: false, dataDir, bootstrap: true };
    const server = new Server(options, { onFatal: (error) => void fatal.push(error) });
    servers.push(server);
    await server.start();
    await until('it is ready, or cannot go on', () => server.isReady || fatal.length > 0);
    if (fatal.length > 0) throw fatal[0];
    return server;
  };
  const open = (): Promise<LogHome> =>
    LogHome.open({ inMemory: false, dataDir, name: 'n1', clock: systemClock, logger: silentLogger });
  /** All that lies there, apart from the lock. */
  const files = async (): Promise<string> => {
    const hash = createHash('sha256');
    const names = (await readdir(dataDir, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile() && !/lock/i.test(entry.name) && entry.name !== 'serf.snapshot')
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
    for (const name of names) hash.update(`${name}\n`).update(await readFile(name));
    return hash.digest('hex');
  };
  try {
    const server = await start();
    await server.write({ type: CommandType.set, key: utf8('kept'), value: utf8('v'), ttlMs: 0, flags: 0 });
    await server.stop();
    await run({ start, open, files, folder: dataDir });
  } finally {
    await Promise.all(servers.map((server) => server.stop().catch(() => undefined)));
    await rm(dataDir, { recursive: true, force: true });
  }
}

test('a node whose log has an entry of a newer format ends with one line that says so, and loses nothing', async () => {
  await durable(async ({ start, open, files }) => {
    const home = await open();
    const { hardState } = home.storage.initialState();
    const index = home.storage.lastIndex() + 1;
    const data = encodeLogEntry({ stampMs: Date.now(), commands: [] }).slice();
    data[0] = 2;
    const { term } = hardState;
    await home.storage.append([{ index, term, type: EntryType.normal, data }], { ...hardState, commit: index });
    await home.storage.close();
    const before = await files();
    await assert.rejects(start(), (error: Error) => {
      assert.match(
        error.message,
        new RegExp(`entry ${index} threw: log entry of format 2; this version reads format 1, so a newer one wrote it`),
      );
      return true;
    });
    assert.equal(await files(), before);
  });
});

test('a node whose snapshot has a newer format does not start, says so in one line, and loses nothing', async () => {
  await durable(async ({ start, open, files }) => {
    const home = await open();
    const { hardState, confState } = home.storage.initialState();
    const index = home.storage.lastIndex();
    const machine = new CacheStateMachine({ maxBytes: 1_048_576 });
    const snapshot = machine.snapshot();
    const bytes = concatBytes([...snapshot.chunks()]).slice();
    snapshot.close();
    bytes[8] = 3;
    const view = new DataView(bytes.buffer);
    view.setUint32(4, crc32(bytes.subarray(8, 8 + view.getUint32(0))));
    const file = await home.storage.writeSnapshot({ index, term: hardState.term, confState })!;
    await file.write(bytes);
    await file.finish();
    await home.storage.close();
    const before = await files();
    await assert.rejects(
      start(),
      /restore of snapshot \d+ threw: snapshot of format 3; this version reads formats 1 to 2, so/,
    );
    assert.equal(await files(), before);
  });
});

test('a node whose name file has a newer format does not start and says so; one that cannot be read is damaged', async () => {
  await durable(async ({ start, folder }) => {
    const path = join(folder, 'dcache.json');
    for (const [text, message] of [
      ['{"format":2,"id":"n1"}', /dcache\.json is of format 2; this version reads format 1, so a newer one wrote it/],
      ['{"format":1}', /dcache\.json is damaged/],
      ['null', /dcache\.json is damaged/],
      ['{"form', /dcache\.json is damaged/],
    ] as const) {
      await writeFile(path, text);
      await assert.rejects(start(), message);
      assert.equal(await readFile(path, 'utf8'), text);
    }
  });
});

test('the same node with its own formats goes on', async () => {
  await durable(async ({ start }) => {
    const server = await start();
    const found = await server.read(utf8('kept'), { level: ReadLevel.linearizable });
    assert.equal(found && fromUtf8(found.value), 'v');
  });
});
