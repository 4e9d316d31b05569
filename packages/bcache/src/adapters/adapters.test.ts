import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastify from 'fastify';
import { Keyv } from 'keyv';
import { type Cache, createCache } from '../cache.js';
import { MemoryHub } from '../memory-bus.js';
import { until } from '../testing/until.js';
import { fastifyBcache } from './fastify.js';
import { KeyvBcache } from './keyv.js';
import { type NextCacheEntry, nextCacheHandler } from './next.js';

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
  timestamp: Date.now(),
  expire: 3600,
  revalidate: 60,
  ...more,
});

test('the Next.js handler shares what was rendered, waits for what is pending, and revalidates by tag', async () => {
  const [a, b] = await pair();
  const [one, other] = [nextCacheHandler(a.namespace('next')), nextCacheHandler(b.namespace('next'))];
  let finish!: (entry: NextCacheEntry) => void;
  const written = one.set('page', new Promise((resolve) => (finish = resolve)));
  const reading = one.get('page', []);
  finish(entry('<p>hello</p>'));
  await written;
  assert.equal(await new Response((await reading)!.value).text(), '<p>hello</p>');
  await until('it is elsewhere', () => b.stats().keys === 1);
  const found = (await other.get('page', []))!;
  assert.equal(await new Response(found.value).text(), '<p>hello</p>');
  assert.deepEqual([found.tags, found.revalidate], [['posts'], 60]);

  await other.updateTags(['posts']);
  assert.ok((await other.getExpiration(['posts', 'x'])) > 0);
  assert.equal(await other.get('page', []), undefined);
  await until('the tag arrived', () => a.namespace('next').namespace('tags').has('posts'));
  assert.equal(await one.get('page', []), undefined);

  await one.set('due', Promise.resolve(entry('old', { tags: [], timestamp: Date.now() - 61_000 })));
  assert.equal(await one.get('due', []), undefined);
  const failing = new ReadableStream<Uint8Array>({ start: (controller) => controller.error(new Error('broken')) });
  await one.set('broken', Promise.resolve(entry('', { value: failing })));
  assert.equal(await one.get('broken', []), undefined);
  await Promise.all([a.close(), b.close()]);
});
