import assert from 'node:assert/strict';
import dns from 'node:dns/promises';
import { EventEmitter, once } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { until } from '@dcache/testing';
import type { Serf, SerfError } from './index.js';
import { sees, start } from './node.test.helper.js';

test('a join that nobody answers tells what was wrong with each address', async () => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as { port: number };
  await new Promise((resolve) => closed.close(resolve));
  const one = await start('one');
  await assert.rejects(one.join([`127.0.0.1:${port}`, '[zz]:1', one.address]), (error: SerfError) => {
    assert.equal(error.code, 'join-failed');
    assert.match(error.message, /ECONNREFUSED/);
    assert.match(error.message, /"\[zz\]:1" is not an address/);
    assert.match(error.message, /it is this member itself/);
    return true;
  });
  await assert.rejects(one.join([]), { code: 'join-failed' });
});

test('a join says each address once, and that an answer under another key cannot be read', async () => {
  const key = (byte: number): string[] => [Buffer.alloc(16, byte).toString('base64')];
  const one = await start('one', { keyring: key(1) });
  const two = await start('two', { keyring: key(2) });
  await assert.rejects(two.join([one.address]), {
    message: `no address answered: ${one.address} gave an answer that cannot be read: no installed key opens the message`,
  });
  await assert.rejects(two.join(['127.0.0.1:1']), {
    message: 'no address answered: 127.0.0.1:1: connect ECONNREFUSED',
  });
});

test('a join counts the addresses that answered and resolves host names', async () => {
  const one = await start('one');
  const two = await start('two');
  const three = await start('three');
  const { port } = one.localMember();
  assert.equal(await three.join([`localhost:${port}`, two.address, '127.0.0.1:1']), 2);
  await Promise.all([sees(one, 'two', 'alive'), sees(two, 'one', 'alive')]);
});

test('a join can be given up', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as { port: number };
  const one = await start('one', { streamTimeoutMs: 60_000 });
  const abort = new AbortController();
  const joining = one.join([`127.0.0.1:${port}`], { signal: abort.signal });
  await once(silent, 'connection');
  abort.abort(new Error('enough'));
  await assert.rejects(joining, /enough/);
  silent.close();
});

test('a join that is given up counts what had answered', async () => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as { port: number };
  const one = await start('one');
  const two = await start('two', { streamTimeoutMs: 60_000 });
  const abort = new AbortController();
  const connected = once(silent, 'connection');
  const joining = two.join([`127.0.0.1:${port}`, one.address], { signal: abort.signal });
  await Promise.all([sees(two, 'one', 'alive'), sees(one, 'two', 'alive'), connected]);
  abort.abort(new Error('enough'));
  assert.equal(await joining, 1);
  silent.close();
});

test('a member goes on looking for those it seeks, whoever else answers, until it stops', async () => {
  const one = await start('one');
  const two = await start('two');
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port } = free.address() as { port: number };
  await new Promise((resolve) => free.close(resolve));
  const told: string[] = [];
  const faults = new EventEmitter();
  const seeker = two.seek([one.address, two.address, `localhost:${port}`], {
    onFault: (address) => {
      told.push(address);
      faults.emit('told');
    },
  });
  const isTold = once(faults, 'told');
  assert.deepEqual(await seeker.start(), []);
  await Promise.all([sees(two, 'one', 'alive'), isTold]);
  const three = await start('three', { bind: `127.0.0.1:${port}` });
  await Promise.all([sees(two, 'three', 'alive'), sees(three, 'one', 'alive')]);
  assert.deepEqual(told, [`localhost:${port}`]);
});

test('a member that is restarted before it is missed, and joins nobody, finds its pool again at once', async () => {
  // Neither a full exchange nor a reconnect comes within the test.
  const rare = { pushPullIntervalMs: 3_600_000, reconnectIntervalMs: 3_600_000, suspicionMult: 60 };
  const [one, two, three] = [await start('one', rare), await start('two', rare), await start('three', rare)];
  await Promise.all([two.join([one.address]), three.join([one.address])]);
  await Promise.all([sees(two, 'three', 'alive'), sees(three, 'two', 'alive')]);
  const isSilent = (serf: Serf): boolean => serf.stats().queuedClaims + serf.stats().queuedIntents === 0;
  // What is still gossiped would tell of the others as well.
  await until('nothing is gossiped any more', () => [one, two, three].every(isSilent));
  const bind = one.address;
  await one.stop();
  const again = await start('one', { ...rare, bind, tags: { run: 'second' } });
  await Promise.all([sees(again, 'two', 'alive'), sees(again, 'three', 'alive')]);
  await until('the new one is known', () => two.member('one')?.tags.get('run') === 'second');
  assert.equal(three.member('one')?.status, 'alive');
});

test('a name whose lookup hangs keeps neither a join that is given up nor one that is answered elsewhere', async (t) => {
  const [one, two] = [await start('one'), await start('two')];
  const { lookup } = dns;
  let lookups = 0;
  t.after(() => {
    dns.lookup = lookup;
    syncBuiltinESMExports();
  });
  dns.lookup = (() => {
    lookups++;
    return new Promise(() => {});
  }) as unknown as typeof lookup;
  syncBuiltinESMExports();
  const abort = new AbortController();
  const joining = two.join(['hangs.example:1', one.address], { signal: abort.signal });
  await sees(two, 'one', 'alive');
  abort.abort(new Error('enough'));
  assert.equal(await joining, 1);
  await assert.rejects(two.join(['hangs.example:1'], { signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' });
  assert.equal(lookups, 1, 'a lookup that is under way is not begun again');
});

test('a search that was stopped is not kept', async () => {
  // On a busy machine a member that leaves could be given up as failed before, and so be lost twice.
  const patient = { suspicionMult: 60 };
  const [one, two] = [await start('one', patient), await start('two', patient)];
  const heard: string[] = [];
  const [stopped, going] = ['stopped', 'going'].map((name) => {
    const seeker = two.seek([one.address]);
    seeker.lost = () => void heard.push(name);
    return seeker;
  });
  await Promise.all([stopped!.start(), going!.start()]);
  await sees(two, 'one', 'alive');
  stopped!.stop();
  await one.leave();
  await sees(two, 'one', 'left');
  assert.deepEqual(heard, ['going']);
});
