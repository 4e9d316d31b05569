import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { until } from '@dcache/testing';
import fastify from 'fastify';
import { Keyv } from 'keyv';
import { type Cache, createCache } from '../cache.js';
import { MemoryHub } from '../memory-bus.js';
import { fastifyBcache } from './fastify.js';
import { KeyvBcache } from './keyv.js';
import { type NextCacheEntry, type NextCacheHandler, nextCacheHandler } from './next.js';

async function pair(): Promise<[Cache<unknown>, Cache<unknown>]> {
  const hub = new MemoryHub();
  return [await createCache({ bus: hub.bus('a'), peerId: 'a' }), await createCache({ bus: hub.bus('b'), peerId: 'b' })];
}

test('Keyv keeps, expires and clears its values in a cache, and another node has them', async () => {
  const [a, b] = await pair();
  const users = new Keyv({ store: new KeyvBcache(a), namespace: 'users' });
  const elsewhere = new Keyv({ store: new KeyvBcache(b), namespace: 'users' });
  const others = new Keyv({ store: new KeyvBcache(a), namespace: 'others' });
  await users.set('1', { name: 'Ada' });
  await others.set('1', 'other');
  assert.deepEqual(await users.get('1'), { name: 'Ada' });
  await until('it is elsewhere', () => b.stats().keys === 2);
  assert.deepEqual(await elsewhere.get('1'), { name: 'Ada' });
  assert.deepEqual(await users.getMany(['1', '2']), [{ name: 'Ada' }, undefined]);
  assert.equal(await users.has('1'), true);
  await users.set('short', 1, 20);
  await until('it expired', () => !a.has('users:short') && !a.has('keyv:users:short'));
  assert.equal(await users.get('short'), undefined);
  await users.clear();
  assert.equal(await users.get('1'), undefined);
  assert.equal(await others.get('1'), 'other');
  assert.equal(await others.delete('1'), true);
  await Promise.all([a.close(), b.close()]);
});

test('the Fastify plugin opens a cache with the server, for all routes, and closes it with the server', async () => {
  const server = fastify();
  await server.register(fastifyBcache, { maxKeys: 10 });
  const { cache } = server as unknown as { cache: Cache<string> };
  let loads = 0;
  server.get('/user/:id', async (request) => {
    const { id } = request.params as { id: string };
    return { user: await cache.getOrSet(id, async () => `user ${id}, loaded ${++loads}`) };
  });
  for (let i = 0; i < 2; i++) {
    const answer = await server.inject({ url: '/user/7' });
    assert.deepEqual(answer.json(), { user: 'user 7, loaded 1' });
  }
  await server.close();
  assert.throws(() => cache.set('k', 'v'), /closed/);
});

const entry = (text: string, more: Partial<NextCacheEntry> = {}): NextCacheEntry => ({
  value: new Response(text).body!,
  tags: ['posts'],
  stale: 1,
  timestamp: Date.now() - 10,
  expire: 3600,
  revalidate: 60,
  ...more,
});

const textOf = async (entry: NextCacheEntry | undefined): Promise<string | undefined> =>
  entry === undefined ? undefined : new Response(entry.value).text();

/** Next.js rounds its time, so that a tag may expire half a millisecond after the call. */
async function untilMissed(handler: NextCacheHandler, key: string): Promise<void> {
  await until(`${key} is a miss`, async () => (await handler.get(key, [])) === undefined);
}

/**
 * What Next.js 16 asks of a handler. Its own passes too: `NEXT_DIR=folder-with-node_modules node --test ...` runs these
 * against it. It is no dependency of the tests: 370 MB for one file.
 */
function testNextHandler(name: string, make: () => Promise<NextCacheHandler>): void {
  test(`${name}: a read waits for the pending write of its key, and each gets a stream of its own`, async () => {
    const handler = await make();
    let finish!: (entry: NextCacheEntry) => void;
    const written = handler.set('page', new Promise((resolve) => (finish = resolve)));
    const reading = handler.get('page', []);
    finish(entry('<p>hello</p>'));
    await written;
    assert.equal(await textOf(await reading), '<p>hello</p>');
    const found = (await handler.get('page', []))!;
    assert.equal(await textOf(found), '<p>hello</p>');
    assert.deepEqual([found.tags, found.revalidate, found.expire], [['posts'], 60, 3600]);
    assert.equal(await handler.get('another', []), undefined);
  });

  test(`${name}: what is due, broken or not to be kept is a miss`, async () => {
    const handler = await make();
    await handler.set('due', Promise.resolve(entry('old', { timestamp: Date.now() - 61_000 })));
    assert.equal(await handler.get('due', []), undefined);
    await handler.set('kept', Promise.resolve(entry('kept')));
    const failing = (): ReadableStream<Uint8Array> =>
      new ReadableStream({ start: (controller) => controller.error(new Error('broken')) });
    for (const key of ['broken', 'kept']) await handler.set(key, Promise.resolve(entry('', { value: failing() })));
    assert.equal(await handler.get('broken', []), undefined);
    assert.equal(await textOf(await handler.get('kept', [])), 'kept');
    await handler.set('dynamic', Promise.resolve(entry('once', { expire: 0 })));
    assert.equal(await handler.get('dynamic', []), undefined);
  });

  test(`${name}: a tag expires what was rendered before, or makes it stale first`, { timeout: 10_000 }, async () => {
    const handler = await make();
    await handler.refreshTags();
    assert.equal(await handler.getExpiration(['never']), 0);
    await handler.set('page', Promise.resolve(entry('before')));
    await handler.set('other', Promise.resolve(entry('other', { tags: ['other'] })));
    await handler.updateTags(['posts']);
    assert.ok((await handler.getExpiration(['posts', 'never'])) > 0);
    await untilMissed(handler, 'page');
    await handler.set('page', Promise.resolve(entry('after', { timestamp: Date.now() + 5 })));
    assert.equal(await textOf(await handler.get('page', [])), 'after');

    await handler.updateTags(['other'], { expire: 60 });
    const stale = (await handler.get('other', []))!;
    assert.deepEqual([await textOf(stale), stale.revalidate], ['other', -1]);
    await handler.updateTags(['other'], { expire: 0 });
    await untilMissed(handler, 'other');
  });
}

testNextHandler('nextCacheHandler', async () => nextCacheHandler((await createCache()).namespace('next')));

if (process.env['NEXT_DIR'] !== undefined) {
  const { createDefaultCacheHandler } = createRequire(`${process.env['NEXT_DIR']}/`)(
    'next/dist/server/lib/cache-handlers/default.js',
  ) as { createDefaultCacheHandler: (maxBytes: number) => NextCacheHandler };
  testNextHandler("Next.js' own handler", async () => createDefaultCacheHandler(1_000_000));
}

test('with the Next.js handler one server has what another rendered, and a tag revalidated on one is on all', async () => {
  const [a, b] = await pair();
  const [one, other] = [nextCacheHandler(a.namespace('next')), nextCacheHandler(b.namespace('next'))];
  await one.set('page', Promise.resolve(entry('<p>hello</p>')));
  await until('it is elsewhere', () => b.stats().keys === 1);
  assert.equal(await textOf(await other.get('page', [])), '<p>hello</p>');
  await other.updateTags(['posts']);
  assert.equal(await other.get('page', []), undefined);
  await until('the tag arrived', () => a.namespace('next').namespace('tags').has('posts'));
  assert.equal(await one.get('page', []), undefined);
  await Promise.all([a.close(), b.close()]);
});
