import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '@dcache/testing';
import type { Bus, BusHandlers } from '../bus.js';

/** A bus whose handlers write down what they are told. */
export interface Heard {
  readonly bus: Bus;
  readonly messages: string[];
  readonly connected: Set<string>;
  peers: readonly string[];
}

export async function listen(bus: Bus): Promise<Heard> {
  const heard: Heard = { bus, messages: [], connected: new Set(), peers: [] };
  const handlers: BusHandlers = {
    message: (from, bytes) => heard.messages.push(`${from}: ${Buffer.from(bytes).toString()}`),
    peers: (ids) => {
      heard.peers = [...ids].sort();
    },
    connected: (peer) => heard.connected.add(peer),
    alone: () => {},
    member: () => {},
    error: () => {},
  };
  await bus.start(handlers);
  return heard;
}

/** What every bus has to do. `make` returns buses that find each other, of ids `a`, `b` and `c`, not yet started. */
export function testBus(name: string, make: () => Promise<((id: string) => Promise<Bus>) | Error>): void {
  test(`${name}: members find each other, and messages reach whom they are for, whole`, {
    timeout: 60_000,
  }, async () => {
    const open = await make();
    assert.ok(!(open instanceof Error));
    const all = [await listen(await open('a')), await listen(await open('b')), await listen(await open('c'))];
    const [a, b, c] = all as [Heard, Heard, Heard];
    await until('all can send to all', () => all.every(({ connected }) => connected.size === 2));
    assert.deepEqual(
      [a.peers, b.peers, c.peers],
      [
        ['b', 'c'],
        ['a', 'c'],
        ['a', 'b'],
      ],
    );
    assert.deepEqual(
      a.bus
        .members()
        .map(({ id }) => id)
        .sort(),
      ['a', 'b', 'c'],
    );
    a.bus.broadcast(Buffer.from('to all'));
    b.bus.send('c', Buffer.from('to c'));
    b.bus.send('nobody', Buffer.from('to nobody'));
    const large = 'x'.repeat(3_000_000);
    c.bus.send('a', Buffer.from(large));
    await until('all arrived', () => a.messages.length === 1 && b.messages.length === 1 && c.messages.length === 2);
    assert.deepEqual(b.messages, ['a: to all']);
    assert.deepEqual([...c.messages].sort(), ['a: to all', 'b: to c']);
    assert.ok(a.messages[0] === `c: ${large}`);

    await c.bus.stop(2_000);
    await until('it is seen to have left', () => a.peers.length === 1 && b.peers.length === 1);
    assert.deepEqual(a.peers, ['b']);
    await Promise.all([a.bus.stop(500), b.bus.stop(500)]);
  });
}
