import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import type { Member } from '@dcache/serf';
import { HandClock, turn } from '@dcache/testing';
import { askForMs, type FoundingParts, isToFound } from './founding.js';

/** Nodes that see each other's tags at once, as far as they answer. */
class Pool {
  readonly clock = new HandClock();
  readonly tags = new Map<string, string | undefined>();
  readonly founded: string[] = [];
  isCluster = false;
  isStopping = false;

  /** Starts to look for a cluster; `answers` tells whether its addresses lead anywhere. */
  start(name: string, answers: () => boolean, ask?: FoundingParts['ask']): Promise<boolean> {
    const member = ([other, founder]: [string, string | undefined]) =>
      ({ name: other, status: 'alive', tags: new Map(founder === undefined ? [] : [['founder', founder]]) }) as const;
    const parts: FoundingParts = {
      name,
      serf: { members: () => (answers() ? [...this.tags].map(member) : []) as unknown as Member[] },
      ask:
        ask ??
        ((withinMs) =>
          new Promise((resolve) => void this.clock.after(withinMs, () => resolve(answers() && this.tags.size > 1)))),
      hasCluster: async () => this.isCluster,
      tell: (founder) => void this.tags.set(name, founder),
      isStopping: () => this.isStopping,
      clock: this.clock,
      logger: silentLogger,
    };
    return isToFound(parts).then((isFounder) => {
      if (isFounder) {
        this.founded.push(name);
        this.isCluster = true;
      }
      return isFounder;
    });
  }

  async pass(ms: number): Promise<void> {
    for (let at = 0; at < ms; at += 50) {
      this.clock.pass(50);
      await turn();
    }
  }
}

test('of several that look for a cluster at once only the first by name founds one', async () => {
  for (const names of [
    ['a', 'b', 'c'],
    ['c', 'b', 'a'],
    ['b', 'a', 'c'],
  ]) {
    const pool = new Pool();
    const decisions = names.map((name) => pool.start(name, () => true));
    await pool.pass(2_000);
    assert.deepEqual(pool.founded, ['a'], names.join());
    assert.deepEqual(
      await Promise.all(decisions),
      names.map((name) => name === 'a'),
    );
  }
});

test('nobody answers: the addresses are asked for a bounded time before a cluster is founded', async () => {
  const pool = new Pool();
  void pool.start('a', () => false);
  await pool.pass(askForMs - 100);
  assert.deepEqual(pool.founded, []);
  await pool.pass(1_000);
  assert.deepEqual(pool.founded, ['a']);
});

test('an address that says nothing at all is waited for no longer than one that refuses', async () => {
  const pool = new Pool();
  const silent = (withinMs: number): Promise<boolean> =>
    new Promise((resolve) => void pool.clock.after(withinMs, () => resolve(false)));
  void pool.start('a', () => false, silent);
  await pool.pass(askForMs - 100);
  assert.deepEqual(pool.founded, []);
  await pool.pass(200);
  assert.deepEqual(pool.founded, ['a']);
});

test('somebody who joins this node meanwhile is heard, though the addresses say nothing', async () => {
  const pool = new Pool();
  const silent = (withinMs: number): Promise<boolean> =>
    new Promise((resolve) => void pool.clock.after(withinMs, () => resolve(false)));
  const decision = pool.start('b', () => true, silent);
  await pool.pass(1_000);
  pool.tags.set('a', 'founds');
  await pool.pass(400);
  pool.isCluster = true;
  await pool.pass(1_000);
  assert.equal(await decision, false);
  assert.deepEqual(pool.founded, []);
});

test('who is about to found goes before a lower name that comes later', async () => {
  const pool = new Pool();
  pool.tags.set('z', 'founds');
  void pool.start('a', () => true);
  await pool.pass(5_000);
  assert.deepEqual(pool.founded, []);
  pool.tags.delete('z');
  await pool.pass(1_000);
  assert.deepEqual(pool.founded, ['a'], 'but not for ever: z is gone without having founded');
});

test('a cluster that is found is joined, and a stop ends the wait', async () => {
  const pool = new Pool();
  pool.tags.set('other', undefined);
  pool.isCluster = true;
  const joined = pool.start('a', () => true);
  await pool.pass(1_000);
  assert.equal(await joined, false);
  const stopped = new Pool();
  stopped.tags.set('0', 'asks');
  const decision = stopped.start('a', () => true);
  await stopped.pass(1_000);
  stopped.isStopping = true;
  await stopped.pass(1_000);
  assert.equal(await decision, false);
});
