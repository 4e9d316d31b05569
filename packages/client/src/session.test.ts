import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SessionStamp } from '@dcache/protocol';
import { turn } from '@dcache/testing';
import { again, Session } from './session.js';

/** A session whose writes end when the test says so. */
function make(maxPending = 10_000) {
  let opened = 0;
  const session = new Session(async () => ++opened * 100, maxPending);
  const stamps: SessionStamp[] = [];
  const ends: ((result: number | typeof again) => void)[] = [];
  const write = (): Promise<number> =>
    session.run((stamp) => {
      stamps.push(stamp);
      return new Promise((resolve) => ends.push(resolve));
    });
  return { session, stamps, ends, write, opened: () => opened };
}

test('the lowest unanswered number moves on over those that were answered', async () => {
  const { stamps, ends, write } = make();
  const writes = [write(), write(), write()];
  await turn();
  ends[1]!(1);
  await writes[1];
  writes.push(write());
  await turn();
  assert.equal(stamps[3]!.lowestUnanswered, 1, 'the first is still under way');
  ends[0]!(1);
  await writes[0];
  writes.push(write());
  await turn();
  assert.deepEqual(stamps[4], { session: 100, sequence: 5, lowestUnanswered: 3 });
  for (const end of ends) end(1);
  await Promise.all(writes);
});

test('a write that hangs does not fill its session: those that come later get another', async () => {
  const { stamps, ends, write, opened } = make();
  const hanging = write();
  await turn();
  for (let i = 1; i < 4_200; i++) {
    const one = write();
    while (ends.length <= i) await turn();
    ends[i]!(i);
    await one;
  }
  assert.equal(opened(), 2);
  for (const { session, sequence, lowestUnanswered } of stamps)
    assert.ok(sequence - lowestUnanswered < 4_000, `${session}: ${sequence} with ${lowestUnanswered} unanswered`);
  ends[0]!(7);
  assert.equal(await hanging, 7, 'and it keeps its own');
});

test('many writes that find their session gone open one new session', async () => {
  const { stamps, ends, write, opened } = make();
  const writes = [write(), write(), write()];
  await turn();
  for (const end of ends.splice(0)) end(again);
  while (ends.length < 3) await turn();
  assert.equal(opened(), 2);
  assert.deepEqual(
    stamps.slice(3).map(({ session, sequence }) => [session, sequence]),
    [
      [200, 1],
      [200, 2],
      [200, 3],
    ],
  );
  for (const end of ends) end(1);
  await Promise.all(writes);
});

test('a session that cannot be opened fails the writes that wait, and the next write tries anew', async () => {
  let tries = 0;
  const session = new Session(async () => {
    if (++tries === 1) throw new Error('no servers');
    return 5;
  }, 10);
  const both = await Promise.allSettled([session.run(async () => 1), session.run(async () => 1)]);
  assert.deepEqual(
    both.map((one) => one.status),
    ['rejected', 'rejected'],
  );
  assert.equal(await session.run(async ({ session: id }) => id), 5);
  assert.equal(tries, 2);
});
