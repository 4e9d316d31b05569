import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import { CommandType, encodeLogEntry } from '@dcache/protocol';
import { freePort, until } from '@dcache/testing';
import { Server } from '../server.js';
import type { ServerOptions } from '../settings/options.js';
import { type Bounds, CacheStateMachine } from '../state/state-machine.js';
import { FoundingBounds } from './founding-bounds.js';

const founded = { maxBytes: 64 * 2 ** 20, eviction: 'none' } as const;

/** What is said of these bounds by a node that was given `asked`. */
function said(
  { maxBytes, eviction }: Pick<ServerOptions, 'maxBytes' | 'eviction'>,
  ...bounds: (typeof founded)[]
): string[] {
  const lines: string[] = [];
  const logger = { ...silentLogger, warn: (_: object, line: string) => void lines.push(line) };
  const checked = new FoundingBounds({ id: 'n1', asked: { maxBytes, eviction } }, logger);
  for (const one of bounds) checked.are(one);
  return lines;
}

test('bounds that were given and are not those of the cluster are told by name, once', () => {
  assert.deepEqual(said({ maxBytes: 2 ** 30 }, founded, founded), [
    'the cluster was founded with --max-bytes 67108864; --max-bytes 1073741824 of this node has no effect: only a cluster that is founded anew takes it',
  ]);
  assert.match(
    said({ maxBytes: 2 ** 30, eviction: 'fifo' }, founded)[0]!,
    /--max-bytes 67108864 and --eviction none; --max-bytes 1073741824 and --eviction fifo of this node have no effect/,
  );
  assert.match(
    said({ maxBytes: founded.maxBytes, eviction: 'sieve' }, founded)[0]!,
    /with --eviction none; --eviction/,
  );
});

test('nothing is said of bounds that are the same, or that nobody gave', () => {
  assert.deepEqual(said({}, founded), []);
  assert.deepEqual(said(founded, founded), []);
});

const addrOf = async (): Promise<string> => `127.0.0.1:${await freePort()}`;

test('a snapshot tells the bounds, as the entry that sets them does', async () => {
  const machine = (told: Bounds[]) => new CacheStateMachine({}, undefined, (bounds) => void told.push(bounds));
  const [told, restored]: [Bounds[], Bounds[]] = [[], []];
  const first = machine(told);
  const commands = [{ type: CommandType.configure, ...founded }] as const;
  first.apply({ data: encodeLogEntry({ stampMs: 1, commands }) });
  const snapshot = first.snapshot();
  await machine(restored).restore(
    (async function* () {
      yield* snapshot.chunks();
    })(),
  );
  snapshot.close();
  assert.deepEqual([told, restored], [[founded], [founded]]);
});

test('a node that joins hears of the bounds, and the founder says nothing', async () => {
  const warnings: [node: string, line: string][] = [];
  const start = async (id: string, options: ServerOptions): Promise<Server> => {
    const logger = { ...silentLogger, warn: (_: object, line: string) => void warnings.push([id, line]) };
    const server = new Server({ id, http: true, rpcPort: 0, ...options }, { logger });
    await server.start();
    return server;
  };
  const [addr, ...addrs] = [await addrOf(), await addrOf(), await addrOf()] as const;
  const first = await start('first', { addr, bootstrap: true, ...founded });
  const servers = [first];
  try {
    await until('the founder is ready', () => first.isReady);
    servers.push(await start('silent', { addr: addrs[0], join: [addr] }));
    servers.push(await start('other', { addr: addrs[1], join: [addr], maxBytes: 2 ** 30 }));
    await until('all are ready', () => servers.every((server) => server.isReady));
    const about = warnings.filter(([, line]) => line.includes('was founded with'));
    assert.deepEqual(
      about.map(([node]) => node),
      ['other'],
    );
    assert.match(about[0]![1], /--max-bytes 67108864; --max-bytes 1073741824 of this node has no effect/);
  } finally {
    for (const server of servers.reverse()) await server.stop();
  }
});
