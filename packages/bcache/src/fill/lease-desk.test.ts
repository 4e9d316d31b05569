import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock, turn } from '@dcache/testing';
import { decodeLease, LeaseOutcome, ownerOf } from './lease.js';
import { type LeaseAnswer, LeaseDesk } from './lease-desk.js';

/** Desks whose messages and time a test holds in its hands. */
class Desks {
  readonly desks = new Map<string, LeaseDesk>();
  readonly clock = new HandClock();
  wire: { from: string; to: string; bytes: Uint8Array }[] = [];

  constructor(names: readonly string[]) {
    for (const node of names)
      this.desks.set(
        node,
        new LeaseDesk({
          node,
          clock: this.clock,
          send: (to, bytes) => this.wire.push({ from: node, to, bytes: bytes.slice() }),
          recordOf: () => undefined,
          take: () => {},
        }),
      );
    this.live(names);
  }

  live(names: readonly string[]): void {
    for (const [name, desk] of this.desks) desk.setPeers(names.filter((other) => other !== name));
  }

  deliver(): void {
    while (this.wire.length > 0)
      for (const { from, to, bytes } of this.wire.splice(0)) this.desks.get(to)!.step(from, decodeLease(bytes));
  }

  pass(ms: number): void {
    this.clock.pass(ms);
    this.deliver();
  }

  /** Asks, and notes the answer when it comes. */
  ask(node: string, leaseMs = 30_000): { answer: LeaseAnswer | undefined } {
    const noted: { answer: LeaseAnswer | undefined } = { answer: undefined };
    this.desks
      .get(node)!
      .ask('', 'k', leaseMs, true)
      .then((answer) => {
        noted.answer = answer;
      });
    return noted;
  }
}

const names = ['a', 'b', 'c'];
const owner = ownerOf('', 'k', names);
const [first, second] = names.filter((name) => name !== owner) as [string, string];

test('one asker is granted, the others wait for the value', async () => {
  const desks = new Desks(names);
  const asks = [desks.ask(first), desks.ask(second), desks.ask(owner)];
  desks.deliver();
  await turn();
  assert.equal(asks.filter(({ answer }) => answer === 'granted').length, 1);
  assert.equal(asks.filter(({ answer }) => answer === undefined).length, 2);
  const granted = [first, second, owner][asks.findIndex(({ answer }) => answer === 'granted')]!;
  desks.desks.get(granted)!.release('', 'k', LeaseOutcome.stored);
  desks.deliver();
  await turn();
  assert.deepEqual(asks.map(({ answer }) => answer).sort(), ['granted', 'stored', 'stored']);
});

test('when the holder fails, or dies, the next one in turn is granted', async () => {
  for (const end of ['fails', 'dies'] as const) {
    const desks = new Desks(names);
    const one = desks.ask(first);
    desks.deliver();
    const two = desks.ask(second);
    desks.deliver();
    await turn();
    assert.deepEqual([one.answer, two.answer], ['granted', undefined]);
    if (end === 'fails') desks.desks.get(first)!.release('', 'k', LeaseOutcome.failed);
    else desks.desks.get(owner)!.setPeers([second]);
    desks.deliver();
    await turn();
    assert.equal(two.answer, 'granted', end);
  }
});

test('an asker whose owner dies fills by itself', async () => {
  const desks = new Desks(names);
  const one = desks.ask(first);
  desks.wire = [];
  desks.desks.get(first)!.setPeers([second]);
  await turn();
  assert.equal(one.answer, 'granted');
});

test('a lost question and a lost grant are asked for again', async () => {
  const desks = new Desks(names);
  const one = desks.ask(first);
  desks.wire = [];
  desks.pass(600);
  await turn();
  assert.equal(one.answer, 'granted');
  desks.desks.get(first)!.release('', 'k', LeaseOutcome.stored);
  desks.deliver();
  const two = desks.ask(second);
  const [question] = desks.wire.splice(0);
  desks.desks.get(owner)!.step(second, decodeLease(question!.bytes));
  desks.wire = [];
  await turn();
  assert.equal(two.answer, undefined);
  desks.pass(600);
  await turn();
  assert.equal(two.answer, 'granted');
});

test('a lease that runs out lets the others go; a release that was lost is made up for by the value', async () => {
  const desks = new Desks(names);
  desks.ask(first, 5_000);
  desks.deliver();
  const two = desks.ask(second);
  desks.deliver();
  desks.pass(5_000);
  await turn();
  assert.equal(two.answer, 'timeout');

  const others = new Desks(names);
  others.ask(first);
  others.deliver();
  const waiting = others.ask(second);
  others.deliver();
  others.desks.get(owner)!.stored('', 'k');
  others.deliver();
  await turn();
  assert.equal(waiting.answer, 'stored');
});
