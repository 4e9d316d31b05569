import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { Serf } from '@dcache/serf';
import { freePort, until } from '@dcache/testing';
import { type Cache, createCache } from './cache.js';
import { CacheError } from './errors.js';
import type { CacheOptions } from './options.js';

/** Three nodes on real sockets; the second and third know the first one alone. */
async function three(options: CacheOptions = {}): Promise<Cache<unknown>[]> {
  const first = await createCache({ ...options, listen: '127.0.0.1:0', peerId: 'a' });
  const address = first.members()[0]!.address;
  const second = await createCache({ ...options, listen: '127.0.0.1:0', peerId: 'b', peers: [address] });
  const third = await createCache({ ...options, listen: '127.0.0.1:0', peerId: 'c', peers: [address] });
  const caches = [first, second, third];
  await until('all see all', () => caches.every((cache) => cache.members().length === 3));
  await Promise.all(caches.map((cache) => cache.ready()));
  return caches;
}

const close = (caches: readonly Cache<unknown>[]): Promise<unknown> =>
  Promise.all(caches.map((cache) => cache.close({ timeout: 300 })));

test('three nodes find each other by one address and share every write', { timeout: 60_000 }, async () => {
  const caches = await three();
  const [a, b, c] = caches as [Cache<unknown>, Cache<unknown>, Cache<unknown>];
  a.set('user:1', { name: 'Ada', born: new Date(0) });
  await until('it is everywhere', () => caches.every((cache) => cache.has('user:1')));
  assert.deepEqual(c.get('user:1'), { name: 'Ada', born: new Date(0) });
  b.delete('user:1');
  await until('it is gone', () => caches.every((cache) => !cache.has('user:1')));
  for (let i = 0; i < 1000; i++) caches[i % 3]!.set(`k${i}`, i);
  await until('a thousand are everywhere', () => caches.every((cache) => cache.stats().keys === 1000));
  a.clear();
  await until('all is cleared', () => caches.every((cache) => cache.stats().keys === 0));
  await close(caches);
});

test('a newcomer takes the state, and is ready when it has it', { timeout: 60_000 }, async () => {
  const first = await createCache({ listen: '127.0.0.1:0', peerId: 'a', historyBytes: 1024 });
  for (let i = 0; i < 5000; i++) first.set(`k${i}`, { i, text: 'x'.repeat(100) });
  first.set('deleted', 1).delete('deleted');
  const second = await createCache({ listen: '127.0.0.1:0', peerId: 'b', peers: [first.members()[0]!.address] });
  const synced: unknown[] = [];
  second.on('sync-end', (event) => synced.push(event));
  await second.ready();
  assert.equal(second.stats().keys, 5000);
  assert.deepEqual(second.get('k4999'), { i: 4999, text: 'x'.repeat(100) });
  await close([first, second]);
});

test('fault 6: with a keyring nodes that have it share, and one without or with another, or of another cluster, is refused', {
  timeout: 60_000,
}, async () => {
  const keyring = [randomBytes(32).toString('base64')];
  const caches = await three({ keyring });
  caches[0]!.set('secret', 'kept');
  await until('it is everywhere', () => caches.every((cache) => cache.get('secret') === 'kept'));
  const peers = [caches[0]!.members()[0]!.address];
  for (const other of [{}, { keyring: [randomBytes(32).toString('base64')] }, { keyring, cluster: 'another' }]) {
    const errors: Error[] = [];
    const stranger = await createCache({ ...other, listen: '127.0.0.1:0', peers });
    stranger.on('error', (error) => errors.push(error));
    await stranger.ready();
    assert.equal(stranger.get('secret'), undefined);
    assert.equal(stranger.members().length, 1);
    stranger.set('secret', 'forged');
    await close([stranger]);
  }
  assert.equal(caches[1]!.get('secret'), 'kept');
  await close(caches);
});

test('a listen address that is taken is an error that names it', { timeout: 60_000 }, async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await assert.rejects(
    createCache({ listen: `127.0.0.1:${port}` }),
    (error) =>
      error instanceof CacheError && error.code === 'address-in-use' && error.message.includes(`127.0.0.1:${port}`),
  );
  await new Promise((resolve) => server.close(resolve));
});

test('a listen address that is none of this machine is an error that says so', { timeout: 60_000 }, async () => {
  // RFC 5737: an address that no machine has.
  await assert.rejects(
    createCache({ listen: '192.0.2.1:0' }),
    (error) =>
      error instanceof CacheError &&
      error.code === 'cannot-listen' &&
      /192\.0\.2\.1:0: no address of this/.test(error.message),
  );
});

test('a peer that does not answer is said, and tried again until it does', { timeout: 60_000 }, async () => {
  const port = await freePort();
  const warnings: unknown[] = [];
  const logger = { debug() {}, info() {}, error() {}, warn: (fields: object) => warnings.push(fields) };
  const early = await createCache({ listen: '127.0.0.1:0', peers: [`127.0.0.1:${port}`], logger });
  await early.ready();
  assert.ok(warnings.some((fields) => (fields as { code?: string }).code === 'join-failed'));
  early.set('k', 1);
  const late = await createCache({ listen: `127.0.0.1:${port}` });
  await until('they found each other', () => late.get('k') === 1);
  await close([early, late]);
});

test('a node joined by others meanwhile goes on looking for its own peer, and again when that one was away', {
  timeout: 60_000,
}, async () => {
  const listen = `127.0.0.1:${await freePort()}`;
  const second = await createCache({ listen: '127.0.0.1:0', peerId: 'b', peers: [listen] });
  const third = await createCache({ listen: '127.0.0.1:0', peerId: 'c', peers: [second.members()[0]!.address] });
  await until('they found each other', () => second.members().length === 2 && third.members().length === 2);
  third.set('k', 1);
  let first = await createCache({ listen, peerId: 'a' });
  await until('all see all', () => [first, second, third].every((cache) => cache.members().length === 3), 20_000);
  await until('the state came', () => first.get('k') === 1);
  await first.close();
  await until('it is seen to have left', () => second.members().length === 2 && third.members().length === 2);
  first = await createCache({ listen, peerId: 'a' });
  await until('all see all again', () => [first, second, third].every((c) => c.members().length === 3), 20_000);
  await until('the state came again', () => first.get('k') === 1);
  await close([first, second, third]);
});

test('a node whose only peer goes before it gave its state is ready with what it has', {
  timeout: 60_000,
}, async () => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as { port: number };
  const peer = new Serf({ name: 'p', bind: '127.0.0.1:0', label: 'bcache/bcache', tags: { bcache_port: `${port}` } });
  await peer.start();
  const cache = await createCache({ listen: '127.0.0.1:0', peers: [peer.address] });
  assert.equal(cache.members().length, 2);
  await peer.leave();
  await cache.ready();
  assert.equal(cache.members().length, 1);
  await close([cache]);
  silent.close();
});

test('the second of two nodes with one id is told, and does not disturb the first', { timeout: 60_000 }, async () => {
  const first = await createCache({ listen: '127.0.0.1:0', peerId: 'same' });
  first.set('k', 'first');
  const second = await createCache({
    listen: '127.0.0.1:0',
    peerId: 'same',
    peers: [first.members()[0]!.address],
    logger: { debug() {}, info() {}, error() {}, warn: () => {} },
  });
  const errors: Error[] = [];
  for (const cache of [first, second]) cache.on('error', (error) => errors.push(error));
  await until('it is said', () => errors.some((error) => error instanceof CacheError && error.code === 'duplicate-id'));
  assert.equal(first.get('k'), 'first');
  await close([first, second]);
});

test('a hundred callers on three nodes run one filler', { timeout: 60_000 }, async () => {
  const caches = await three();
  let runs = 0;
  const filler = async (): Promise<string> => {
    runs++;
    await until('every node wants the value', () => caches.every((cache) => cache.stats().fillsInFlight === 1));
    return 'filled';
  };
  const all = await Promise.all(
    Array.from({ length: 99 }, (_, i) => caches[i % 3]!.getOrSet('popular', filler, { ttl: '1m' })),
  );
  assert.deepEqual(new Set(all), new Set(['filled']));
  assert.equal(runs, 1);
  await close(caches);
});
