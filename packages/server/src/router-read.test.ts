import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromUtf8, utf8 } from '@dcache/base';
import { DcacheError, encodeLogEntry, ReadLevel } from '@dcache/protocol';
import { make, set } from './router.test.helper.js';

test('a linearizable read takes a barrier and then sees what was applied while it waited', async () => {
  const { log, router } = make();
  log.onBarrier = () => {
    log.machine.apply({ data: encodeLogEntry({ stampMs: 1, commands: [set('a', 'new')] }).slice() });
  };
  const found = await router.read(utf8('a'));
  assert.equal(found && fromUtf8(found.value), 'new');
  assert.deepEqual(log.barriers, ['linearizable']);
});

test('a read under a lease that ended meanwhile is not used, but made again with a round', async () => {
  const { log, router } = make();
  await router.write(set('a', 'old'));
  log.leases.push(false, false, false, false);
  log.onBarrier = () => {
    if (log.barriers.at(-1) === 'linearizable')
      log.machine.apply({ data: encodeLogEntry({ stampMs: 1, commands: [set('a', 'new')] }).slice() });
  };
  const found = await router.read(utf8('a'), { level: ReadLevel.lease });
  assert.equal(found && fromUtf8(found.value), 'new');
  // A leader that once offered to hand over has no lease for the rest of its term: that must not loop.
  assert.deepEqual(log.barriers, ['lease', 'linearizable']);
});

test('a local read takes no barrier, and hides what has expired by this node’s own clock', async () => {
  const { log, clock, time, router } = make();
  const stampMs = clock.wallMs();
  time.observe(stampMs);
  log.machine.apply({ data: encodeLogEntry({ stampMs, commands: [set('a', '1', 1_000), set('b', '2')] }).slice() });
  const local = { level: ReadLevel.local };
  clock.pass(999);
  assert.ok(await router.read(utf8('a'), local));
  clock.pass(1);
  assert.equal(await router.read(utf8('a'), local), undefined);
  assert.ok(await router.read(utf8('b'), local));
  assert.ok(await router.read(utf8('a')), 'other levels go by the applied stamp');
  assert.deepEqual(log.barriers, ['linearizable']);
});

test('a newcomer without data refuses local reads until it is a member, and answers them from then on', async () => {
  const { log, router } = make();
  const local = { level: ReadLevel.local };
  const { status } = log;
  for (const strange of [{ id: 9 }, { isReadable: false }]) {
    log.status = () => ({ ...status.call(log), ...strange });
    await assert.rejects(router.read(utf8('a'), local), {
      code: 'not-ready',
      message: /it is joining the cluster; ask/,
    });
    await assert.rejects(router.readMany([utf8('a')], local), { code: 'not-ready' });
  }
  log.status = status;
  assert.equal(await router.read(utf8('a'), local), undefined);
  log.status = () => ({ ...status.call(log), isReadable: false });
  assert.equal(await router.read(utf8('a'), local), undefined, 'what it has stays readable');
});

test('an error of the log that is not about leadership ends a read at once', async () => {
  const { log, router } = make();
  log.barrierFailures.push(new DcacheError('busy', 'too many reads'));
  await assert.rejects(router.read(utf8('a')), { code: 'busy' });
  assert.deepEqual(log.barriers, ['linearizable']);
});
